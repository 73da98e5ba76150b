"""How an archive is cut into pieces of work.

A chunk is a stretch of the archive that is put together in one buffer, hashed there, and written with one call. Chunks
of a large content begin at its block boundaries; small members share a chunk.
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
    """A stretch of the archive.

    Attributes:
        offset: where in the archive.
        length: bytes.
        pieces: what it is made of, in order; every slice begins with a block header and ends with its block.
    """

    offset: int
    length: int
    pieces: tuple[Literal | Slice, ...]


def chunks(pieces: Iterable[Literal | Slice], limit: int) -> Iterator[Chunk]:
    """Pack pieces that follow each other into chunks of at most `limit` bytes.

    Args:
        pieces: from `Layout.pieces`, of a range that cuts no content.
        limit: bytes; at least the longest header and one block.
    """
    held: list[Literal | Slice] = []
    used = 0
    for part in _parts(pieces, limit):
        length = part.end - part.offset
        if used + length > limit:
            yield Chunk(held[0].offset, used, tuple(held))
            held, used = [], 0
        held.append(part)
        used += length
    if held:
        yield Chunk(held[0].offset, used, tuple(held))


def _parts(pieces: Iterable[Literal | Slice], limit: int) -> Iterator[Literal | Slice]:
    """The pieces, with slices longer than a chunk cut at block boundaries."""
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
