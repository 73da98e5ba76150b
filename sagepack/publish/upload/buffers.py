"""Buffers for parts, used again and again."""

from __future__ import annotations

import threading


class Buffers:
    """Hands out buffers and takes them back.

    Freshly allocated ones would take twice the memory: what a thread frees, the C library keeps for that thread, and
    splits it for small things, so that the next part does not fit any more.
    """

    def __init__(self) -> None:
        self._free: list[bytearray] = []
        self._lock = threading.Lock()

    def take(self, length: int) -> bytearray:
        """A buffer of `length` bytes, with anything in it."""
        with self._lock:
            buffer = self._free.pop() if self._free else bytearray(length)
        try:
            if len(buffer) >= length:
                del buffer[length:]
            else:
                buffer.extend(bytes(length - len(buffer)))
        except BufferError:
            # Somebody still looks at it (a failed request, in a traceback): it is left to them.
            return bytearray(length)
        return buffer

    def give(self, buffer: bytearray) -> None:
        """Take back a buffer that is not used any more."""
        with self._lock:
            self._free.append(buffer)
