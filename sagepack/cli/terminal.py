"""Progress on stderr: bars where a person watches, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sagepack.cli.output import echo
from sagepack.text import format_bytes, format_duration, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagepack.errors import Diagnostic

_QUIET_SECONDS = 10.0


class Terminal:
    """Progress on stderr: bars where a person watches, plain lines at most every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._watched = sys.stderr is not None and sys.stderr.isatty()
        self._shown: Any = None
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            if self._shown is None:
                echo(text)
            else:  # above the bar, not into it
                self._shown.write(printable(text), file=self._shown.fp)

    def warn(self, warning: Diagnostic) -> None:
        """Print the lines of a warning."""
        first, *rest = warning.lines()
        for line in (f"warning: {first}", *rest):
            self.note(line)

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Say that a step runs, and when it ends how long it took."""
        begun = time.monotonic()
        self.note(f"{name}: {'; '.join(reasons)}")
        yield
        self.note(f"{name}: done in {format_duration(time.monotonic() - begun)}")

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Say that something takes a while."""
        self.note(label)
        yield

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar, or lines."""
        with (self._bar if self._watched else self._lines)(label, total) as add:
            yield add

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        import tqdm  # noqa: PLC0415 - slow to import, and only a terminal needs it

        terminal = getattr(sys.stderr, "stream", sys.stderr)  # which the bar steers, past the guard of the stream
        units: Any = {"unit": "B", "unit_scale": True, "unit_divisor": 1024}
        with tqdm.tqdm(total=total, desc=printable(label), leave=False, file=terminal, **units) as shown:

            def add(count: int) -> None:
                with self._lock:
                    shown.update(count)

            self._shown = shown
            try:
                yield add
            finally:
                self._shown = None

    @contextmanager
    def _lines(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        begun = said = time.monotonic()
        done = 0

        def add(count: int) -> None:
            nonlocal done, said
            with self._lock:
                done += count
                now = time.monotonic()
                if now - said < _QUIET_SECONDS:
                    return
                said = now
            self.note(f"{label}: {format_bytes(done)} of {format_bytes(total)}, {format_bytes(done / (now - begun))}/s")

        yield add
        seconds = time.monotonic() - begun
        self.note(f"{label}: {format_bytes(done)} in {format_duration(seconds)}")
