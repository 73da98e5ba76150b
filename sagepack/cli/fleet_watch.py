"""A fleet while it runs: a line for each running job on a terminal, and a line for each ended one in a log."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api.fleet.log import last_line
from sagepack.api.recording import Recorder
from sagepack.cli.fleet_table import label, outcome
from sagepack.cli.layout import Screen, Span, cells, shortened
from sagepack.cli.running import Running, clock
from sagepack.cli.terminal import Display
from sagepack.text import format_bytes, format_duration, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sagepack.api.events import Event
    from sagepack.api.results import FleetRun, Job
    from sagepack.cli.layout import Line
    from sagepack.progress import Progress

_QUIET_SECONDS = 30.0  # after which a log is told what runs
_LOOK_SECONDS = 0.5  # between two looks at a job's log


class FleetWatch:
    """Shows what a fleet does.

    Args:
        progress: where it is shown.

    Attributes:
        interrupted_run: what had been done when it was interrupted; None if it was not.
        hear: nobody: the last lines of the logs are shown.
    """

    def __init__(self, progress: Progress) -> None:
        self.interrupted_run: FleetRun | None = None
        self.hear: Callable[[str, str, Event], None] | None = None
        # What is said here of a job is an event already.
        self._progress = progress.progress if isinstance(progress, Recorder) else progress
        self._display = self._progress if isinstance(self._progress, Display) else None
        self._rows: dict[tuple[str, str], tuple[_Row, ExitStack]] = {}
        self._total, self._shown = _Total(), ExitStack()
        self._told = time.monotonic()

    def close(self) -> None:
        """Draw nothing, and count from none again."""
        for _, shown in self._rows.values():
            shown.close()
        self._rows.clear()
        self._shown.close()
        self._total = _Total()

    def looking(self) -> AbstractContextManager[None]:
        """Draw that specs and locks are read."""
        return self._progress.activity("reading specs and locks")

    def selected(self, goal: str, to: str | None, jobs: Sequence[Job]) -> None:
        """Show nothing: the table follows."""

    def skipped(self, job: Job) -> None:
        """Show nothing: the table follows."""

    def begins(self, job: Job, *, left: int) -> None:
        """Draw it from now on."""
        row, shown = _Row(label(job), Path(job.log or "")), ExitStack()
        if self._display:
            if not self._total.count:
                self._shown.enter_context(self._display.shown(self._total))
            shown.enter_context(self._display.shown(row))
        self._rows[job.config, job.env] = row, shown
        self._total.count = self._total.ended + len(self._rows) + left

    def ended(self, job: Job) -> None:
        """Say what it did; on a terminal, where the table follows soon, only of those that did or failed at something."""
        self._rows.pop((job.config, job.env))[1].close()
        self._total.ended += 1
        self._total.failed += job.error is not None
        text = f"{label(job)}: {_told(job)}"
        if self._display is None:
            self._progress.note(f"[{self._total.ended}/{self._total.count}] {text}")
        elif job.error or job.status == "done":
            self._progress.note(text)
        self._told = time.monotonic()

    def waits(self) -> None:
        """Tell a log what runs, now and then."""
        if self._display is None and time.monotonic() - self._told >= _QUIET_SECONDS:
            self._told = time.monotonic()
            running = [f"{row.label} ({row.look() or 'begins'})" for row, _ in self._rows.values()]
            self._progress.note(f"{len(running)} running: {one_of(running)}")

    def interrupted(self, run: FleetRun) -> None:
        """Keep what was done until then."""
        self.interrupted_run = run


class _Row(Running):
    """A job that runs, with the last line of its log."""

    def __init__(self, label: str, log: Path) -> None:
        super().__init__(label)
        self._log, self._looked = log, 0.0

    def look(self) -> str:
        """The last line of its log."""
        self._looked = time.monotonic()
        return last_line(self._log)

    def line(self, screen: Screen, indent: str) -> Line:
        """How it is drawn."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self.detail = self.look()
        head, tail = self._head(screen, indent), clock(self.seconds)
        room = screen.width - cells(head.text + self.label + tail) - 6
        detail = shortened(self.detail, max(0, room), screen.ellipsis) if room > 0 else ""
        return (head, Span(f"{self.label}  ", "bold"), Span(f"{detail}  " if detail else ""), Span(tail, "dim"))


class _Total(Running):
    """How many jobs have ended."""

    def __init__(self) -> None:
        super().__init__("fleet")
        self.count = self.ended = self.failed = 0

    def line(self, screen: Screen, indent: str) -> Line:  # noqa: ARG002 - as all that is drawn
        """How it is drawn."""
        failed = f", {self.failed} failed" if self.failed else ""
        told = f"{self.ended} of {self.count} jobs have ended"
        return (Span(f"{indent}{told}"), Span(failed, "red"), Span(f"  {clock(self.seconds)}", "dim"))


def _told(job: Job) -> str:
    words = {"unchanged": "up to date", "planned": f"to do: {outcome(job)}"}.get(job.status, outcome(job) or "done")
    moved = [
        f"{format_bytes(amount)} {how}"
        for amount, how in ((job.fetch, "fetched"), (job.send, "sent"), (job.copy, "copied inside S3"))
        if amount and job.status == "done"
    ]
    failed = f"failed: {words} (all of it in {job.log})" if job.error else "; ".join([words, *moved])
    return failed + (f" ({format_duration(job.seconds)})" if job.seconds is not None else "")
