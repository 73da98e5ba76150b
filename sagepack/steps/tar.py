"""tar: the manifest's files become `dist/<name>/<env>/model.tar.gz`, its `.sha256` and `manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.errors import IntegrityError
from sagepack.plan import Fact
from sagepack.steps.assemble import staged
from sagepack.store import Record, holds, write_atomically
from sagepack.units import amount

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.archive.source import Source, Written
    from sagepack.build import Build
    from sagepack.manifest import Member

VERSION = 2


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

    files = sources(build)
    record = build.records.begin("tar")
    before = Written.from_json(record.output["written"]) if record and "written" in record.output else None
    previous = Previous(build.work.archive, before) if before else None
    written = writer.write(files, build.work.archive, progress=build.progress, previous=previous)
    _check(build, written)
    if written.reused:
        build.progress.note(f"tar: {amount(written.reused)} of {amount(written.size)} taken over from the last archive")
    write_atomically(build.work.archive_sha256, sum_line(build, written.sha256.value).encode())
    write_atomically(build.work.dist_manifest, build.manifest.text().encode())
    output = {"size": written.size, "sha256": written.sha256.value, "written": written.to_json()}
    build.records.save(Record("tar", VERSION, _inputs(build), output))


def sources(build: Build) -> list[Source]:
    """The files of the package, with the digests that are vouched for.

    Staged code is hashed here. A model file whose digest is no longer trusted (touched since it was hashed) is hashed
    again while it is written.
    """
    from sagepack.archive.source import Source

    files = files_of(build)
    return [
        Source(
            member.path,
            member.size,
            member.executable,
            files[member.path],
            member.digest if is_known(build, member, files[member.path]) else None,
        )
        for member in build.manifest.members
    ]


def files_of(build: Build) -> dict[str, Path]:
    """Where the content of each member lies on this disk: in the stage, checked, or in the cache.

    Raises:
        UserError: the stage was changed.
    """
    lock = build.require_lock()
    return {file.path: build.cache.snapshot(lock.commit, file.path) for file in lock.files} | staged(build)


def is_known(build: Build, member: Member, file: Path) -> bool:
    """Whether `file` surely holds what the manifest says of `member`."""
    return member.path in build.assembly.inputs or build.trust.get(file) == member.digest


def sum_line(build: Build, sha256: str) -> str:
    """The text of `model.tar.gz.sha256`, as `sha256sum` writes it."""
    return f"{sha256}  {build.work.archive.name}\n"


def _check(build: Build, written: Written) -> None:
    for member, content in zip(build.manifest.members, written.contents, strict=True):
        if member.digest != content.digest:
            build.work.archive.unlink()
            raise IntegrityError(
                f"the file has {content.digest}, the manifest says {member.digest}",
                where=str(build.cache.snapshot(build.require_lock().commit, member.path)),
                fix="run it again: the file is fetched anew",
            )


def _inputs(build: Build) -> dict[str, Any]:
    members = {m.path: f"{m.digest}{'+x' if m.executable else ''}" for m in build.manifest.members}
    return {"format": build.require_lock().archive_format, **members}


def _trouble(build: Build, output: dict[str, Any]) -> tuple[str, ...]:
    try:
        size = build.work.archive.stat().st_size
    except OSError:
        return (f"{build.shown(build.work.archive)} is missing",)
    if size != output.get("size"):
        return (f"{build.shown(build.work.archive)} has {size} bytes, not {output.get('size')}",)
    beside = {
        build.work.archive_sha256: sum_line(build, str(output.get("sha256"))),
        build.work.dist_manifest: build.manifest.text(),
    }
    return tuple(
        f"{build.shown(path)} is missing or was changed" for path, text in beside.items() if not holds(path, text)
    )
