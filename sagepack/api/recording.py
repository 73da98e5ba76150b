"""Progress that is told as events, and the file in the build folder that keeps those of the last run."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack import files
from sagepack.api import events
from sagepack.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sagepack.engine.plan import Content
    from sagepack.errors import Diagnostic
    from sagepack.progress import Progress

_PACE_SECONDS = 0.5  # between two events about the same bar
_FIRST_LINE_BYTES = 1 << 16
_FILES = 20  # that an event names one by one


class Recorder:
    """Progress that passes everything on, and tells it as events as well.

    Args:
        progress: gets everything.
        tell: gets the events, one at a time.
        worded: makes a line for people as it is to be told.

    Attributes:
        progress: gets everything.
        tell: gets the events, one at a time.
    """

    def __init__(
        self, progress: Progress, tell: Callable[[events.Event], None], worded: Callable[[str], str] = str
    ) -> None:
        self.progress, self.tell, self._worded = progress, tell, worded
        self._lock = threading.RLock()
        self._step: _Step | None = None
        self._bars: dict[str, _Bar] = {}

    def planned(self, actions: Sequence[Any]) -> None:
        """Tell what will be done."""
        with self._lock:
            self.tell(events.Planned(now(), tuple(actions)))
        self.progress.planned(actions)

    def note(self, text: str) -> None:
        """Tell a line for people."""
        with self._lock:
            self.tell(events.Noted(now(), self._step_name, self._worded(text)))
        self.progress.note(text)

    def warn(self, warning: Diagnostic) -> None:
        """Tell a warning."""
        with self._lock:
            self.tell(events.Warned(now(), **warning.to_json()))
        self.progress.warn(warning)

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Tell that a step runs, and what it has done when it ends."""
        step = self._step = _Step(name)
        with self._lock:
            self.tell(events.StepBegun(now(), name, tuple(reasons)))
        try:
            with self.progress.step(name, reasons):
                yield
            step.succeeded = True
        finally:
            self._step = None
            with self._lock:
                self.tell(step.ended())

    def done(self, text: str) -> None:
        """Keep what the running step has done for the event that ends it."""
        if step := self._step:
            step.outcome.append(text)
        self.progress.done(text)

    def moved(self, *, fetched: int | None = None, sent: int | None = None, copied: int | None = None) -> None:
        """Keep the bytes that the running step has moved for the event that ends it."""
        if step := self._step:
            step.fetched = _sum(step.fetched, fetched)
            step.sent = _sum(step.sent, sent)
            step.copied = _sum(step.copied, copied)
        self.progress.moved(fetched=fetched, sent=sent, copied=copied)

    def came(self, contents: Sequence[Any]) -> None:
        """Keep where the files of the running step come from for the event that ends it."""
        if step := self._step:
            step.files = _largest(contents)
        self.progress.came(contents)

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        """Tell that something may take a while, and how long it took."""
        with self._timed(label), self.progress.activity(label):
            yield

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Tell how long a person took to answer."""
        with self._timed("waiting for the answer of a person"), self.progress.asked():
            yield

    @contextmanager
    def _timed(self, label: str) -> Iterator[None]:
        step, begun = self._step_name, time.monotonic()
        with self._lock:
            self.tell(events.ActivityBegun(now(), step, label))
        try:
            yield
        finally:
            with self._lock:
                self.tell(events.ActivityEnded(now(), step, label, round(time.monotonic() - begun, 3)))

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Tell now and then how far something is, and when it ends. Who shares a label shares the bar, as on the screen."""
        with self._lock:
            bar = self._bars.setdefault(label, _Bar())
            bar.total += total
            bar.users += 1
        with self.progress.bar(label, total) as pass_on:

            def add(count: int) -> None:
                pass_on(count)
                with self._lock:
                    bar.done += count
                    if time.monotonic() - bar.told >= _PACE_SECONDS:
                        self._tell_bar(label, bar)

            try:
                yield add
            finally:
                with self._lock:
                    bar.users -= 1
                    if not bar.users:
                        del self._bars[label]
                        self._tell_bar(label, bar)

    @property
    def _step_name(self) -> str | None:
        return self._step.name if self._step else None

    def _tell_bar(self, label: str, bar: _Bar) -> None:
        bar.told = time.monotonic()
        self.tell(events.Moving(now(), self._step_name, label, bar.done, bar.total))


class LastRunFile:
    """The file with the events of the last run that ran a step or failed. Where it cannot be written, nobody needs it.

    It is locked until the run ends: whoever reads it can tell one that goes on from one that was killed.

    Args:
        path: where it lies; asked when a step runs, or the run fails before.
    """

    def __init__(self, path: Callable[[], Path | None]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: int | None = None
        self._early: list[bytes] | None = []  # what is to be kept if a step runs, or the run fails

    @property
    def is_kept(self) -> bool:
        """Whether the file is written: a step has run, or the run has failed."""
        return self._file is not None

    def go_on(self, path: Path, begun: datetime) -> bool:
        """Go on with a file whose run has begun at that time, and has not ended; whether it is still there."""
        with self._lock, suppress(OSError, ValueError, KeyError):
            with path.open("rb") as file:
                first = json.loads(file.readline(_FIRST_LINE_BYTES))
            if first["time"] == msgspec.to_builtins(begun):
                self._file, self._early = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC), None
                files.try_lock(self._file)
        return self.is_kept

    def write(self, event: events.Event) -> None:
        """Write an event, or keep it until a step runs or the run fails."""
        line = encoded(event)
        with self._lock, suppress(OSError):
            if self._early is not None:
                self._early.append(line)
                if isinstance(event, events.StepBegun) or (_is_failure(event) and not self._is_held()):
                    self._begin()
            elif self._file is not None:
                write_all(self._file, line)

    def close(self) -> None:
        """End the file."""
        with self._lock:
            if self._file is not None:
                close(self._file)
                self._file = None

    def _is_held(self) -> bool:
        """Whether another run, which has not ended, writes its own events there."""
        path = self._path()
        return path is not None and path.is_file() and bool(files.is_locked(path))

    def _begin(self) -> None:
        """Write what happened until now.

        The file is a new one: a command that has just let go of the lock of the run may still end its own.
        """
        early, self._early = b"".join(self._early or ()), None
        if path := self._path():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
            files.try_lock(self._file)
            write_all(self._file, early)


def _is_failure(event: events.Event) -> bool:
    """Whether a run has ended with an error; one that a person interrupted has not."""
    return (
        isinstance(event, events.RunEnded) and event.error is not None and event.exit_code <= IntegrityError.exit_code
    )


class _Step:
    """A step that runs, as far as it has told what it has done."""

    def __init__(self, name: str) -> None:
        self.name, self.begun = name, time.monotonic()
        self.succeeded = False
        self.outcome: list[str] = []
        self.fetched: int | None = None
        self.sent: int | None = None
        self.copied: int | None = None
        self.files: tuple[events.CameFrom, ...] | None = None

    def ended(self) -> events.StepEnded:
        """The event that ends it."""
        seconds = round(time.monotonic() - self.begun, 3)
        moved = self.fetched, self.sent, self.copied
        return events.StepEnded(
            now(), self.name, self.succeeded, seconds, tuple(self.outcome), *moved, files=self.files
        )


class _Bar:
    """Bytes of a label, of all who share it."""

    def __init__(self) -> None:
        self.done = self.total = self.users = 0
        self.told = time.monotonic()


def encoded(event: events.Event) -> bytes:
    """The line of an event, in ASCII: no text in it obeys or breaks anything."""
    return json.dumps(msgspec.to_builtins(event)).encode() + b"\n"


def is_event(line: bytes) -> bool:
    """Whether a line begins as that of an event does."""
    return line.startswith(b'{"event": ')


def write_all(file: int, data: bytes) -> None:
    """Write all of it to a descriptor."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def close(file: int) -> None:
    """Close a descriptor, whatever its disk says."""
    with suppress(OSError):
        os.close(file)


def now() -> datetime:
    """The time of an event."""
    return datetime.now(timezone.utc)


def _largest(contents: Sequence[Content]) -> tuple[events.CameFrom, ...]:
    """The largest files one by one, and the rest in one."""
    ordered = sorted(contents, key=lambda each: (-each.size, each.path))
    shown = [
        events.CameFrom(each.path, 1, each.size, each.fetched, each.sent, each.copied) for each in ordered[:_FILES]
    ]
    if rest := ordered[_FILES:]:
        sums = (sum(getattr(each, name) for each in rest) for name in ("size", "fetched", "sent", "copied"))
        shown.append(events.CameFrom(None, len(rest), *sums))
    return tuple(shown)


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more
