"""A buffer as the body of a request, without a copy of it."""

from __future__ import annotations

import io
from typing import Any

_PIECE = 1 << 20


class Body(io.RawIOBase):
    """A file over a buffer, as botocore wants a body that it may rewind.

    A plain buffer would do, but signing with the AWS CRT copies it whole. `read` gives a view of up to 1 MiB even to those
    who ask for less: urllib3 asks for 16 KiB at a time, takes what comes, and each piece costs a system call.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        super().__init__()
        self._view = memoryview(data)
        self._position = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always: a retry starts over."""
        return True

    def read(self, size: int = -1) -> Any:
        """The next bytes, as a view; an empty one at the end."""
        end = len(self._view) if size < 0 else self._position + max(size, _PIECE)
        piece = self._view[self._position : end]
        self._position += len(piece)
        return piece

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` as far as there are bytes."""
        piece = self._view[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        self._position = max(0, (0, self._position, len(self._view))[whence] + offset)
        return self._position

    def tell(self) -> int:
        """As of any file."""
        return self._position
