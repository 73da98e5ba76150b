"""Verifies an archive against its manifest, or compares it with another archive.

The manifest determines every byte of the archive that is not content, and has the digest of each content. So this does not
check that the archive can be extracted, but that it is the archive of format 1 for this manifest: headers, framing, padding
and trailer are compared, contents are hashed.
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
    """A stream that is read once, from its start: a file, or the body of an HTTP response."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`; empty at the end."""


@dataclass(frozen=True)
class Verified:
    """The digests of an archive that matches its manifest."""

    size: int
    sha256: Digest
    crc32: int
    contents: tuple[ContentInfo, ...]


class ArchiveError(IntegrityError):
    """An archive does not match its manifest; the error names the first difference.

    Attributes:
        offset: of the difference in the archive; if the digest of a content differs, of the first framed byte of the content.
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
    """The first byte in which two archives differ; if one is shorter, its end."""

    offset: int
    place: Place

    def __str__(self) -> str:
        return f"they differ at offset {self.offset}: {self.place}"


def verify(
    archive: Path | Readable, manifest: Manifest, *, name: str | None = None, progress: Progress | None = None
) -> Verified:
    """Check every byte of an archive, in one pass and with constant memory.

    Args:
        archive: the file, or a stream of it.
        manifest: its expected members.
        name: its name in errors; default the path.
        progress: receives the number of bytes of the archive as they are checked.

    Raises:
        ArchiveError: the archive does not match the manifest.
        UserError: the file cannot be opened.
    """
    layout = Layout.of(manifest.members)
    with (progress or Silent()).bar("checking", layout.size) as advance, ThreadPoolExecutor(1) as hasher:
        if not isinstance(archive, Path):
            return _Check(layout, manifest.members, archive, name or "the archive", advance, hasher).run()
        try:
            file = archive.open("rb", buffering=0)
        except OSError as error:
            raise UserError(f"cannot open the archive: {error.strerror}", where=str(archive)) from error
        with file:
            return _Check(layout, manifest.members, file, name or str(archive), advance, hasher).run()


@dataclass
class _Check:
    """One pass over an archive."""

    layout: Layout
    members: tuple[Member, ...]
    stream: Readable
    name: str
    advance: Callable[[int], None]
    hasher: ThreadPoolExecutor

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
            raise self._broken("there are bytes after the end", self._offset)
        return Verified(layout.size, Digest("sha256", self._archive.hexdigest()), crc, tuple(self._contents))

    def _literal(self, piece: Literal) -> None:
        data = self._take(len(piece.data))
        self._archive.update(data)
        if data != piece.data:
            raise self._broken(
                "a byte differs from the expected one", piece.offset + _first_difference(data, piece.data)
            )
        if piece.index is not None and piece.index == len(self._contents) and not self.members[piece.index].size:
            self._found(self.members[piece.index], Digest.sha256(b""), 0, piece.end)

    def _content(self, piece: Slice) -> None:
        digest, crc, start = hashlib.sha256(), 0, self._offset
        for position in range(0, piece.framed_length, _CHUNK):
            data = memoryview(self._take(min(_CHUNK, piece.framed_length - position)))
            if len(data) < framing.STRIDE:  # too few bytes for another thread to be faster
                self._archive.update(data)
                hashed = None
            else:
                hashed = self.hasher.submit(self._archive.update, data)
            for block in self._blocks(data, piece.length - position // framing.STRIDE * framing.BLOCK):
                digest.update(block)
                crc = checksum.crc32(block, crc)
            if hashed:
                hashed.result()
        self._found(self.members[piece.index], Digest("sha256", digest.hexdigest()), crc, start)

    def _blocks(self, data: memoryview, left: int) -> Iterator[memoryview]:
        """The blocks in `data`, which begins with a block header; `left` bytes of the content are not read yet."""
        start = self._offset - len(data)
        for position in range(0, len(data), framing.STRIDE):
            body = position + framing.HEADER
            length = min(framing.BLOCK, left)
            header, expected = bytes(data[position:body]), framing.block_header(length)
            if header != expected:
                offset = start + position + _first_difference(header, expected)
                raise self._broken("the framing is not that of format 1", offset)
            yield data[body : body + length]
            left -= length

    def _found(self, member: Member, digest: Digest, crc: int, start: int) -> None:
        if digest != member.digest:
            raise self._broken(
                f"the content of {member.path} has digest {digest}, the manifest has {member.digest}", start
            )
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
    """Compare two archives byte by byte; None if they are equal. `layout` is that of the first.

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
