"""The format of the archive (format 1): the position of every byte, from paths and sizes alone.

    archive = gzip header (10 bytes), one member after another, end marker, trailer
    member  = header run, content run, padding run
    trailer = 01 00 00 ff ff (the empty final block), CRC-32, ISIZE (both of the tar stream, little-endian)

- Members are regular files in `archive_order`: by path, everything under `code/` last.
- The header run is the tar header of `tar_header.tar_header`; the content run is the file; the padding run is the zero bytes
  up to a multiple of 512; the end marker is a run of 1,024 zero bytes. There is no padding to a full tar record.
- Each run starts a new stored block, and is framed as in `framing`. A run of no bytes has no block: the content of an empty
  file, and the padding of a file whose size is a multiple of 512.

So an archive is a pure function of its members, the framed bytes of a content depend on that content only, and a reader can
seek. No file is read or written here.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

from sagepack.package.archive import framing
from sagepack.package.archive.tar_header import END, padding, tar_header
from sagepack.package.manifest import archive_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Opener = Callable[
        [int, int, int], Iterable[bytes | memoryview]
    ]  # member index, offset and length within its content

FORMAT = 1

_FRAMED_END = framing.frame(END)


class Shape(Protocol):
    """The properties of a member that the layout depends on; `manifest.Member` and `source.Source` have them."""

    @property
    def path(self) -> str:
        """Relative POSIX path."""

    @property
    def size(self) -> int:
        """Bytes of content."""

    @property
    def executable(self) -> bool:
        """Mode 0755 instead of 0644."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The position of a member. Offsets count from the first byte of the archive.

    Attributes:
        path: relative POSIX path.
        size: bytes of content, without framing.
        executable: mode 0755 instead of 0644.
        raw_header: the tar header, not framed.
        offset: where the framed header starts.
        content_offset: where the framed content starts.
        padding_offset: where the framed content ends and the framed padding starts.
        end: where the framed padding ends.
    """

    path: str
    size: int
    executable: bool
    raw_header: bytes
    offset: int
    content_offset: int
    padding_offset: int
    end: int

    @property
    def content_length(self) -> int:
        """Bytes of the framed content."""
        return self.padding_offset - self.content_offset

    @property
    def header(self) -> bytes:
        """The framed tar header, at `offset`."""
        return framing.frame(self.raw_header)

    @property
    def padding(self) -> bytes:
        """The framed padding, at `padding_offset`."""
        return framing.frame(bytes(padding(self.size)))


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes of the archive that depend on the layout only, not on a content.

    Attributes:
        offset: of the first byte in the archive.
        data: the bytes.
        index: the member they belong to; None for the gzip header, the end marker and the trailer.
    """

    offset: int
    data: bytes
    index: int | None

    @property
    def end(self) -> int:
        """One past the last byte, in the archive."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of the framed content of one member.

    Attributes:
        offset: of the first byte in the archive.
        framed_length: bytes in the archive, block headers included.
        index: the member.
        start: first byte of the content in the range.
        length: bytes of the content in the range; 0 if the range is within a block header.
    """

    offset: int
    framed_length: int
    index: int
    start: int
    length: int

    @property
    def end(self) -> int:
        """One past the last byte, in the archive."""
        return self.offset + self.framed_length


@dataclass(frozen=True)
class Place:
    """A position in the archive, for messages: `within` bytes into `part` of `path` (None: of the archive itself)."""

    path: str | None
    part: str
    within: int

    def __str__(self) -> str:
        member = f" of {self.path}" if self.path is not None else ""
        return f"byte {self.within} of the {self.part}{member}"


@dataclass(frozen=True)
class Layout:
    """Every offset of an archive, and every byte that is not content.

    Raises:
        ValueError: the members are not in archive order.
    """

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, members: Sequence[Shape]) -> Layout:
        """The layout of `members`, which must be in archive order."""
        entries = []
        offset = len(framing.GZIP_HEADER)
        for member in members:
            header = tar_header(member.path, member.size, executable=member.executable)
            content = offset + framing.framed_length(len(header))
            pad = content + framing.framed_length(member.size)
            end = pad + framing.framed_length(padding(member.size))
            entries.append(Entry(member.path, member.size, member.executable, header, offset, content, pad, end))
            offset = end
        return cls(tuple(entries))

    def __post_init__(self) -> None:
        keys = [archive_order(entry.path) for entry in self.entries]
        for before, after in pairwise(keys):
            if not before < after:
                raise ValueError(f"not in archive order: {after[1]!r} after {before[1]!r}")

    @property
    def end_offset(self) -> int:
        """Where the framed end marker starts, after the last member."""
        return self.entries[-1].end if self.entries else len(framing.GZIP_HEADER)

    @property
    def trailer_offset(self) -> int:
        """Where the trailer starts. All bytes before it are known without the CRC-32."""
        return self.end_offset + len(_FRAMED_END)

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.trailer_offset + framing.TRAILER

    @cached_property
    def tar_size(self) -> int:
        """Bytes of the tar stream; ISIZE is this modulo 2^32."""
        members = (len(entry.raw_header) + entry.size + padding(entry.size) for entry in self.entries)
        return sum(members) + len(END)

    @cached_property
    def _offsets(self) -> list[int]:
        return [entry.offset for entry in self.entries]

    def member_at(self, offset: int) -> int | None:
        """Index of the member whose header, content or padding lies at `offset`."""
        index = bisect_right(self._offsets, offset) - 1
        return index if index >= 0 and offset < self.entries[index].end else None

    def place(self, offset: int) -> Place:
        """The position of `offset`, for messages."""
        index = self.member_at(offset)
        if index is not None:
            entry = self.entries[index]
            if offset < entry.content_offset:
                return Place(entry.path, "header", offset - entry.offset)
            if offset < entry.padding_offset:
                return Place(entry.path, "framed content", offset - entry.content_offset)
            return Place(entry.path, "padding", offset - entry.padding_offset)
        if offset < len(framing.GZIP_HEADER):
            return Place(None, "gzip header", offset)
        if offset < self.trailer_offset:
            return Place(None, "end marker", offset - self.end_offset)
        return Place(None, "trailer", offset - self.trailer_offset)

    def pieces(self, start: int, end: int, crc: int | None = None) -> Iterator[Literal | Slice]:
        """The range `[start, end)` of the archive, in order, as known bytes and ranges of contents.

        Args:
            start: first byte.
            end: one past the last byte, at most `size`.
            crc: CRC-32 of the tar stream (`crc32.tar_crc`); required if the range includes bytes of the trailer.

        Raises:
            ValueError: the range is not within the archive, or it includes bytes of the trailer and `crc` is None.
        """
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"[{start}, {end}) is not within the {self.size} bytes of the archive")
        yield from _clip(Literal(0, framing.GZIP_HEADER, None), start, end)
        first = max(bisect_right(self._offsets, start) - 1, 0)
        for index in range(first, len(self.entries)):
            if self.entries[index].offset >= end:
                break
            yield from self._member(index, start, end)
        yield from _clip(Literal(self.end_offset, _FRAMED_END, None), start, end)
        if end > self.trailer_offset and start < end:
            if crc is None:
                raise ValueError("the trailer needs the CRC-32 of the tar stream")
            yield from _clip(Literal(self.trailer_offset, framing.trailer(crc, self.tar_size), None), start, end)

    def _member(self, index: int, start: int, end: int) -> Iterator[Literal | Slice]:
        entry = self.entries[index]
        if start < entry.content_offset:
            yield from _clip(Literal(entry.offset, entry.header, index), start, end)
        low = max(start, entry.content_offset) - entry.content_offset
        high = min(end, entry.padding_offset) - entry.content_offset
        if low < high:
            first = framing.content_before(low)
            length = framing.content_before(high) - first
            yield Slice(entry.content_offset + low, high - low, index, first, length)
        yield from _clip(Literal(entry.padding_offset, entry.padding, index), start, end)

    def read(self, start: int, end: int, opener: Opener, crc: int | None = None) -> Iterator[bytes | memoryview]:
        """The bytes `[start, end)` of the archive, with contents from `opener`.

        Args:
            start: first byte.
            end: one past the last byte.
            opener: returns the bytes of a range of a member's content, in pieces of any size; it is called once for each
                member that has content in the range.
            crc: as for `pieces`.

        Raises:
            ValueError: as for `pieces`, or `opener` returned too few or too many bytes.
        """
        for piece in self.pieces(start, end, crc):
            if isinstance(piece, Literal):
                yield piece.data
            else:
                entry = self.entries[piece.index]
                content = opener(piece.index, piece.start, piece.length) if piece.length else ()
                low = piece.offset - entry.content_offset
                yield from framing.frame_range(content, entry.size, low, low + piece.framed_length)


def _clip(literal: Literal, start: int, end: int) -> Iterator[Literal]:
    low, high = max(start, literal.offset), min(end, literal.end)
    if low < high:
        yield Literal(low, literal.data[low - literal.offset : high - literal.offset], literal.index)
