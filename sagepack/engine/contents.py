"""The files of a package on this disk: where the content of each member lies, and whether it is surely right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.digest import hash_file
from sagepack.engine import wheels
from sagepack.errors import UserError
from sagepack.spec.code_tree import CODE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.engine.context import BuildContext
    from sagepack.package.manifest import Member


def content_paths(context: BuildContext) -> dict[str, Path]:
    """Where the content of each member lies: in the Hugging Face cache or the model's folder, or in the stage, which is checked.

    Raises:
        UserError: something else than this program changed the stage.
    """
    for path in modified_stage(context):
        raise UserError(
            "the staged file is missing or was changed", where=context.display(path), fix="run the command again"
        )
    staged = {file.path: context.work.stage_path / file.path for file in context.code.files}
    return cache_paths(context) | staged


def cache_paths(context: BuildContext) -> dict[str, Path]:
    """Where each model file and each wheel lies, whether or not it is there.

    That is the Hugging Face cache, or the model's folder, and the folder of wheels.
    """
    cache = context.model_files
    return {file.path: cache.snapshot(file.path) for file in context.required_lock().files} | wheels.paths(context)


def modified_stage(context: BuildContext) -> Iterator[Path]:
    """Staged files that are missing, or not the code as it is now."""
    for file in context.code.files:
        path = context.work.stage_path / file.path
        try:
            if hash_file(path) != file.digest:
                yield path
        except OSError:
            yield path


def is_known(context: BuildContext, member: Member, path: Path) -> bool:
    """Whether the file at `path` holds what the manifest says of `member`, as far as is known without reading it.

    A file of the model's folder that was written a moment ago has no known digest: it was compared when the run began, and
    is compared again while it is read.
    """
    if member.path in context.code.inputs or context.hash_cache.get(path) == member.digest:
        return True
    return context.required_lock().revision is None and not member.path.startswith(CODE) and path.is_file()


def doubt_model_files(context: BuildContext) -> dict[str, Path]:
    """Forget the digests of all model files and wheels: one of them turned out to be wrong, and more may be.

    The next build reads them again, and fetches again those that are not what the lock says.

    Returns:
        The files by their path in the package.
    """
    paths = cache_paths(context)
    context.hash_cache.forget(paths.values())
    return paths
