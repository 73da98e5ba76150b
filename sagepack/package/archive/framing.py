"""The framing of gzip with stored deflate blocks: how many bytes it adds, and where.

A run of `n` bytes becomes `ceil(n / 65535)` stored blocks (RFC 1951, section 3.2.4): each a header of 5 bytes (0 for "not
the last, stored", the length and its complement, little-endian) and at most 65,535 bytes as they are. All blocks of a
run but its last are full, so that offsets convert both ways without a table. A run of no bytes has no block.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK = 65535  # the most that the 16-bit length of a stored block can say
HEADER = 5
STRIDE = BLOCK + HEADER

GZIP_HEADER = bytes.fromhex("1f8b08000000000000ff")  # RFC 1952: deflate, no flags, no time, no hint, unknown system
FINAL_BLOCK = bytes.fromhex("010000ffff")  # the empty stored block that ends the deflate stream
TRAILER = len(FINAL_BLOCK) + 8  # with CRC-32 and ISIZE


def block_header(length: int) -> bytes:
    """The 5 bytes before a stored block of `length` bytes that is not the last of the stream."""
    return struct.pack("<BHH", 0, length, length ^ 0xFFFF)


FULL_HEADER = block_header(BLOCK)


def framed_length(length: int) -> int:
    """Number of bytes in the archive of a run of `length` bytes."""
    return length + HEADER * -(-length // BLOCK)


def content_before(framed: int) -> int:
    """Number of bytes of a run within its first `framed` framed bytes."""
    blocks, rest = divmod(framed, STRIDE)
    return blocks * BLOCK + max(0, rest - HEADER)


def frame(run: bytes) -> bytes:
    """The framed bytes of a whole run."""
    blocks = [run[start : start + BLOCK] for start in range(0, len(run), BLOCK)]
    return b"".join(block_header(len(block)) + block for block in blocks)


def frame_range(content: Iterable[bytes | memoryview], size: int, start: int, end: int) -> Iterator[bytes | memoryview]:
    """The framed bytes `[start, end)` of a run of `size` bytes.

    Args:
        content: exactly the bytes `[content_before(start), content_before(end))` of the run, in pieces of any size.
        size: bytes of the whole run: it decides the length of the last block.
        start: first framed byte, which may lie within a block header.
        end: one past the last framed byte.

    Yields:
        Block headers, and slices of `content` that are not copied.

    Raises:
        ValueError: `content` ends too early or too late.
    """
    source = _Pieces(content)
    position = start
    while position < end:
        index, within = divmod(position, STRIDE)
        length = min(BLOCK, size - index * BLOCK)
        stop = min(end - index * STRIDE, HEADER + length)
        if within < HEADER:
            yield block_header(length)[within:stop]
        yield from source.take(stop - max(within, min(stop, HEADER)))
        position = index * STRIDE + stop
    source.finish()


class _Pieces:
    """Gives the bytes of an iterable of buffers in requested lengths, without copying them."""

    def __init__(self, pieces: Iterable[bytes | memoryview]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        while length:
            if not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    raise ValueError(f"the content ended {length} bytes before the end of a block")
                self._rest = memoryview(piece)
            head, self._rest = self._rest[:length], self._rest[length:]
            length -= len(head)
            if head:
                yield head

    def finish(self) -> None:
        if self._rest or any(len(piece) for piece in self._pieces):
            raise ValueError("the content is longer than the range")


def trailer(crc: int, size: int) -> bytes:
    """The end of the archive: the final block, CRC-32 and size modulo 2^32 of the tar stream."""
    return FINAL_BLOCK + struct.pack("<II", crc, size & 0xFFFFFFFF)
