"""The bytes of a part that is sent, and their sums."""

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
        index: the member.
        offset: where the stretch begins, in the stored form of the content (framed, or plain).
        start: first byte of the content in it.
        sums: of the stretch.
    """

    index: int
    offset: int
    start: int
    sums: FramedChecksums


class UploadTarget(Protocol):
    """An object that is put together from contents: an archive, or a single file."""

    @property
    def members(self) -> tuple[Member, ...]:
        """Whose contents it holds."""

    @property
    def size(self) -> int:
        """Bytes of the object."""

    @property
    def open_end(self) -> int:
        """Where the bytes begin that depend on the sums of all contents; `size` if there are none such."""

    def fill(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Put the bytes from `start` up to `open_end` into `data`.

        Returns:
            The stretches, each with its plain bytes; and the sums of all that was put.
        """

    def finish(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:
        """Put the bytes from `open_end` on into `data`; their sums."""

    def touched(self, start: int, end: int) -> Iterable[int]:
        """The members whose contents lie in `[start, end)`."""

    def place(self, index: int) -> tuple[int, int]:
        """Where the stored form of a content begins in the object, and its length."""

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The sums of the object, from those of its contents."""


@dataclass(frozen=True)
class Archive:
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
    def open_end(self) -> int:
        """The trailer holds the CRC-32 of everything before it."""
        return self.layout.trailer_offset

    def fill(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Frame the contents into `data`.

        Raises:
            IntegrityError: a source gave too few or too many bytes.
        """
        end = min(start + len(data), self.open_end)
        view, position = memoryview(data), 0
        try:
            for data_piece in self.layout.read(min(start, end), end, opener):
                view[position : position + len(data_piece)] = data_piece
                position += len(data_piece)
        except ValueError as error:
            raise IntegrityError(f"a content is not as long as the manifest says: {error}") from error
        stretches, sums = [], Checksums()
        for piece in self.layout.pieces(min(start, end), end):
            if isinstance(piece, Slice):
                stretches.append(self._stretch(piece, view[piece.offset - start : piece.end - start]))
                sums += stretches[-1][0].sums.framed
            else:
                sums += Checksums.of(piece.data)
        return stretches, sums

    def _stretch(self, piece: Slice, framed: memoryview) -> tuple[ContentRange, list[memoryview]]:
        offset = piece.offset - self.layout.entries[piece.index].content_offset
        views = list(plain_views(framed, offset))
        sums = FramedChecksums(Checksums.of(framed), _plain(views))
        return ContentRange(piece.index, offset, piece.start, sums), views

    def finish(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:
        """Put in the trailer, as far as it lies in `data`."""
        low, put = max(start, self.open_end), Checksums()
        crc = tar_crc(self.layout, [one.plain.crc32 for one in sums])
        for piece in self.layout.pieces(low, start + len(data), crc):
            if not isinstance(piece, Slice):
                data[piece.offset - start : piece.end - start] = piece.data
                put += Checksums.of(piece.data)
        return put

    def touched(self, start: int, end: int) -> Iterable[int]:
        """The members whose contents lie in `[start, end)`."""
        pieces = self.layout.pieces(start, min(end, self.open_end)) if start < self.open_end else ()
        return (piece.index for piece in pieces if isinstance(piece, Slice))

    def place(self, index: int) -> tuple[int, int]:
        """Offset and length of a framed content."""
        return self.layout.entries[index].content_offset, self.layout.entries[index].content_length

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The sums of the archive."""
        return archive_sums(self.layout, sums, tar_crc(self.layout, [one.plain.crc32 for one in sums]))


@dataclass(frozen=True)
class File:
    """A single file as a target: layout `prefix`."""

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
    def open_end(self) -> int:
        """Nothing depends on anything."""
        return self.size

    def fill(
        self, data: bytearray, start: int, opener: Opener
    ) -> tuple[list[tuple[ContentRange, list[memoryview]]], Checksums]:
        """Put the bytes of the file into `data`.

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
        sums = Checksums.of(view)
        return [
            (ContentRange(0, start, start, FramedChecksums(sums, ContentChecksum(sums.crc32, sums.length))), [view])
        ], sums

    def finish(self, data: bytearray, start: int, sums: Sequence[FramedChecksums]) -> Checksums:  # noqa: ARG002 - see below
        """A file has no bytes that depend on sums."""
        return Checksums()

    def touched(self, start: int, end: int) -> Iterable[int]:  # noqa: ARG002 - the one file is everywhere
        """The file."""
        return (0,)

    def place(self, index: int) -> tuple[int, int]:  # noqa: ARG002 - there is one
        """All of the object."""
        return 0, self.size

    def whole(self, sums: Sequence[FramedChecksums]) -> Checksums:
        """The sums of the file."""
        return sums[0].framed


def _plain(views: list[memoryview]) -> ContentChecksum:
    crc = length = 0
    for view in views:
        crc, length = crc32(view, crc), length + len(view)
    return ContentChecksum(crc, length)
