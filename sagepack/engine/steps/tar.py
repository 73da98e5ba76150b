"""tar: the manifest's files become `dist/<name>/<env>/model.tar.gz`, its `.sha256` and `manifest.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sagepack.decoding import MalformedError, Sha256Hex, convert
from sagepack.engine import lazy
from sagepack.engine.contents import content_paths, doubt_model_files
from sagepack.engine.outputs import Archive
from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.engine.records import Record
from sagepack.errors import IntegrityError
from sagepack.files import FileStamp, boot, holds, write_atomically
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext
    from sagepack.package.archive import source, writer
    from sagepack.package.lock import LockedFile
else:
    source = lazy.module("package.archive.source")
    writer = lazy.module("package.archive.writer")


def status(context: BuildContext) -> StepStatus:
    """The archive is a pure function of the manifest and the format version, and lies there unchanged."""
    if context.current_lock is None:
        return UNKNOWN
    record = context.records.load("tar")
    return StepStatus.recorded(_inputs(context), record, _stale_reasons(context, record.output) if record else ())


def run(context: BuildContext) -> None:
    """Write the archive next to its place and rename it, then the files that describe it.

    An archive that was touched, or written before the machine was restarted, is read: often its bytes are the same.

    Raises:
        UserError: no space left, or a source changed while it was read.
        IntegrityError: a source is not what the manifest says; the old archive is in its place.
    """
    archive, inputs = context.work.archive_path, _inputs(context)
    record = context.records.begin("tar")
    before = source.Written.from_json(record.output) if record else None
    is_same = record is not None and (record.version, record.inputs) == (STEP.version, inputs)
    written = writer.confirm(archive, before, context.progress) if before and is_same else None
    if written is None:
        previous = source.Previous(archive, before) if before else None
        try:
            written = writer.write(sources(context), archive, progress=context.progress, previous=previous)
        except IntegrityError:
            doubt_model_files(context)
            raise
        if written.reused:
            context.progress.done(f"{format_bytes(written.reused)} reused from the last archive")
    write_atomically(context.work.archive_sha256_path, sum_line(context, written.sha256.value).encode())
    write_atomically(context.work.dist_manifest_path, context.manifest.text().encode())
    context.records.save(Record("tar", STEP.version, inputs, written.to_json()))
    context.progress.done(f"{context.display(archive)}, {format_bytes(written.size)}")


def result(context: BuildContext) -> dict[str, Archive]:
    """The archive."""
    return {
        "archive": Archive(
            path=context.display(context.work.archive_path),
            size=context.work.archive_path.stat().st_size,
            sha256=context.work.archive_sha256_path.read_text(encoding="utf-8").split()[0],
        )
    }


def sources(context: BuildContext) -> list[source.Source]:
    """The files of the package, each with the digest that it must have.

    A model file that is as it was when it was hashed brings the CRC-32 of then; everything else is hashed while it is
    written: staged code, and a model file that was touched.
    """
    paths, found = content_paths(context), []
    for member in context.manifest.members:
        path = paths[member.path]
        known = context.hash_cache.known(path)
        crc32 = known.crc32 if known and known.digest == member.digest else None
        found.append(source.Source(member.path, member.size, member.executable, path, member.digest, crc32))
    return found


def sum_line(context: BuildContext, sha256: str) -> str:
    """The text of `model.tar.gz.sha256`, as `sha256sum` writes it."""
    return f"{sha256}  {context.work.archive_path.name}\n"


def _inputs(context: BuildContext) -> dict[str, Any]:
    members = {m.path: f"{m.digest}{'+x' if m.executable else ''}" for m in context.manifest.members}
    return {"format": context.required_lock().archive_format, **members}


class _Output(Struct):
    """What `status` reads of the output of the last run; all of it is `archive.source.Written`."""

    sha256: Sha256Hex
    stamp: FileStamp


def _stale_reasons(context: BuildContext, output: dict[str, Any]) -> tuple[str, ...]:
    archive = context.display(context.work.archive_path)
    try:
        status = context.work.archive_path.stat(follow_symlinks=False)
    except OSError:
        return (f"{archive} is missing",)
    try:
        written = convert(output, _Output)
    except MalformedError:
        return (f"nothing is known of {archive}",)
    if not written.stamp.fits(status):
        if written.stamp.boot != boot():
            return (f"the machine was restarted since {archive} was written",)
        return (f"{archive} was changed",)
    described = {
        context.work.archive_sha256_path: sum_line(context, written.sha256),
        context.work.dist_manifest_path: context.manifest.text(),
    }
    return tuple(
        f"{context.display(path)} is missing or was changed"
        for path, text in described.items()
        if not holds(path, text)
    )


def _model_files(context: BuildContext) -> tuple[LockedFile, ...]:
    return context.required_lock().files


STEP = Step(
    "tar",
    needs=("download", "checksum"),
    version=3,
    status=status,
    run=run,
    result=result,
    model_files=_model_files,
)
