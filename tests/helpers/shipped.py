"""What this repository's own spec, lock and code make."""

from __future__ import annotations

from sagepack.package.contents import manifest_of
from sagepack.package.lock import Lock
from sagepack.spec import code_tree
from sagepack.spec.inspection import Inspection
from sagepack.spec.secrets import texts
from tests.helpers.paths import ROOT


def svd_identity() -> str:
    """The digest of the manifest of `config/svd.yaml` in the sandbox."""
    lock = Lock.parse((ROOT / "config" / "locks" / "svd-local.lock.yaml").read_bytes(), "the lock")
    folders = ("inference_code/svd", "inference_code/shared")
    return str(manifest_of(lock, code_tree.scan(ROOT, folders, {}, Inspection(texts, ()))).digest)
