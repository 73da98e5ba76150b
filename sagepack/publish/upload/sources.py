"""Where the bytes of contents come from: files here, ranges of objects in S3, the Hub."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sagepack.errors import IntegrityError, UserError
from sagepack.files import unreadable
from sagepack.package.archive.framing import HEADER, STRIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sagepack.aws.s3 import S3, ObjectRef
    from sagepack.digest import Digest
    from sagepack.package.manifest import Member

_READ = 1 << 20
# Bytes of a content in one block: STRIDE framed bytes are a header and these.
_BLOCK = STRIDE - HEADER


class NoSourceError(UserError):
    """No source holds a content; `where` is the path of its member."""


class Source(Protocol):
    """Provides any range of some contents. Whatever the source, what it provides is hashed while it is sent."""

    def holds(self, content: Digest) -> bool:
        """Whether it can provide the content."""

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes of the content from `offset`, in pieces of any size."""


class LocalFiles:
    """Files on this machine. A file that changes after it was first opened is refused."""

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
            message, fix = unreadable(error)
            raise UserError(message, where=str(path), fix=fix) from error
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

    def holds(self, content: Digest) -> bool:
        """Whether the repository has the content."""
        return content in self.paths

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of a file."""
        return self.read(self.paths[content], offset, length)


class Tally:
    """A number of bytes that several threads add to.

    Attributes:
        total: how many there are.
    """

    def __init__(self) -> None:
        self.total = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Add so many."""
        with self._lock:
            self.total += count

    def counting(self, read: Callable[[str, int, int], Iterator[bytes]]) -> Callable[[str, int, int], Iterator[bytes]]:
        """A function that reads as `read` does, whose bytes are added."""

        def counted(path: str, offset: int, length: int) -> Iterator[bytes]:
            for piece in read(path, offset, length):
                self.add(len(piece))
                yield piece

        return counted


class StoredContents:
    """Contents of archives in S3, read by range.

    Args:
        store: S3.
        places: for each content, the archive under the ETag it was seen with, and where the framed content begins in it.
    """

    def __init__(self, store: S3, places: Mapping[Digest, tuple[ObjectRef, int]]) -> None:
        self._store = store
        self._places = dict(places)

    def holds(self, content: Digest) -> bool:
        """Whether an archive has the content."""
        return content in self._places

    def seen(self, content: Digest) -> ObjectRef:
        """The archive that has the content."""
        return self._places[content][0]

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        """A range of a content.

        Raises:
            ChangedError: the archive was deleted or replaced.
        """
        seen, start = self._places[content]
        low = framed_offset(offset)
        high = framed_offset(offset + length - 1) + 1 if length else low
        position = low
        for piece in self._store.open(seen, start + low, high - low):
            for view in plain_views(memoryview(piece), position):
                yield bytes(view)
            position += len(piece)


def choose(sources: Sequence[Source], member: Member) -> Source:
    """The first source that holds the content of a member.

    Raises:
        NoSourceError: none does.
    """
    for source in sources:
        if source.holds(member.digest):
            return source
    raise NoSourceError(
        "the content is neither on this machine nor in S3, and is not streamed from the Hub",
        where=member.path,
        fix="run `invoke download`",
    )


def framed_offset(offset: int) -> int:
    """Where byte `offset` of a content lies in its framed form."""
    return offset + HEADER * (offset // _BLOCK + 1)


def plain_views(framed: memoryview, offset: int) -> Iterator[memoryview]:
    """The bytes of a content within a range of its framed form that begins at framed byte `offset`."""
    index = 0
    while index < len(framed):
        within = (offset + index) % STRIDE
        if within < HEADER:
            index += HEADER - within
            continue
        step = STRIDE - within
        yield framed[index : index + step]
        index += step
