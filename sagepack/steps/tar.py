"""tar: the manifest's files become `dist/<name>/<env>/model.tar.gz`, its `.sha256` and `manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.archive import writer
from sagepack.plan import Fact
from sagepack.store import Record, write_atomically

if TYPE_CHECKING:
    from sagepack.build import Build

VERSION = 1


def fact(build: Build) -> Fact:
    """The archive is a pure function of the manifest and the format version."""
    if build.answered is None:
        return Fact(VERSION)
    record = build.records.load("tar")
    trouble = _trouble(build, record.output) if record else ()
    return Fact(VERSION, _inputs(build), record, trouble)


def run(build: Build) -> None:
    """Write the archive beside its place and rename it, then the files that speak of it.

    Raises:
        UserError: no space left, or a source changed while it was read.
        IntegrityError: a source is not what the manifest says.
    """
    written = writer.write(build)
    raise NotImplementedError(written)


def _inputs(build: Build) -> dict[str, Any]:
    return {
        "format": build.require_lock().archive_format,
        "members": {member.path: str(member.digest) for member in build.manifest.members},
        "manifest": str(build.manifest.digest),
    }


def _trouble(build: Build, output: dict[str, Any]) -> tuple[str, ...]:
    for path, size in ((build.work.archive, output.get("size")), (build.work.archive_sha256, None)):
        if not path.is_file():
            return (f"{build.shown(path)} is missing",)
        if size is not None and path.stat().st_size != size:
            return (f"{build.shown(path)} has {path.stat().st_size} bytes, not {size}",)
    return ()
