"""What a fleet does, as events: its own, and those of its jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack.api import events
from sagepack.api.recording import Recorder, now
from sagepack.cli.output import as_called

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sagepack.api.fleet.running import Watcher
    from sagepack.api.results import FleetRun, Job
    from sagepack.progress import Progress


def telling(progress: Progress, watcher: Watcher) -> Watcher:
    """A watcher that tells what it is told as events, too, if the progress of the task is told as events."""
    return _FleetEvents(progress.tell, watcher) if isinstance(progress, Recorder) else watcher


class _FleetEvents:
    """Passes everything on, and tells it as events.

    Args:
        tell: gets the events, one at a time.
        watcher: gets everything.
    """

    def __init__(self, tell: Callable[[events.Event], None], watcher: Watcher) -> None:
        self.hear: Callable[[str, str, events.Event], None] | None = self._heard
        self._tell, self._watcher = tell, watcher
        self._left: set[events.JobReference] = set()  # jobs that have not ended

    def looking(self) -> AbstractContextManager[None]:
        """Tell nothing."""
        return self._watcher.looking()

    def selected(self, goal: str, to: str | None, jobs: Sequence[Job]) -> None:
        """Tell the jobs."""
        references = tuple(map(_reference, jobs))
        self._left = set(references)
        self._tell(events.FleetBegun(now(), goal, to, references))
        self._watcher.selected(goal, to, jobs)

    def begins(self, job: Job, *, left: int) -> None:
        """Tell that it begins."""
        self._tell(events.JobBegun(now(), _reference(job), left))
        self._watcher.begins(job, left=left)

    def skipped(self, job: Job) -> None:
        """Tell why it does not begin."""
        self._skip(job, job.error.message if job.error else "there is nothing to do")
        self._watcher.skipped(job)

    def ended(self, job: Job) -> None:
        """Tell what came of it."""
        self._end(job)
        self._watcher.ended(job)

    def waits(self) -> None:
        """Tell nothing."""
        self._watcher.waits()

    def interrupted(self, run: FleetRun) -> None:
        """Tell of the jobs that were running, and of those that had not begun."""
        for job in run.jobs:
            if _reference(job) not in self._left:
                continue
            if job.status == "waiting":
                self._skip(job, "the fleet was interrupted")
            else:
                self._end(job)
        self._watcher.interrupted(run)

    def _skip(self, job: Job, reason: str) -> None:
        self._left.discard(_reference(job))
        self._tell(events.JobSkipped(now(), _reference(job), reason, job))

    def _end(self, job: Job) -> None:
        self._left.discard(_reference(job))
        self._tell(events.JobEnded(now(), _reference(job), job))

    def _heard(self, config: str, env: str, event: events.Event) -> None:
        if isinstance(event, events.Noted):
            event = replace(event, text=as_called(event.text, ["--config", config, "--env", env]))
        self._tell(replace(event, job=events.JobReference(config, env)))


def _reference(job: Job) -> events.JobReference:
    return events.JobReference(job.config, job.env)
