"""The bytes of a file by ranges: few reads, and never more than a limit of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.scan.finding import Kind, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    # The bytes of a file: the offset of the first, and how many. All of them are in the file.
    Read = Callable[[int, int], bytes]

BLOCK = 64 << 10
"""Least bytes of a read: the header of most files of safetensors, the directory and the pickle of most archives of torch."""
_LARGEST_BLOCK = 1 << 20
LIMIT = 64 << 20
"""Most bytes that are read of one file."""


class Ranges:
    """The bytes of a file. Its head, its tail and the last block that was read stay in memory. For one thread.

    Args:
        read: gives bytes of the file.
        size: bytes of the file.

    Attributes:
        size: bytes of the file.
        bytes_read: how many were read so far.
    """

    def __init__(self, read: Read, size: int) -> None:
        self._read, self.size = read, size
        self.bytes_read = 0
        self._head: tuple[int, bytes] = (0, b"")
        self._tail: tuple[int, bytes] = (size, b"")
        self._block: tuple[int, bytes] = (0, b"")
        self._next = BLOCK

    def head(self, length: int) -> bytes:
        """The first bytes: `length`, or fewer if the file is shorter. With them comes a whole block, which stays in memory."""
        if not self._head[1]:
            self._head = (0, self._fetch(0, min(self.size, max(BLOCK, length))))
        return self.get(0, min(length, self.size))

    def tail(self, length: int) -> bytes:
        """The last bytes: `length`, or fewer if the file is shorter. With them comes a whole block, which stays in memory."""
        length = min(length, self.size)
        if not self._tail[1] and self.size > len(self._head[1]):
            begin = max(0, self.size - max(BLOCK, length))
            self._tail = (begin, self._fetch(begin, self.size - begin))
        return self.get(self.size - length, length)

    def get(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on.

        Raises:
            RefusedError: the file ends before them, or too much of it would be read.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise RefusedError(Kind.UNREADABLE, "ends before what it says it holds", f"byte {self.size}")
        for begin, data in (self._head, self._tail, self._block):
            if begin <= offset and offset + length <= begin + len(data):
                return data[offset - begin : offset - begin + length]
        # Who reads on where the last block ended gets larger blocks.
        follows = self._block[0] < offset <= self._block[0] + len(self._block[1])
        self._next = min(2 * self._next, _LARGEST_BLOCK) if follows else BLOCK
        data = self._fetch(offset, min(self.size - offset, max(length, self._next)))
        self._block = (offset, data)
        return data[:length]

    def _fetch(self, offset: int, length: int) -> bytes:
        if not length:
            return b""
        self.bytes_read += length
        if self.bytes_read > LIMIT:
            raise RefusedError(Kind.UNREADABLE, f"is too large to judge: {LIMIT >> 20} MiB of it were read")
        data = self._read(offset, length)
        if len(data) != length:
            raise RefusedError(Kind.UNREADABLE, "ends before its size says", f"byte {offset + len(data)}")
        return data
