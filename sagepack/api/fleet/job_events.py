"""The events of a job: kept in the build folder as those of a single command are, and told to the fleet that wants them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.api import events
from sagepack.api.recording import LastRunFile, now
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sagepack.api.results import Result, SpecReference
    from sagepack.errors import SagepackError


class JobEvents:
    """Where a job tells what happens.

    Args:
        path: where its events are kept; asked when a step runs.
        hear: gets the events as well.

    Attributes:
        begun: when it began; None until it has.
        kept: the file in which its events are kept; empty if they are not, since no step ran.
    """

    def __init__(self, path: Callable[[], Path | None], hear: Callable[[events.Event], None] | None = None) -> None:
        self.begun: datetime | None = None
        self.kept = ""
        self._path, self._hear = path, hear
        self._file = LastRunFile(self._asked)

    def begin(self, goal: str, config: str, env: str) -> None:
        """The job begins."""
        self.begun = now()
        self._file.write(events.RunBegun(self.begun, events.VERSION, __version__, goal, config, env))

    def go_on(self, begun: datetime | None, kept: str) -> bool:
        """Go on with a job that began at that time, and whose events are kept in that file; whether they are."""
        if begun is None or not kept or not self._file.go_on(Path(kept), begun):
            return False
        self.begun, self.kept = begun, kept
        return True

    def tell(self, event: events.Event) -> None:
        """Something happens."""
        self._file.write(event)
        if self._hear:
            self._hear(event)

    def end(
        self, seconds: float, spec: SpecReference | None, result: Result | None, error: SagepackError | None
    ) -> None:
        """The job has ended."""
        code = error.exit_code if error else result.exit_code if result else 0
        outcome: dict[str, Any] | None = msgspec.to_builtins(result) if result else None
        self._file.write(events.RunEnded(now(), code, seconds, spec, outcome, error.to_json() if error else None))

    def close(self) -> None:
        """Let go of the file: its part of the job, or all of it, has ended."""
        self._file.close()

    def _asked(self) -> Path | None:
        path = self._path()
        self.kept = str(path or "")
        return path
