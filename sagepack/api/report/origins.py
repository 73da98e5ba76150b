"""Where the bytes of a package came from in a run: those on this machine, and those in S3, in all and by file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.events import CameFrom
    from sagepack.api.report.last_run import LastRun, RanStep

_FILES = 8  # that are shown one by one


class Source(Value, frozen=True):
    """Where bytes came from.

    Attributes:
        kind: its colour in pictures.
        words: what it is called.
        size: bytes.
    """

    kind: str
    words: str
    size: int


class File(Value, frozen=True):
    """A file of the package, or all those that are not shown one by one.

    Attributes:
        name: its path, or what the others are called.
        size: its bytes.
        sources: where they came from.
    """

    name: str
    size: int
    sources: tuple[Source, ...]


class Way(Value, frozen=True):
    """Bytes on the way to one place.

    Attributes:
        to: the place.
        sources: where they came from.
        files: the same by file, the largest first; empty where it is not known, or the same for all.
    """

    to: str
    sources: tuple[Source, ...]
    files: tuple[File, ...] = ()

    @property
    def size(self) -> int:
        """All of them."""
        return sum(source.size for source in self.sources)


def ways(run: LastRun, package: int) -> tuple[Way, ...]:
    """Where the bytes of the package came from in a run.

    Args:
        run: the run.
        package: bytes of the package; 0 if they are not known.
    """
    by_name = {step.name: step for step in run.steps}
    planned = {action.step for action in run.actions}
    fetched = sum(step.fetched or 0 for name, step in by_name.items() if name != "upload")
    download, upload = by_name.get("download"), by_name.get("upload")
    found = []
    if "tar" in planned:
        sources = _local(package, fetched)
        files = _here(download, package) if len(sources) > 1 else ()
        found.append(Way("the archive on this machine", sources, files))
    if "upload" in planned:
        sent, copied = (upload.sent or 0, upload.copied or 0) if upload else (0, 0)
        sources = _remote(package, copied, sent, (upload.fetched or 0) if upload else 0, fetched)
        files = _in_s3(upload, download) if len(sources) > 1 else ()
        found.append(Way("the package in S3", sources, files))
    return tuple(way for way in found if way.sources)


def _local(size: int, fetched: int) -> tuple[Source, ...]:
    return _nonzero(
        Source("fetched", "fetched from the Hub", fetched),
        Source("kept", "there before", max(0, size - fetched)),
    )


def _remote(size: int, copied: int, sent: int, streamed: int, fetched: int) -> tuple[Source, ...]:
    """Where bytes in S3 came from.

    Args:
        size: all of them.
        copied: how many S3 copied.
        sent: how many were sent.
        streamed: how many were fetched by the step that sent them.
        fetched: how many were fetched before.
    """
    passed = min(sent, streamed)
    passed += min(sent - passed, fetched)
    return _nonzero(
        Source("copied", "copied inside S3", copied),
        Source("fetched", "fetched from the Hub, and sent on", passed),
        Source("sent", "sent from this machine", sent - passed),
        Source("kept", "there before", max(0, size - sent - copied)),
    )


def _nonzero(*sources: Source) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.size)


def _here(download: RanStep | None, package: int) -> tuple[File, ...]:
    """The files of the archive: those of the model, of which the step knows, and all others, which were there."""
    if download is None or not download.files:
        return ()
    shown = [
        File(each.path, each.size, _local(each.size, each.fetched)) for each in download.files[:_FILES] if each.path
    ]
    size = package - sum(each.size for each in shown)
    fetched = sum(each.fetched for each in download.files) - sum(_size(each, "fetched") for each in shown)
    return (*shown, File("all other files", size, _local(size, fetched))) if size > 0 else tuple(shown)


def _in_s3(upload: RanStep | None, download: RanStep | None) -> tuple[File, ...]:
    if upload is None or not upload.files:
        return ()
    fetched = {each.path: each.fetched for each in (download.files if download else None) or ()}
    shown = [each for each in upload.files[:_FILES] if each.path]
    found = [
        File(
            each.path or "",
            each.size,
            _remote(each.size, each.copied, each.sent, each.fetched, fetched.pop(each.path, 0)),
        )
        for each in shown
    ]
    rest = upload.files[len(shown) :]
    if rest:
        size, copied, sent, streamed = (_sum(rest, name) for name in ("size", "copied", "sent", "fetched"))
        name = f"the {counted(_sum(rest, 'count'), 'other file')}"
        found.append(File(name, size, _remote(size, copied, sent, streamed, sum(fetched.values()))))
    return tuple(found)


def _sum(files: Sequence[CameFrom], name: str) -> int:
    return sum(getattr(each, name) for each in files)


def _size(file: File, kind: str) -> int:
    return sum(source.size for source in file.sources if source.kind == kind)
