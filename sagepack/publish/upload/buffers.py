"""Buffers for parts, which are reused."""

from __future__ import annotations

import threading


class Buffers:
    """A pool of buffers.

    Allocating a buffer for every part takes twice the memory: the C library keeps what a thread frees for that thread, and
    splits it for small allocations, so that the next part does not fit there any more.
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, length: int) -> bytearray:
        """A buffer of `length` bytes with arbitrary content."""
        with self._lock:
            buffer = self._free.pop() if self._free else bytearray(length)
        try:
            if len(buffer) >= length:
                del buffer[length:]
            else:
                buffer.extend(bytes(length - len(buffer)))
        except BufferError:
            # A view of it still exists (of a failed request, in a traceback), so it cannot be resized: use a new one.
            return bytearray(length)
        return buffer

    def give(self, buffer: bytearray) -> None:
        """Return a buffer to the pool."""
        with self._lock:
            self._free.append(buffer)
