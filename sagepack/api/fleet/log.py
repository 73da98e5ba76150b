"""A job's own lines, in a file that a person reads when it failed, and while it runs."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from sagepack.progress import Silent
from sagepack.text import format_bytes, format_duration, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sagepack.errors import Diagnostic

_QUIET_SECONDS = 5.0  # between two lines about the same bar
_TAIL_BYTES = 4096


class LogFile(Silent):
    """Progress as lines of a file, each with its time; a disk that takes no more of them ends no work.

    Args:
        file: open for writing text.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._step = ""

    def note(self, text: str) -> None:
        """Write one line; within a step with the step's name."""
        self.write(f"{self._step}: {text}" if self._step else text)

    def warn(self, warning: Diagnostic) -> None:
        """Write the lines of a warning."""
        for line in warning.lines():
            self.write(f"warning: {line}")

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Say that a step runs, and when it ends how long it took."""
        self.write(f"{name}: {'; '.join(reasons)}")
        begun, self._step, ended = time.monotonic(), name, "stopped"
        try:
            yield
            ended = "ended"
        finally:
            self._step = ""
            self.write(f"{name}: {ended} ({format_duration(time.monotonic() - begun)})")

    def done(self, text: str) -> None:
        """Say what the running step has done."""
        self.note(text)

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Say that something may take a while."""
        self.note(f"{label} ...")
        yield

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Say how far something is, now and then."""
        begun = said = time.monotonic()
        done = 0

        def add(count: int) -> None:
            nonlocal done, said
            done += count
            now = time.monotonic()
            if now - said >= _QUIET_SECONDS:
                said = now
                self.note(
                    f"{label}: {format_bytes(done)} of {format_bytes(total)}, {format_bytes(done / (now - begun))}/s"
                )

        yield add

    def write(self, text: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError):  # a full disk; closed, by a thread that ends after its job
            self._file.write(f"{time.strftime('%H:%M:%S')} {printable(text)}\n")
            self._file.flush()


def last_line(path: Path) -> str:
    """The newest line of a log, without its time; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1].partition(" ")[2] if lines else ""
