"""Which files a package has: those of the model, and the inference code under `code/`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.package.manifest import Manifest, Member, check_paths
from sagepack.package.requirements import listing
from sagepack.spec.code_tree import CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.lock import Lock
    from sagepack.spec.code_tree import CodeTree


def check_model_paths(paths: Sequence[str]) -> None:
    """Check that the chosen files of a model can be in a package, beside the inference code.

    Raises:
        UserError: a path that no package can hold (`manifest.check_paths`), or one under `code/`, where the image expects
            inference code.
    """
    try:
        check_paths(list(paths))
    except UserError as error:
        fix = "rename the file, or leave it out with model.exclude, where ? stands for any one character"
        raise error.with_context(fix=error.fix or fix) from error
    _check_code(paths)


def _check_code(paths: Sequence[str]) -> None:
    for path in paths:
        if f"{path.casefold()}/".startswith(CODE):
            raise UserError(
                "the model has a file in the folder of the inference code",
                where=path,
                fix='exclude it: model.exclude: ["code/"]',
            )


def manifest_of(lock: Lock, tree: CodeTree, *, vendored: bool = False) -> Manifest:
    """The manifest of the package of a lock and a code folder. No file is read.

    Args:
        lock: the files of the model, and the wheels of the requirements.
        tree: the code.
        vendored: the wheels are in the package.

    Raises:
        UserError: a model file is under `code/`, or two paths are in conflict.
    """
    _check_code([file.path for file in lock.files])
    model = [Member(file.path, file.size, file.digest) for file in lock.files]
    code = [Member(file.path, file.size, file.digest, file.executable) for file in tree.files]
    wheels = listing.wheels(lock) if vendored else {}
    return Manifest.of([*model, *code, *(Member(path, each.size, each.digest) for path, each in wheels.items())])
