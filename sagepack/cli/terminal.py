"""Progress on stderr: drawn where a person watches, plain lines elsewhere.

While something runs, a terminal shows a line for each thing that does: its sign turns, its time counts, and a bar tells how
far it is, how fast, and how long it will take. A step that has ended stays as one line with its outcome and its time. A log
gets a line when a step begins and one when it has ended.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sagepack.cli.layout import Screen, Span, is_watched
from sagepack.cli.output import as_called, echo, problem, unguarded
from sagepack.cli.region import Region
from sagepack.cli.running import Bar, Running, ended_step, noted
from sagepack.progress import Silent
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagepack.cli.layout import Block, Line
    from sagepack.errors import Diagnostic

_QUIET_SECONDS = 10.0  # between two lines of a log about the same bar
_TOLD_SECONDS = 1.0  # an activity that takes longer is told in a log
_KEPT_SECONDS = 2.0  # and within a step leaves a line on a terminal


class _Reporter(Silent, ABC):
    """What a terminal and a log have in common: what runs.

    Args:
        options: the flags that a proposed command needs to be about the same spec and environment.

    Attributes:
        write: prints what others write to stderr; None if that may be written as it comes.
    """

    write: Callable[[str], None] | None = None

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = options
        self._lock = threading.RLock()
        self._running: list[Running] = []

    @property
    def _step(self) -> Running | None:
        return next((running for running in self._running if running.is_step), None)

    @abstractmethod
    def note(self, text: str) -> None:
        """Print one line."""

    @abstractmethod
    def _print(self, block: Block) -> None: ...

    def warn(self, warning: Diagnostic) -> None:
        """Print the lines of a warning."""
        self._print(problem("warning", warning.lines()))

    def done(self, text: str) -> None:
        """Keep what the running step has done for the line that ends it."""
        if step := self._step:
            step.outcome.append(text)
        else:
            self.note(text)

    @contextmanager
    def _run(self, running: Running) -> Iterator[None]:
        with self._lock:
            self._running.append(running)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(running)

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Bar]:
        """The bar of a label, made by who needs it first."""
        with self._lock:
            bar = next((bar for bar in self._running if isinstance(bar, Bar) and bar.label == label), None)
            if bar is None:
                bar = Bar(label)
                self._running.append(bar)
            bar.total += total
            bar.users += 1
        try:
            yield bar
        finally:
            with self._lock:
                bar.users -= 1
                if not bar.users:
                    self._running.remove(bar)


class Log(_Reporter):
    """Plain lines."""

    def note(self, text: str) -> None:
        """Print one line; within a step with the step's name."""
        step, text = self._step, as_called(text, self._options)
        self._print(f"{step.label}: {text}" if step else text)

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Say that a step runs, and when it ends what it has done and how long it took."""
        running, ended = Running(name, is_step=True), "stopped"
        self._print(f"{name}: {'; '.join(reasons)}")
        try:
            with self._run(running):
                yield
            ended = "; ".join(running.outcome) or "done"
        finally:
            self._print(f"{name}: {ended} ({format_duration(running.seconds)})")

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Say that something takes a while, once it has."""
        timer = threading.Timer(_TOLD_SECONDS, self.note, (f"{label} ...",))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Say how far something is, and outside of a step when it has ended."""
        said = time.monotonic()

        def add(count: int) -> None:
            nonlocal said
            with self._lock:
                bar.done += count
                now = time.monotonic()
                if now - said < _QUIET_SECONDS:
                    return
                said = now
                done, rate = format_bytes(bar.done), format_bytes(bar.done / bar.seconds)
                text = f"{bar.label}: {done} of {format_bytes(bar.total)}, {rate}/s"
            self.note(text)

        with self._bar(label, total) as bar:
            yield add
        if not self._step:
            self.note(f"{label}: {format_bytes(bar.done)} in {format_duration(bar.seconds)}")

    def _print(self, block: Block) -> None:
        with self._lock:
            echo(block)


class Display(_Reporter):
    """Progress that is drawn on a terminal."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        super().__init__(options)
        self._stream = unguarded(sys.stderr)
        self._region = Region(self._stream, self._drawn)
        self.write = self._region.write

    def note(self, text: str) -> None:
        """Print a line above what is drawn, or several if it is long."""
        self._print(partial(noted, as_called(text, self._options), 2 if self._step else 0))

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Draw a step, and leave a line with its outcome and its time."""
        running = Running(name, "; ".join(reasons), is_step=True)
        ended = "bad"
        try:
            with self.shown(running):
                yield
            ended = "ok"
        finally:
            text = "; ".join(running.outcome) or (running.detail if ended == "ok" else "stopped")
            self._print(partial(ended_step, name, text, running.seconds, ended))

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Draw something that takes a while; within a step a line of it stays if it took long."""
        running = Running(label)
        with self.shown(running):
            yield
        if self._step and running.seconds > _KEPT_SECONDS:
            self._print((Span(f"  {label}  "), Span(format_duration(running.seconds), "dim")))

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Draw a bar."""

        def add(count: int) -> None:
            with self._lock:
                bar.done += count

        with self._drawing(), self._bar(label, total) as bar:
            yield add

    @contextmanager
    def shown(self, running: Running) -> Iterator[None]:
        """Draw something that runs."""
        with self._drawing(), self._run(running):
            yield

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """Draw as long as something runs."""
        self._region.start()
        try:
            yield
        finally:
            if not self._running:
                self._region.stop()

    def _drawn(self, screen: Screen) -> list[Line]:
        with self._lock:
            inner = "  " if self._step else ""
            return [running.line(screen, "" if running.is_step else inner) for running in self._running]

    def _print(self, block: Block) -> None:
        self._region.print(block)


def make_progress(options: Sequence[str] = ()) -> Log | Display:
    """Progress for whoever reads stderr; its notes propose commands with these flags."""
    return Display(options) if is_watched(sys.stderr) else Log(options)
