"""A buffer as the body of a request, without a copy of it."""

from __future__ import annotations

import io
from typing import Any

_PIECE = 1 << 20


class Body(io.RawIOBase):
    """A seekable file over a buffer, as botocore needs it to send the body again in a retry.

    A plain buffer would work too, but signing with the AWS CRT copies it whole. `read` returns a view of up to 1 MiB even if
    less is requested: urllib3 requests 16 KiB at a time, sends whatever it gets, and each piece costs a system call.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        super().__init__()
        self._view = memoryview(data)
        self._position = 0

    def readable(self) -> bool:
        """True: the body is there to be read."""
        return True

    def seekable(self) -> bool:
        """True: a retry starts at the beginning again."""
        return True

    def read(self, size: int = -1) -> Any:
        """The next bytes, as a view; an empty one at the end."""
        end = len(self._view) if size < 0 else self._position + max(size, _PIECE)
        piece = self._view[self._position : end]
        self._position += len(piece)
        return piece

    def readinto(self, buffer: Any) -> int:
        """Copy the next bytes into `buffer`; returns how many, 0 at the end."""
        piece = self._view[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end; returns the new position (`io.IOBase.seek`)."""
        self._position = max(0, (0, self._position, len(self._view))[whence] + offset)
        return self._position

    def tell(self) -> int:
        """The position in bytes."""
        return self._position
