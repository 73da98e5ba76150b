"""What this repository's own spec, lock and code make."""

from __future__ import annotations

from sagepack.package.contents import manifest_of
from sagepack.package.lock import Lock
from sagepack.scaffold import project
from sagepack.spec import code_tree
from sagepack.spec.inspection import Inspection
from sagepack.spec.secrets import texts
from tests.helpers.paths import ROOT


def svd_identity() -> str:
    """The digest of the manifest that the lock of `config/svd.yaml` makes with its handler and the helpers that this imports.

    That is the package of a project that `init` writes; the one of this repository has the helpers of all handlers.
    """
    lock = Lock.parse((ROOT / "config" / "locks" / "svd-local.lock.yaml").read_bytes(), "the lock")
    folders = ("inference_code/svd", "inference_code/shared")
    tree = code_tree.scan(ROOT, folders, {}, Inspection(texts, ()))
    own = {path.name for path in (ROOT / folders[0]).iterdir()} | project._helpers("svd").keys()
    files = tuple(file for file in tree.files if file.path.removeprefix(code_tree.CODE) in own)
    return str(manifest_of(lock, code_tree.CodeTree(files)).digest)
