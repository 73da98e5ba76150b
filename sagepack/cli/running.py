"""What runs: its line while it does, and the lines that stay of it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from sagepack.cli.layout import Screen, Span, cells, padded, wrapped
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from sagepack.cli.layout import Line

_RATE_SECONDS = 8.0  # over which a rate is measured
_NAME = 10  # columns of the name of a step
_BAR = 24  # columns


class Running:
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
            Span(clock(self.seconds), "dim"),
        )

    def _head(self, screen: Screen, indent: str) -> Span:
        """The sign that turns."""
        signs = screen.glyph("spin")
        return Span(f"{indent}{signs[int(self.seconds * 10) % len(signs)]} ", "cyan")


class Bar(Running):
    """Bytes on their way. Several that are shown under one label are one.

    Attributes:
        total, done: bytes.
        users: how many add to it.
    """

    def __init__(self, label: str) -> None:
        super().__init__(label)
        self.total = self.done = self.users = 0
        self._seen: deque[tuple[float, int]] = deque()

    def line(self, screen: Screen, indent: str) -> Line:
        """How it is drawn."""
        head = self._head(screen, indent)
        tail = f"  {format_bytes(self.done)} of {format_bytes(self.total)}"
        if rate := self._rate():
            tail += f"  {format_bytes(rate)}/s"
            tail += f"  {clock((self.total - self.done) / rate)} left" if self.done < self.total else ""
        room = min(_BAR, screen.width - cells(head.text + self.label + tail) - 3)
        full = int(room * max(0.0, min(1.0, self.done / self.total))) if self.total and room > 0 else 0
        bar = (
            Span(" " + screen.glyph("bar") * full, "cyan"),
            Span(("-" if full < room else "") * (room - full), "dim"),
        )
        return (head, Span(f"{self.label} "), *(bar if room > 0 else ()), Span(tail))

    def _rate(self) -> float:
        """Bytes in a second, lately. What is there when the bar is first drawn, such as a part of before, has none."""
        now = time.monotonic()
        self._seen.append((now, self.done))
        while len(self._seen) > 2 and now - self._seen[1][0] > _RATE_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(0.0, (self.done - before) / (now - since)) if now - since > 0.5 else 0.0


def noted(text: str, indent: int, screen: Screen) -> list[Line]:
    """A note in lines that fit the screen."""
    room = screen.width - indent
    lines = [text] if cells(text) <= room else wrapped(text, room, divide=False)
    return [" " * indent + line for line in lines]


def ended_step(name: str, text: str, seconds: float, sign: str, screen: Screen) -> list[Line]:
    """The lines that stay of a step."""
    head = (Span(f"{screen.glyph(sign)} ", "green" if sign == "ok" else "bold red"), Span(padded(name, _NAME), "bold"))
    time_span = Span(f"  {format_duration(seconds)}", "dim")
    indent = cells("".join(span.text for span in head))
    first, *rest = wrapped(text, screen.width - indent - len(time_span.text))
    lines = [(*head, Span(first)), *((Span(" " * indent + line),) for line in rest)]
    return [*lines[:-1], (*lines[-1], time_span)]


def clock(seconds: float) -> str:
    """A duration that counts: whole seconds."""
    if seconds < 60:
        return f"{int(seconds)} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds // 60 % 60):02d} min"
