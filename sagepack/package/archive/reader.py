"""Checking an archive: against its manifest, or against another archive.

The manifest says every byte of the archive but the contents, and the digest of each of those. So the check is not that
some reader can unpack the archive, but that it is the one archive of format 1 for this manifest: headers, framing,
padding and trailer are compared, contents are hashed.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.package.archive import crc32 as checksum
from sagepack.package.archive import framing
from sagepack.package.archive.layout import Layout, Literal, Place, Slice
from sagepack.package.archive.source import ContentInfo
from sagepack.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.package.manifest import Manifest, Member

_CHUNK = 16 * framing.STRIDE


class Readable(Protocol):
    """A stream that is read once, from its start: a file, the body of an HTTP answer."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


@dataclass(frozen=True)
class Verified:
    """What was learned of an archive that is as its manifest says."""

    size: int
    sha256: Digest
    crc32: int
    contents: tuple[ContentInfo, ...]


class ArchiveError(IntegrityError):
    """The first place where an archive is not what its manifest says.

    Attributes:
        offset: in the archive. For a content whose digest differs, where its framed bytes start.
        member: path of the member; None for the gzip header, the end marker and the trailer.
    """

    def __init__(self, message: str, offset: int, place: Place, name: str) -> None:
        super().__init__(
            f"{message}, at offset {offset}: {place}",
            where=name,
            fix="build it again; if it was downloaded, download it again",
        )
        self.offset = offset
        self.member = place.path


@dataclass(frozen=True)
class Difference:
    """The first byte in which two archives differ; one that ended too early differs where it ended."""

    offset: int
    place: Place

    def __str__(self) -> str:
        return f"they differ at offset {self.offset}: {self.place}"


def verify(
    archive: Path | Readable, manifest: Manifest, *, name: str | None = None, progress: Progress | None = None
) -> Verified:
    """Check every byte of an archive, in one pass and constant memory.

    Args:
        archive: the file, or a stream of it.
        manifest: what it should hold.
        name: what to call it in errors; default the path.
        progress: told of bytes of the archive.

    Raises:
        ArchiveError: naming the first difference.
        UserError: the file cannot be opened.
    """
    layout = Layout.of(manifest.members)
    with (progress or Silent()).bar("verify", layout.size) as advance, ThreadPoolExecutor(1) as beside:
        if not isinstance(archive, Path):
            return _Check(layout, manifest.members, archive, name or "the archive", advance, beside).run()
        try:
            file = archive.open("rb", buffering=0)
        except OSError as error:
            raise UserError(f"cannot open the archive: {error.strerror}", where=str(archive)) from error
        with file:
            return _Check(layout, manifest.members, file, name or str(archive), advance, beside).run()


@dataclass
class _Check:
    """One pass over an archive."""

    layout: Layout
    members: tuple[Member, ...]
    stream: Readable
    name: str
    advance: Callable[[int], None]
    beside: ThreadPoolExecutor

    def __post_init__(self) -> None:
        self._offset = 0
        self._archive = hashlib.sha256()
        self._contents: list[ContentInfo] = []

    def run(self) -> Verified:
        layout = self.layout
        for piece in layout.pieces(0, layout.trailer_offset):
            if isinstance(piece, Slice):
                self._content(piece)
            else:
                self._literal(piece)
        crc = checksum.tar_crc(layout, [content.crc32 for content in self._contents])
        self._literal(Literal(layout.trailer_offset, framing.trailer(crc, layout.tar_size), None))
        if self.stream.read(1):
            raise self._broken("there is more after the end", self._offset)
        return Verified(layout.size, Digest("sha256", self._archive.hexdigest()), crc, tuple(self._contents))

    def _literal(self, piece: Literal) -> None:
        data = self._take(len(piece.data))
        self._archive.update(data)
        if data != piece.data:
            raise self._broken("a byte is not what it should be", piece.offset + _first_difference(data, piece.data))
        if piece.index is not None and piece.index == len(self._contents) and not self.members[piece.index].size:
            self._found(self.members[piece.index], Digest.sha256(b""), 0, piece.end)

    def _content(self, piece: Slice) -> None:
        digest, crc, start = hashlib.sha256(), 0, self._offset
        for position in range(0, piece.framed_length, _CHUNK):
            data = memoryview(self._take(min(_CHUNK, piece.framed_length - position)))
            if len(data) < framing.STRIDE:  # not worth a word with another thread
                self._archive.update(data)
                beside = None
            else:
                beside = self.beside.submit(self._archive.update, data)
            for block in self._blocks(data, piece.length - position // framing.STRIDE * framing.BLOCK):
                digest.update(block)
                crc = checksum.crc32(block, crc)
            if beside:
                beside.result()
        self._found(self.members[piece.index], Digest("sha256", digest.hexdigest()), crc, start)

    def _blocks(self, data: memoryview, left: int) -> Iterator[memoryview]:
        """The blocks in `data`, which starts with a block header and has `left` bytes of content or more before it ends."""
        start = self._offset - len(data)
        for position in range(0, len(data), framing.STRIDE):
            body = position + framing.HEADER
            length = min(framing.BLOCK, left)
            header, wanted = bytes(data[position:body]), framing.block_header(length)
            if header != wanted:
                offset = start + position + _first_difference(header, wanted)
                raise self._broken("the framing is not that of format 1", offset)
            yield data[body : body + length]
            left -= length

    def _found(self, member: Member, digest: Digest, crc: int, start: int) -> None:
        if digest != member.digest:
            raise self._broken(f"the content of {member.path} has {digest}, the manifest says {member.digest}", start)
        self._contents.append(ContentInfo(member.path, member.size, member.executable, digest, crc))

    def _take(self, length: int) -> bytes:
        """The next `length` bytes."""
        data = self.stream.read(length)
        while len(data) < length:
            more = self.stream.read(length - len(data))
            if not more:
                raise self._broken("the archive ends too early", self._offset + len(data))
            data += more
        self._offset += length
        self.advance(length)
        return data

    def _broken(self, message: str, offset: int) -> ArchiveError:
        return ArchiveError(message, offset, self.layout.place(offset), self.name)


def compare(one: Path, other: Path, layout: Layout) -> Difference | None:
    """The first byte in which two archives differ, and what `layout`, that of the first, has there; None if none.

    Raises:
        UserError: a file cannot be read.
    """
    offset = 0
    try:
        with one.open("rb") as first, other.open("rb") as second:
            while True:
                left, right = first.read(_CHUNK), second.read(_CHUNK)
                if left != right:
                    offset += _first_difference(left, right)
                    return Difference(offset, layout.place(offset))
                if not left:
                    return None
                offset += len(left)
    except OSError as error:
        raise UserError(f"cannot read the archive: {error.strerror}", where=error.filename) from error


def _first_difference(one: bytes, other: bytes) -> int:
    """Index of the first byte in which two unequal byte strings differ, found by halving."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] != other[low:middle]:
            high = middle
        else:
            low = middle
    return low
