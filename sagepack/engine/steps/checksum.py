"""checksum: the manifest of the package; its digest is the package's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.engine.records import Record
from sagepack.files import holds, write_atomically
from sagepack.text import counted

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext


def status(context: BuildContext) -> StepStatus:
    """The manifest is a function of lock and code, so only its inputs and its file need a look."""
    if context.current_lock is None:
        return UNKNOWN
    path = context.work.manifest_path
    is_right = holds(path, context.manifest.text())
    stale = () if is_right else (f"{context.display(path)} is missing or was changed",)
    return StepStatus.recorded(_inputs(context), context.records.load("checksum"), stale)


def run(context: BuildContext) -> None:
    """Write the manifest.

    Raises:
        UserError: a model file under `code/`, or two paths that clash.
    """
    manifest = context.manifest
    write_atomically(context.work.manifest_path, manifest.text().encode())
    context.progress.done(f"{counted(len(manifest.members), 'file')}, identity {manifest.digest.short}")
    output = {"manifest": str(manifest.digest)}
    context.records.save(Record("checksum", STEP.version, _inputs(context), output))


def result(context: BuildContext) -> dict[str, str]:
    """The identity of the package."""
    return {"manifest": str(context.manifest.digest)}


def _inputs(context: BuildContext) -> dict[str, Any]:
    return {**{file.path: str(file.digest) for file in context.required_lock().files}, **context.code.inputs}


STEP = Step("checksum", needs=("assemble",), version=2, status=status, run=run, result=result)
