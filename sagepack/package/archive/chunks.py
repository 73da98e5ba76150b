"""Divides an archive into chunks, the units of work of the writer.

A chunk is a range of the archive that is assembled in one buffer, hashed there, and written with one call. Chunks of a
large content begin at its block boundaries; small members share a chunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.package.archive.framing import BLOCK, STRIDE
from sagepack.package.archive.layout import Literal, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of the archive.

    Attributes:
        offset: of its first byte in the archive.
        length: bytes.
        pieces: its parts, in order; every slice begins with a block header and ends with a block.
    """

    offset: int
    length: int
    pieces: tuple[Literal | Slice, ...]


def chunks(pieces: Iterable[Literal | Slice], limit: int) -> Iterator[Chunk]:
    """Group consecutive pieces into chunks.

    Args:
        pieces: from `Layout.pieces`, for a range that contains contents as a whole.
        limit: most bytes of a chunk; at least the longest header, and one block.
    """
    group: list[Literal | Slice] = []
    used = 0
    for part in _parts(pieces, limit):
        length = part.end - part.offset
        if used + length > limit:
            yield Chunk(group[0].offset, used, tuple(group))
            group, used = [], 0
        group.append(part)
        used += length
    if group:
        yield Chunk(group[0].offset, used, tuple(group))


def _parts(pieces: Iterable[Literal | Slice], limit: int) -> Iterator[Literal | Slice]:
    """The pieces, with slices longer than a chunk divided at block boundaries."""
    blocks = limit // STRIDE
    for piece in pieces:
        if isinstance(piece, Literal):
            yield piece
            continue
        for first in range(0, piece.framed_length, blocks * STRIDE):
            length = min(blocks * STRIDE, piece.framed_length - first)
            start = first // STRIDE * BLOCK
            yield Slice(
                piece.offset + first,
                length,
                piece.index,
                piece.start + start,
                min(blocks * BLOCK, piece.length - start),
            )
