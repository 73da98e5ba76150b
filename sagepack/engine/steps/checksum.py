"""checksum: the manifest of the package; its digest is the package's identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.engine.plan import StepStatus
from sagepack.engine.records import Record
from sagepack.files import holds, write_atomically

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext

VERSION = 2


def fact(build: BuildContext) -> StepStatus:
    """The manifest is a function of lock and code, so only its inputs and its file need a look."""
    if build.answered is None:
        return StepStatus(VERSION)
    path = build.work.manifest
    trouble = () if holds(path, build.manifest.text()) else (f"{build.shown(path)} is missing or was changed",)
    return StepStatus(VERSION, _inputs(build), build.records.load("checksum"), trouble)


def run(build: BuildContext) -> None:
    """Write the manifest.

    Raises:
        UserError: a model file under `code/`, or two paths that clash.
    """
    manifest = build.manifest
    write_atomically(build.work.manifest, manifest.text().encode())
    build.progress.note(f"checksum: {len(manifest.members)} files, identity {manifest.digest}")
    build.records.save(Record("checksum", VERSION, _inputs(build), {"manifest": str(manifest.digest)}))


def _inputs(build: BuildContext) -> dict[str, Any]:
    return {**{file.path: str(file.digest) for file in build.require_lock().files}, **build.code.inputs}
