"""Progress on stderr: drawn where a person watches, plain lines elsewhere.

While something runs, a terminal shows a line for each thing that does: its sign turns, its time counts, and a bar tells how
far it is, how fast, and how long it will take. A step that has ended stays as one line with its outcome and its time. A log
gets a line when a step begins and one when it has ended.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sagepack.cli.layout import Screen, Span, cells, is_watched, padded, wrapped
from sagepack.cli.output import echo, problem, unguarded
from sagepack.cli.region import Region
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagepack.cli.layout import Block, Line
    from sagepack.errors import Diagnostic

_QUIET_SECONDS = 10.0  # between two lines of a log about the same bar
_TOLD_SECONDS = 1.0  # an activity that takes longer is told in a log
_KEPT_SECONDS = 2.0  # and within a step leaves a line on a terminal
_RATE_SECONDS = 8.0  # over which a rate is measured
_NAME = 10  # columns of the name of a step
_BAR = 24


class _Running:
    """Something that runs.

    Attributes:
        label: what it is.
        detail: what a step is running for.
        outcome: what a step has done.
        begun: when it began, by `time.monotonic`.
    """

    def __init__(self, label: str, detail: str = "", *, is_step: bool = False) -> None:
        self.label, self.detail, self.is_step = label, detail, is_step
        self.outcome: list[str] = []
        self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.begun

    def line(self, screen: Screen, indent: str) -> Line:
        """How it is drawn."""
        name = padded(self.label, _NAME) if self.is_step else f"{self.label}  "
        return (
            self._head(screen, indent),
            Span(name, "bold" if self.is_step else ""),
            Span(f"{self.detail}  " if self.detail else ""),
            Span(_clock(self.seconds), "dim"),
        )

    def _head(self, screen: Screen, indent: str) -> Span:
        """The sign that turns."""
        signs = screen.glyph("spin")
        return Span(f"{indent}{signs[int(self.seconds * 10) % len(signs)]} ", "cyan")


class _Bar(_Running):
    """Bytes on their way. Several that are shown under one label are one.

    Attributes:
        total, done: bytes.
        users: how many add to it.
    """

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.total = self.done = self.users = 0
        self._seen: deque[tuple[float, int]] = deque([(self.begun, 0)])

    def line(self, screen: Screen, indent: str) -> Line:
        """How it is drawn."""
        head = self._head(screen, indent)
        tail = f"  {format_bytes(self.done)} of {format_bytes(self.total)}"
        if rate := self._rate():
            tail += f"  {format_bytes(rate)}/s"
            tail += f"  {_clock((self.total - self.done) / rate)} left" if self.done < self.total else ""
        room = min(_BAR, screen.width - cells(head.text + self.label + tail) - 3)
        full = int(room * min(1.0, self.done / self.total)) if self.total and room > 0 else 0
        bar = (
            Span(" " + screen.glyph("bar") * full, "cyan"),
            Span(("-" if full < room else "") * (room - full), "dim"),
        )
        return (head, Span(f"{self.label} "), *(bar if room > 0 else ()), Span(tail))

    def _rate(self) -> float:
        """Bytes in a second, lately."""
        now = time.monotonic()
        self._seen.append((now, self.done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0.0, (self.done - before) / (now - since)) if now - since > 0.5 else 0.0


class _Reporter:
    """What a terminal and a log have in common: what runs.

    Attributes:
        write: prints what others write to stderr; None if that may be written as it comes.
    """

    write: Callable[[str], None] | None = None

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: list[_Running] = []

    @property
    def _step(self) -> _Running | None:
        return next((running for running in self._running if running.is_step), None)

    def note(self, text: str) -> None:
        """Print one line."""
        raise NotImplementedError

    def _print(self, block: Block) -> None:
        raise NotImplementedError

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
    def _run(self, running: _Running) -> Iterator[None]:
        with self._lock:
            self._running.append(running)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(running)

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[_Bar]:
        """The bar of a label, made by who needs it first."""
        with self._lock:
            bar = next((bar for bar in self._running if isinstance(bar, _Bar) and bar.label == label), None)
            if bar is None:
                bar = _Bar(label)
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
        step = self._step
        self._print(f"{step.label}: {text}" if step else text)

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Say that a step runs, and when it ends what it has done and how long it took."""
        running, ended = _Running(name, is_step=True), "stopped"
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

    def __init__(self) -> None:
        super().__init__()
        self._stream = unguarded(sys.stderr)
        self._region = Region(self._stream, self._drawn)
        self.write = self._region.write

    def note(self, text: str) -> None:
        """Print a line above what is drawn, or several if it is long."""
        self._print(partial(_noted, text, 2 if self._step else 0))

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Draw a step, and leave a line with its outcome and its time."""
        running = _Running(name, "; ".join(reasons), is_step=True)
        ended = "bad"
        try:
            with self._shown(running):
                yield
            ended = "ok"
        finally:
            text = "; ".join(running.outcome) or (running.detail if ended == "ok" else "stopped")
            self._print(partial(_ended, name, text, running.seconds, ended))

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Draw something that takes a while; within a step a line of it stays if it took long."""
        running = _Running(label)
        with self._shown(running):
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
    def _shown(self, running: _Running) -> Iterator[None]:
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


def _noted(text: str, indent: int, screen: Screen) -> list[Line]:
    room = screen.width - indent
    lines = [text] if cells(text) <= room else wrapped(text, room, divide=False)
    return [" " * indent + line for line in lines]


def make_progress() -> Log | Display:
    """Progress for whoever reads stderr."""
    return Display() if is_watched(sys.stderr) else Log()


def _ended(name: str, text: str, seconds: float, sign: str, screen: Screen) -> list[Line]:
    """The lines that stay of a step."""
    head = (Span(f"{screen.glyph(sign)} ", "green" if sign == "ok" else "bold red"), Span(padded(name, _NAME), "bold"))
    time_span = Span(f"  {format_duration(seconds)}", "dim")
    indent = cells("".join(span.text for span in head))
    lines = wrapped(text, screen.width - indent - len(time_span.text))
    return [
        (*(head if number == 0 else (Span(" " * indent),)), Span(line), *((time_span,) if line is lines[-1] else ()))
        for number, line in enumerate(lines)
    ]


def _clock(seconds: float) -> str:
    """A duration that counts: whole seconds."""
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds // 60 % 60):02d} min"
