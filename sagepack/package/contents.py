"""What goes into a package: the model's files, and the inference code beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.package.manifest import Manifest, Member
from sagepack.spec.code_tree import CODE

if TYPE_CHECKING:
    from sagepack.package.lock import Lock
    from sagepack.spec.code_tree import CodeTree


def manifest_of(lock: Lock, tree: CodeTree) -> Manifest:
    """The manifest of the package that `lock` and `tree` make. Pure.

    Raises:
        UserError: a model file lies under `code/`, where the image looks for inference code, or two paths clash.
    """
    for file in lock.files:
        if file.path.casefold().startswith(CODE) or file.path.casefold() == "code":
            raise UserError(
                "the model has a file where the inference code goes",
                where=file.path,
                fix="leave it out with model.exclude",
            )
    model = [Member(file.path, file.size, file.digest) for file in lock.files]
    return Manifest.of([*model, *(Member(file.path, file.size, file.digest, file.executable) for file in tree.files)])
