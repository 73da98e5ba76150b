"""Which files a package has: those of the model, and the inference code under `code/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.package.manifest import Manifest, Member
from sagepack.spec.code_tree import CODE

if TYPE_CHECKING:
    from sagepack.package.lock import Lock
    from sagepack.spec.code_tree import CodeTree


def manifest_of(lock: Lock, tree: CodeTree) -> Manifest:
    """The manifest of the package of a lock and a code folder. No file is read.

    Raises:
        UserError: a model file is under `code/`, where the image expects inference code, or two paths are in conflict.
    """
    for file in lock.files:
        if file.path.casefold().startswith(CODE) or file.path.casefold() == "code":
            raise UserError(
                "the model has a file in the folder of the inference code",
                where=file.path,
                fix="exclude it with model.exclude",
            )
    model = [Member(file.path, file.size, file.digest) for file in lock.files]
    return Manifest.of([*model, *(Member(file.path, file.size, file.digest, file.executable) for file in tree.files)])
