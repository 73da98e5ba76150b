"""assemble: what goes beside the model is staged, so that an edit during the build cannot mix two states."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.digest import hash_file
from sagepack.engine.plan import StepStatus
from sagepack.engine.records import Record
from sagepack.errors import UserError
from sagepack.spec.code_tree import describe_excluded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.engine.context import BuildContext
    from sagepack.spec.code_tree import CodeFile

VERSION = 1


def fact(build: BuildContext) -> StepStatus:
    """The stage holds the code as it is now: read, not remembered, since archive and bucket take it from there."""
    trouble = tuple(f"{build.shown(path)} is missing or was changed" for path in _changed(build))
    return StepStatus(VERSION, dict(build.code.inputs), build.records.load("assemble"), trouble[:3])


def run(build: BuildContext) -> None:
    """Stage a copy of every file and check that it is what was planned.

    Raises:
        UserError: a file changed while it was copied.
    """
    tree = build.code
    fresh = build.work.build / "stage.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for file in tree.files:
        _stage(file, fresh / file.path, build.spec.code.path)
    # The old stage goes first: between the two lines there is none, and the next run makes it again.
    shutil.rmtree(build.work.stage, ignore_errors=True)
    fresh.mkdir(parents=True, exist_ok=True)
    fresh.rename(build.work.stage)
    if tree.excluded:
        build.progress.note(f"assemble: {describe_excluded(tree.excluded)}")
    build.records.save(Record("assemble", VERSION, dict(tree.inputs), {"bytes": tree.size}))


def staged(build: BuildContext) -> dict[str, Path]:
    """The staged files by their place in the package, each as the manifest says.

    Raises:
        UserError: something else than this program changed one since it was staged.
    """
    for path in _changed(build):
        raise UserError("the staged file is missing or was changed", where=build.shown(path), fix="run it again")
    return {file.path: build.work.stage / file.path for file in build.code.files}


def _changed(build: BuildContext) -> Iterator[Path]:
    for file in build.code.files:
        path = build.work.stage / file.path
        try:
            if hash_file(path) != file.digest:
                yield path
        except OSError:
            yield path


def _stage(file: CodeFile, target: Path, folder: str) -> None:
    where = f"{folder}: {file.path}"
    try:
        source = io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb")
    except OSError as error:
        raise UserError(f"cannot read it: {error.strerror}", where=where) from error
    with source, files.disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            shutil.copyfileobj(source, output)
    if hash_file(target) != file.digest:
        raise UserError("the file changed during the build", where=where, fix="run it again")
