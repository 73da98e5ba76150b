"""The bytes of a part that is sent, and their checksums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sagepack.errors import IntegrityError
from sagepack.package.archive.crc32 import crc32, tar_crc
from sagepack.package.archive.layout import Slice
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums, archive_sums
from sagepack.publish.upload.sources import plain_views

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sagepack.package.archive.layout import Layout
    from sagepack.package.manifest import Manifest, Member

    Opener = Callable[[int, int, int], Iterable[bytes]]  # member index, offset and length within its content


@dataclass(frozen=True)
class ContentRange:
    """What a part holds of one content.

    Attributes:
        index: of the member.
        offset: where the range begins in the stored form of the content (framed in an archive, plain as a file).
        start: first byte of the content in it.
        sums: checksums of the range.
    """

    index: int
    offset: int
    start: int
    sums: FramedChecksums


class UploadTarget(Protocol):
    """An object that is put together from contents: an archive, or a single file."""

    @property
    def members(self) -> tuple[Member, ...]:
        """The members whose contents it holds."""

    @property
    def size(self) -> int:
        """Bytes of the object."""

    @property
    def trailer_offset(self) -> int:
        """Where the bytes begin that depend on the checksums of all contents; `size` if there are none such."""

    def write(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Write the bytes of the object from `start` into `data`, up to `trailer_offset`.

        Returns:
            The ranges of contents, each with views of its plain bytes; and the checksums of all that was written.

        Raises:
            IntegrityError: a source gave too few or too many bytes.
        """

    def write_trailer(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:
        """Write the bytes from `trailer_offset` on into `data`, which begins at `start`; their checksums."""

    def members_in(self, start: int, end: int) -> Iterable[int]:
        """Indexes of the members of whose contents something lies in `[start, end)`."""

    def place(self, index: int) -> tuple[int, int]:
        """Where the stored form of a content begins in the object, and its length."""

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The checksums of the object, from those of its contents."""


@dataclass(frozen=True)
class ArchiveTarget:
    """An archive of format 1 as a target."""

    layout: Layout
    manifest: Manifest

    @property
    def members(self) -> tuple[Member, ...]:
        """The members in archive order."""
        return self.manifest.members

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.layout.size

    @property
    def trailer_offset(self) -> int:
        """The trailer holds the CRC-32 of the tar stream."""
        return self.layout.trailer_offset

    def write(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Write headers, padding and framed contents into `data`.

        Raises:
            IntegrityError: a source gave too few or too many bytes.
        """
        end = min(start + len(data), self.trailer_offset)
        view, position = memoryview(data), 0
        try:
            for data_piece in self.layout.read(min(start, end), end, opener):
                view[position : position + len(data_piece)] = data_piece
                position += len(data_piece)
        except ValueError as error:
            raise IntegrityError(f"a content is not as long as the manifest says: {error}") from error
        ranges, total = [], Checksums()
        for piece in self.layout.pieces(min(start, end), end):
            if not isinstance(piece, Slice):
                total += Checksums.of(piece.data)
                continue
            framed = view[piece.offset - start : piece.end - start]
            offset = piece.offset - self.layout.entries[piece.index].content_offset
            views = list(plain_views(framed, offset))
            crc = length = 0
            for plain_view in views:
                crc, length = crc32(plain_view, crc), length + len(plain_view)
            sums = FramedChecksums(Checksums.of(framed), ContentChecksum(crc, length))
            ranges.append((ContentRange(piece.index, offset, piece.start, sums), views))
            total += sums.framed
        return ranges, total

    def write_trailer(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:
        """Write the trailer, as far as it lies in `data`."""
        low, written = max(start, self.trailer_offset), Checksums()
        crc = tar_crc(self.layout, [one.plain.crc32 for one in sums])
        for piece in self.layout.pieces(low, start + len(data), crc):
            if not isinstance(piece, Slice):
                data[piece.offset - start : piece.end - start] = piece.data
                written += Checksums.of(piece.data)
        return written

    def members_in(self, start: int, end: int) -> Iterable[int]:
        """Indexes of the members of whose contents something lies in `[start, end)`."""
        pieces = self.layout.pieces(start, min(end, self.trailer_offset)) if start < self.trailer_offset else ()
        return (piece.index for piece in pieces if isinstance(piece, Slice))

    def place(self, index: int) -> tuple[int, int]:
        """Offset and length of a framed content."""
        return self.layout.entries[index].content_offset, self.layout.entries[index].content_length

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The checksums of the archive."""
        return archive_sums(self.layout, sums, tar_crc(self.layout, [one.plain.crc32 for one in sums]))


@dataclass(frozen=True)
class FileTarget:
    """A single file as a target, for a package in format `prefix`."""

    member: Member

    @property
    def members(self) -> tuple[Member, ...]:
        """The file."""
        return (self.member,)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.member.size

    @property
    def trailer_offset(self) -> int:
        """A file has no trailer."""
        return self.size

    def write(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Write the bytes of the file into `data`.

        Raises:
            IntegrityError: a source gave too few or too many bytes.
        """
        view, position = memoryview(data), 0
        for piece in opener(0, start, len(data)):
            if position + len(piece) > len(data):
                raise IntegrityError("a content is longer than the manifest says", where=self.member.path)
            view[position : position + len(piece)] = piece
            position += len(piece)
        if position < len(data):
            raise IntegrityError("a content is shorter than the manifest says", where=self.member.path)
        total = Checksums.of(view)
        sums = FramedChecksums(total, ContentChecksum(total.crc32, total.length))
        return [(ContentRange(0, start, start, sums), [view])], total

    def write_trailer(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:  # noqa: ARG002 - see below
        """A file has no trailer: there is nothing to write."""
        return Checksums()

    def members_in(self, start: int, end: int) -> Iterable[int]:  # noqa: ARG002 - the one file is everywhere
        """The index of the file."""
        return (0,)

    def place(self, index: int) -> tuple[int, int]:  # noqa: ARG002 - there is one
        """The file is all of the object."""
        return 0, self.size

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The checksums of the file."""
        return sums[0].framed
