"""Writes what happens in a run to a file, for programs that watch it (`--events`) or look at it later (`last-run.jsonl`)."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.api import events
from sagepack.api.results import SpecReference
from sagepack.cli.output import as_called
from sagepack.errors import UserError
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sagepack.cli.options import Options
    from sagepack.errors import Diagnostic
    from sagepack.progress import Progress

STDOUT = "-"
_PACE_SECONDS = 0.5  # between two events about the same bar


class Recorder:
    """Progress that passes everything on, and writes it to a file as well.

    A file begins anew with each run, so that it holds one. A run does not fail because nobody reads its events any more, or
    their disk is full: it says so once, and goes on without.

    The events are kept in the build folder as well, of the last run that had something to do.

    Args:
        progress: gets everything.
        options: those of the task; `events` is the file.
        task: its name.
        flags: those that a proposed command needs to be about the same spec and environment.
        kept: where the events are kept; asked when a step runs.
    """

    def __init__(
        self,
        progress: Progress,
        options: Options,
        task: str,
        flags: Sequence[str],
        kept: Callable[[], Path | None],
    ) -> None:
        self._progress, self._options, self._task, self._flags = progress, options, task, flags
        self._lock = threading.RLock()
        self._file: int | None = None
        self._kept: int | None = None
        self._kept_path = kept
        self._early: list[bytes] | None = []  # what is to be kept if a step runs
        self._step: _Step | None = None
        self._bars: dict[str, _Bar] = {}

    def open(self) -> None:
        """Begin the file.

        Raises:
            UserError: it cannot be written, or is stdout, which is closed or gets the document of `--json`.
        """
        path = self._options.events or ""
        if path == STDOUT and self._options.json:
            fix = "leave --json out: the event run-ended has the result; or write the events to a file"
            raise UserError("both would be written to stdout", where=f"--events {path} --json", fix=fix)
        try:
            self._file = _opened(path) if path else None
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            fix = "nothing has run; name a file that can be written"
            raise UserError(f"the events cannot be written there: {why}", where=f"--events {path}", fix=fix) from error
        config, env = self._options.config, self._options.env
        self._write(events.RunBegun(_now(), events.VERSION, __version__, self._task, config, env))

    def ended(self, document: dict[str, Any]) -> None:
        """End the file with what `--json` prints."""
        spec = document["spec"] and SpecReference(**document["spec"])
        outcome = (document.get("result"), document.get("error"))
        self._write(events.RunEnded(_now(), document["exit_code"], document["seconds"], spec, *outcome))
        with self._lock:
            self._close()

    def planned(self, actions: Sequence[Any]) -> None:
        """Write what will be done."""
        self._write(events.Planned(_now(), tuple(actions)))
        self._progress.planned(actions)

    def note(self, text: str) -> None:
        """Write a line for people."""
        self._write(events.Noted(_now(), self._step_name, as_called(text, self._flags)))
        self._progress.note(text)

    def warn(self, warning: Diagnostic) -> None:
        """Write a warning."""
        self._write(events.Warned(_now(), **warning.to_json()))
        self._progress.warn(warning)

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:
        """Write that a step runs, and what it has done when it ends."""
        self._keep()
        step = self._step = _Step(name)
        self._write(events.StepBegun(_now(), name, tuple(reasons)))
        try:
            with self._progress.step(name, reasons):
                yield
            step.succeeded = True
        finally:
            self._step = None
            self._write(step.ended())

    def done(self, text: str) -> None:
        """Keep what the running step has done for the event that ends it."""
        if step := self._step:
            step.outcome.append(text)
        self._progress.done(text)

    def moved(self, *, fetched: int | None = None, sent: int | None = None, copied: int | None = None) -> None:
        """Keep the bytes that the running step has moved for the event that ends it."""
        if step := self._step:
            step.fetched = _sum(step.fetched, fetched)
            step.sent = _sum(step.sent, sent)
            step.copied = _sum(step.copied, copied)
        self._progress.moved(fetched=fetched, sent=sent, copied=copied)

    def activity(self, label: str) -> AbstractContextManager[None]:
        """Write nothing: what an activity leads to is an event."""
        return self._progress.activity(label)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Write now and then how far something is, and when it ends. Who shares a label shares the bar, as on the screen."""
        with self._lock:
            bar = self._bars.setdefault(label, _Bar())
            bar.total += total
            bar.users += 1
        with self._progress.bar(label, total) as pass_on:

            def add(count: int) -> None:
                pass_on(count)
                with self._lock:
                    bar.done += count
                    if time.monotonic() - bar.told >= _PACE_SECONDS:
                        self._tell(label, bar)

            try:
                yield add
            finally:
                with self._lock:
                    bar.users -= 1
                    if not bar.users:
                        del self._bars[label]
                        self._tell(label, bar)

    @property
    def _step_name(self) -> str | None:
        return self._step.name if self._step else None

    def _tell(self, label: str, bar: _Bar) -> None:
        bar.told = time.monotonic()
        self._write(events.Moving(_now(), self._step_name, label, bar.done, bar.total))

    def _keep(self) -> None:
        """Keep the events from now on, and those until now; a run that can keep none needs none.

        The file is a new one: a command that has just let go of the lock of the run may still end its own.
        """
        with self._lock:
            early, self._early = self._early, None
            path = self._kept_path() if early else None
            if early and path:
                with suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.unlink(missing_ok=True)
                    self._kept = _opened(str(path))
                    _write_all(self._kept, b"".join(early))

    def _write(self, event: events.Event) -> None:
        line = json.dumps(msgspec.to_builtins(event)).encode() + b"\n"
        why = None
        with self._lock:
            if self._early is not None:
                self._early.append(line)
            if self._kept is not None:
                with suppress(OSError):
                    _write_all(self._kept, line)
            if self._file is not None:
                try:
                    _write_all(self._file, line)
                except OSError as error:
                    why = error.strerror
                    _close(self._file)
                    self._file = None
        if why:
            self._progress.note(
                f"--events {self._options.events}: {why}; no more events are written, and the run goes on"
            )

    def _close(self) -> None:
        for file in (self._file, self._kept):
            if file is not None:
                _close(file)
        self._file = self._kept = None


class _Step:
    """A step that runs, as far as it has told what it has done."""

    def __init__(self, name: str) -> None:
        self.name, self.begun = name, time.monotonic()
        self.succeeded = False
        self.outcome: list[str] = []
        self.fetched: int | None = None
        self.sent: int | None = None
        self.copied: int | None = None

    def ended(self) -> events.StepEnded:
        """The event that ends it."""
        seconds = round(time.monotonic() - self.begun, 3)
        moved = self.fetched, self.sent, self.copied
        return events.StepEnded(_now(), self.name, self.succeeded, seconds, tuple(self.outcome), *moved)


class _Bar:
    """Bytes of a label, of all who share it."""

    def __init__(self) -> None:
        self.done = self.total = self.users = 0
        self.told = time.monotonic()


def _opened(path: str) -> int:
    """A descriptor of its own to write to."""
    if path != STDOUT:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    if sys.stdout is None:
        raise ValueError("it is closed")
    return os.dup(sys.stdout.fileno())


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _close(file: int) -> None:
    with suppress(OSError):
        os.close(file)


def _sum(known: int | None, more: int | None) -> int | None:
    return known if more is None else (known or 0) + more


def _now() -> datetime:
    return datetime.now(timezone.utc)
