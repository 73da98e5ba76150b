"""assemble: a copy of what goes next to the model is staged, so that an edit during the build cannot mix two states."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

from sagepack.digest import hash_file
from sagepack.engine.contents import modified_stage
from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.engine.records import Record
from sagepack.errors import UserError
from sagepack.files import disk_errors
from sagepack.spec.code_tree import describe_excluded
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.engine.context import BuildContext
    from sagepack.spec.code_tree import CodeFile

_SHOWN = 3


def status(context: BuildContext) -> StepStatus:
    """The stage holds the code as it is now: read, not remembered, since archive and bucket take it from there."""
    if context.spec.code.requirements and context.current_lock is None:
        return UNKNOWN
    stale = tuple(f"{context.display(path)} is missing or was changed" for path in modified_stage(context))
    return StepStatus.recorded(dict(context.code.inputs), context.records.load("assemble"), stale[:_SHOWN])


def run(context: BuildContext) -> None:
    """Stage a copy of every file and check that it is what was planned.

    Raises:
        UserError: a file changed while it was copied.
    """
    tree, stage = context.code, context.work.stage_path
    fresh = context.work.build_path / "stage.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for file in tree.files:
        where = file.path if isinstance(file.source, bytes) else context.display(file.source)
        _copy(file, fresh / file.path, where)
    # The old stage goes first: between the two lines there is none, and the next run makes it again.
    shutil.rmtree(stage, ignore_errors=True)
    fresh.mkdir(parents=True, exist_ok=True)
    fresh.rename(stage)
    if tree.excluded:
        context.progress.note(describe_excluded(tree.excluded))
    context.records.save(Record("assemble", STEP.version, dict(tree.inputs), {"bytes": tree.size}))
    context.progress.done(f"{counted(len(tree.files), 'file')} of code staged, {format_bytes(tree.size)}")


def _copy(file: CodeFile, target: Path, where: str) -> None:
    try:
        source = io.BytesIO(file.source) if isinstance(file.source, bytes) else file.source.open("rb")
    except OSError as error:
        raise UserError(f"cannot read it: {error.strerror}", where=where) from error
    with source, disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            shutil.copyfileobj(source, output)
    if hash_file(target) != file.digest:
        raise UserError("the file changed during the build", where=where, fix="run the command again")


STEP = Step("assemble", needs=("lock",), version=1, status=status, run=run)
