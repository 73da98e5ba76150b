"""What a container writes to stdout and stderr: passed on line by line as it comes, and its end kept for messages."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import IO

_KEPT_LINES = 15
_CHUNK = 65_536
_MAX_LINE = 16_384  # bytes; a longer line goes on in the next one, as with docker
_DRAIN_SECONDS = 2.0


class ContainerLog:
    """The log of one container.

    A thread reads, so that the container never waits for whoever takes the lines.
    """

    def __init__(self, write: Callable[[Sequence[str]], None]) -> None:
        """Nothing is read yet.

        Args:
            write: takes the lines that were written since it was last called, oldest first; called from the thread.
        """
        self._write = write
        self._last: deque[str] = deque(maxlen=_KEPT_LINES)
        self._lock = threading.Lock()
        self._closed = False
        self._reader: threading.Thread | None = None

    def follow(self, pipe: IO[bytes]) -> None:
        """Read a pipe until its end, from a thread, and close it."""
        self._reader = threading.Thread(target=self._read, args=(pipe,), name="container-log", daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        rest = b""
        with pipe:
            while chunk := os.read(pipe.fileno(), _CHUNK):
                *lines, rest = (rest + chunk).split(b"\n")
                while len(rest) > _MAX_LINE:
                    lines.append(rest[:_MAX_LINE])
                    rest = rest[_MAX_LINE:]
                self._pass_on(lines)
        self._pass_on([rest] if rest else [])

    def _pass_on(self, lines: list[bytes]) -> None:
        texts = [line[at : at + _MAX_LINE] for line in lines for at in range(0, max(len(line), 1), _MAX_LINE)]
        decoded = [text.decode(errors="replace").rstrip("\r") for text in texts]
        with self._lock:
            self._last.extend(decoded)
            if decoded and not self._closed:
                self._write(decoded)

    def end(self) -> str:
        """The last lines, all of them if the container has ended."""
        if self._reader:
            self._reader.join(_DRAIN_SECONDS)
        with self._lock:
            return "\n".join(self._last)

    def close(self) -> None:
        """Pass nothing on from now on."""
        with self._lock:
            self._closed = True
