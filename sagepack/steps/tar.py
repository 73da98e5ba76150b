"""tar: the manifest's files become `dist/<name>/<env>/model.tar.gz`, its `.sha256` and `manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.errors import IntegrityError
from sagepack.plan import Fact
from sagepack.store import Record, write_atomically
from sagepack.units import amount

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.archive.source import Source, Written
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
    from sagepack.archive import writer
    from sagepack.archive.source import Previous, Written

    record = build.records.load("tar")
    before = Written.from_json(record.output["written"]) if record and "written" in record.output else None
    previous = Previous(build.work.archive, before) if before else None
    written = writer.write(sources(build), build.work.archive, progress=build.progress, previous=previous)
    _check(build, written)
    if written.reused:
        build.progress.note(f"tar: {amount(written.reused)} of {amount(written.size)} taken over from the last archive")
    line = f"{written.sha256.value}  {build.work.archive.name}\n"
    write_atomically(build.work.archive_sha256, line.encode())
    write_atomically(build.work.dist / "manifest.json", build.manifest.text().encode())
    build.records.save(Record("tar", VERSION, _inputs(build), {"size": written.size, "written": written.to_json()}))


def sources(build: Build) -> list[Source]:
    """The files of the package, with the digests that are vouched for.

    A model file whose digest is no longer trusted (touched since it was hashed) is hashed again while it is written.
    """
    from sagepack.archive.source import Source

    return [
        Source(
            member.path,
            member.size,
            member.executable,
            file,
            member.digest if build.trust.get(file) == member.digest else None,
        )
        for member, file in ((member, file_of(build, member.path)) for member in build.manifest.members)
    ]


def file_of(build: Build, path: str) -> Path:
    """Where the content of a member lies on this disk: in the stage, or in the cache."""
    if path in build.assembly.inputs:
        return build.work.stage / path
    return build.cache.snapshot(build.require_lock().commit, path)


def _check(build: Build, written: Written) -> None:
    for member, content in zip(build.manifest.members, written.contents, strict=True):
        if member.digest != content.digest:
            build.work.archive.unlink()
            raise IntegrityError(
                f"the file has {content.digest}, the manifest says {member.digest}",
                where=str(file_of(build, member.path)),
                fix="run it again: the file is fetched anew",
            )


def _inputs(build: Build) -> dict[str, Any]:
    members = {m.path: f"{m.digest}{'+x' if m.executable else ''}" for m in build.manifest.members}
    return {"format": build.require_lock().archive_format, **members}


def _trouble(build: Build, output: dict[str, Any]) -> tuple[str, ...]:
    for path, size in (
        (build.work.archive, output.get("size")),
        (build.work.archive_sha256, None),
        (build.work.dist / "manifest.json", None),
    ):
        if not path.is_file():
            return (f"{build.shown(path)} is missing",)
        if size is not None and path.stat().st_size != size:
            return (f"{build.shown(path)} has {path.stat().st_size} bytes, not {size}",)
    return ()
