"""tar: the manifest's files become `dist/<name>/<env>/model.tar.gz`, its `.sha256` and `manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sagepack.decoding import MalformedError, Sha256Hex, convert
from sagepack.engine.plan import StepStatus
from sagepack.engine.records import Record
from sagepack.engine.steps.assemble import staged
from sagepack.errors import IntegrityError
from sagepack.files import FileStamp, boot, holds, write_atomically
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.engine.context import BuildContext
    from sagepack.package.archive.source import Source
    from sagepack.package.manifest import Member

VERSION = 3


def fact(build: BuildContext) -> StepStatus:
    """The archive is a pure function of the manifest and the format version, and lies there unchanged."""
    if build.answered is None:
        return StepStatus(VERSION)
    record = build.records.load("tar")
    trouble = _trouble(build, record.output) if record else ()
    return StepStatus(VERSION, _inputs(build), record, trouble)


def run(build: BuildContext) -> None:
    """Write the archive beside its place and rename it, then the files that speak of it.

    An archive that was touched, or written before the machine was restarted, is read: often its bytes are the same.

    Raises:
        UserError: no space left, or a source changed while it was read.
        IntegrityError: a source is not what the manifest says; the old archive is in its place.
    """
    from sagepack.package.archive import writer
    from sagepack.package.archive.source import Previous, Written

    archive, inputs = build.work.archive, _inputs(build)
    record = build.records.begin("tar")
    before = Written.from_json(record.output) if record else None
    same = record is not None and before is not None and (record.version, record.inputs) == (VERSION, inputs)
    written = writer.confirm(archive, before, build.progress) if before and same else None
    if written is None:
        previous = Previous(archive, before) if before else None
        try:
            written = writer.write(sources(build), archive, progress=build.progress, previous=previous)
        except IntegrityError:
            doubt_files(build)
            raise
        if written.reused:
            reused, size = format_bytes(written.reused), format_bytes(written.size)
            build.progress.note(f"tar: {reused} of {size} taken over from the last archive")
    write_atomically(build.work.archive_sha256, sum_line(build, written.sha256.value).encode())
    write_atomically(build.work.dist_manifest, build.manifest.text().encode())
    build.records.save(Record("tar", VERSION, inputs, written.to_json()))


def sources(build: BuildContext) -> list[Source]:
    """The files of the package, each with the digest that it must have.

    A model file that is as it was when it was hashed brings the CRC-32 of then; everything else is hashed while it is
    written: staged code, and a model file that was touched.
    """
    from sagepack.package.archive.source import Source

    files = files_of(build)
    known = {member: build.trust.known(files[member.path]) for member in build.manifest.members}
    return [
        Source(
            member.path,
            member.size,
            member.executable,
            files[member.path],
            member.digest,
            content.crc32 if content and content.digest == member.digest else None,
        )
        for member, content in known.items()
    ]


def doubt_files(build: BuildContext) -> dict[str, Path]:
    """Forget the digests of all model files in the cache: one of them turned out to be wrong, and more may be.

    The next build reads them again, and fetches those anew that are not what the lock says.

    Returns:
        The files by their path in the package.
    """
    files = _model_files(build)
    build.trust.forget(files.values())
    return files


def files_of(build: BuildContext) -> dict[str, Path]:
    """Where the content of each member lies on this disk: in the stage, checked, or in the cache.

    Raises:
        UserError: the stage was changed.
    """
    return _model_files(build) | staged(build)


def _model_files(build: BuildContext) -> dict[str, Path]:
    cache = build.cache
    return {file.path: cache.snapshot(file.path) for file in build.require_lock().files}


def is_known(build: BuildContext, member: Member, file: Path) -> bool:
    """Whether `file` surely holds what the manifest says of `member`."""
    return member.path in build.code.inputs or build.trust.get(file) == member.digest


def sum_line(build: BuildContext, sha256: str) -> str:
    """The text of `model.tar.gz.sha256`, as `sha256sum` writes it."""
    return f"{sha256}  {build.work.archive.name}\n"


def _inputs(build: BuildContext) -> dict[str, Any]:
    members = {m.path: f"{m.digest}{'+x' if m.executable else ''}" for m in build.manifest.members}
    return {"format": build.require_lock().archive_format, **members}


class _Output(Struct):
    """What `fact` reads of the output of the last run; all of it is `archive.source.Written`."""

    sha256: Sha256Hex
    stamp: FileStamp


def _trouble(build: BuildContext, output: dict[str, Any]) -> tuple[str, ...]:
    archive = build.shown(build.work.archive)
    try:
        status = build.work.archive.stat(follow_symlinks=False)
    except OSError:
        return (f"{archive} is missing",)
    try:
        written = convert(output, _Output)
    except MalformedError:
        return (f"nothing is known of {archive}",)
    if not written.stamp.fits(status):
        restarted = written.stamp.boot != boot()
        how = f"the machine was restarted since {archive} was written" if restarted else f"{archive} was changed"
        return (how,)
    beside = {
        build.work.archive_sha256: sum_line(build, written.sha256),
        build.work.dist_manifest: build.manifest.text(),
    }
    return tuple(
        f"{build.shown(path)} is missing or was changed" for path, text in beside.items() if not holds(path, text)
    )
