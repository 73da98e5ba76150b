"""Lines at the bottom of a terminal that are drawn again and again; everything else is printed above them.

The cursor is never hidden and nothing of the terminal is changed, so whatever ends the program leaves a terminal that works.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from sagepack.cli.layout import Screen, cells, plain, shortened
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagepack.cli.layout import Block, Line

_FIRST_SECONDS = 0.3  # what ends sooner is not drawn at all
_SECONDS = 0.1  # between two drawings


class Region:
    """Draws what a function returns, in a thread, from `start` to `stop`. Every method may be called from any thread."""

    def __init__(self, stream: TextIO, content: Callable[[Screen], Sequence[Line]]) -> None:
        self._stream, self._content = stream, content
        self._lock = threading.RLock()
        self._stopped: threading.Event | None = None
        self._height = 0
        self._unfinished = ""

    def start(self) -> None:
        """Draw from now on; nothing if it does already."""
        with self._lock:
            if self._stopped is None:
                self._stopped = threading.Event()
                threading.Thread(target=self._run, args=(self._stopped,), name="progress", daemon=True).start()

    def stop(self) -> None:
        """Draw no more, and leave nothing of it."""
        with self._lock:
            if self._stopped is not None:
                self._stopped.set()
            self._stopped = None
            self._write(self._erased())
            self._height = 0

    def print(self, block: Block) -> None:
        """Print lines above what is drawn."""
        with self._lock:
            screen = Screen.of(self._stream)
            erased = self._erased()
            drawn = self._drawn(screen) if erased else ""  # the thread draws it for the first time
            lines = "".join(f"{screen.painted(line)}\n" for line in screen.lines([block]))
            self._write(f"{erased}{lines}{drawn}")

    def write(self, text: str) -> None:
        """Print text of others, once its lines are whole."""
        with self._lock:
            *lines, self._unfinished = (self._unfinished + text).split("\n")
            for line in lines:
                self.print(line)

    def _run(self, stopped: threading.Event) -> None:
        seconds = _FIRST_SECONDS
        while not stopped.wait(seconds):
            with self._lock:
                if not stopped.is_set():
                    self._write(self._erased() + self._drawn(Screen.of(self._stream)))
            seconds = _SECONDS

    def _drawn(self, screen: Screen) -> str:
        """The region, for the place of the cursor."""
        width = screen.width - 1  # a full line would let the cursor wrap
        lines = [
            line
            if cells(printable(plain(line))) <= width
            else shortened(printable(plain(line)), width, screen.ellipsis)
            for line in self._content(screen)
        ]
        self._height = len(lines)
        return "\n".join(screen.painted(line) for line in lines)

    def _erased(self) -> str:
        """What removes the region; the cursor is in its last line."""
        return ("\r" + (f"\x1b[{self._height - 1}A" if self._height > 1 else "") + "\x1b[J") if self._height else ""

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # that nobody watches any more ends no work
            if text:
                self._stream.write(text)
                self._stream.flush()
