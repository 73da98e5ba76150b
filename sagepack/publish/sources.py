"""Where the bytes of contents come from: files here, ranges of objects in S3, the Hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sagepack.archive.framing import HEADER, STRIDE
from sagepack.errors import IntegrityError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sagepack.archive.layout import Layout
    from sagepack.digest import Digest
    from sagepack.manifest import Manifest, Member
    from sagepack.remote.s3 import S3, Seen

_READ = 1 << 20
# Bytes of a content before byte n of a framed one: STRIDE framed bytes carry STRIDE - HEADER.
_BLOCK = STRIDE - HEADER


class Source(Protocol):
    """Something that can give any range of some contents."""

    @property
    def trusted(self) -> bool:
        """Whether the bytes were checked against their digest before; else they are while they are sent."""

    def holds(self, content: Digest) -> bool:
        """Whether the content can be had here."""

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes of the content from `offset`, in pieces of any size."""


class LocalFiles:
    """Files of this machine that were hashed before. One that changes after it was first opened is refused."""

    trusted = True

    def __init__(self, paths: Mapping[Digest, Path]) -> None:
        self._paths = dict(paths)
        self._stamps: dict[Digest, tuple[int, int, int]] = {}

    def holds(self, content: Digest) -> bool:
        """Whether there is a file with the content."""
        return content in self._paths

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of a file.

        Raises:
            IntegrityError: the file changed, or is shorter.
            UserError: it cannot be read.
        """
        path = self._paths[content]
        try:
            with path.open("rb", buffering=0) as file:
                self._check(content, os.fstat(file.fileno()), path)
                file.seek(offset)
                while length and (piece := file.read(min(length, _READ))):
                    length -= len(piece)
                    yield piece
                self._check(content, os.fstat(file.fileno()), path)
        except OSError as error:
            raise UserError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
        if length:
            raise IntegrityError("the file became shorter while it was published", where=str(path))

    def _check(self, content: Digest, stat: os.stat_result, path: Path) -> None:
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if self._stamps.setdefault(content, stamp) != stamp:
            raise IntegrityError(
                "the file changed while it was published", where=str(path), fix="run the command again"
            )


@dataclass(frozen=True)
class HubFiles:
    """Files of a Hub repository at a commit.

    Attributes:
        read: opens a range of a file: path in the repository, offset, length.
        paths: path of each content.
    """

    read: Callable[[str, int, int], Iterator[bytes]]
    paths: Mapping[Digest, str]

    trusted = False

    def holds(self, content: Digest) -> bool:
        """Whether the repository has the content."""
        return content in self.paths

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of a file."""
        return self.read(self.paths[content], offset, length)


class StoredArchives:
    """Contents of archives in S3, read by range."""

    trusted = True

    def __init__(self, store: S3, archives: Iterable[tuple[Seen, Layout, Manifest]]) -> None:
        self._store = store
        self._places: dict[Digest, tuple[Seen, int]] = {}
        for seen, layout, manifest in archives:
            for member, entry in zip(manifest.members, layout.entries, strict=True):
                self._places.setdefault(member.digest, (seen, entry.content_offset))

    def holds(self, content: Digest) -> bool:
        """Whether an archive has the content."""
        return content in self._places

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of a content.

        Raises:
            ChangedError: the archive is gone, or another.
        """
        seen, start = self._places[content]
        low = framed_offset(offset)
        high = framed_offset(offset + length - 1) + 1 if length else low
        position = low
        for piece in self._store.open(seen, start + low, high - low):
            for view in plain_views(memoryview(piece), position):
                yield bytes(view)
            position += len(piece)


class StoredFiles:
    """Contents that are objects of their own in S3."""

    trusted = True

    def __init__(self, store: S3, objects: Mapping[Digest, Seen]) -> None:
        self._store = store
        self._objects = dict(objects)

    def holds(self, content: Digest) -> bool:
        """Whether an object has the content."""
        return content in self._objects

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of an object.

        Raises:
            ChangedError: the object is gone, or another.
        """
        return self._store.open(self._objects[content], offset, length)


def choose(sources: Sequence[Source], member: Member) -> Source:
    """The first source that holds the content of a member.

    Raises:
        UserError: none does.
    """
    for source in sources:
        if source.holds(member.digest):
            return source
    raise UserError(
        "the content is neither here nor in S3, and cannot be had from the Hub",
        where=member.path,
        fix="run `invoke download`",
    )


def framed_offset(offset: int) -> int:
    """Where byte `offset` of a content lies in its framed form."""
    return offset + HEADER * (offset // _BLOCK + 1)


def plain_views(framed: memoryview, offset: int) -> Iterator[memoryview]:
    """The bytes of a content within a stretch of its framed form that begins at framed byte `offset`."""
    index = 0
    while index < len(framed):
        within = (offset + index) % STRIDE
        if within < HEADER:
            index += HEADER - within
            continue
        step = STRIDE - within
        yield framed[index : index + step]
        index += step
