"""The events of a task: in the file of `--events` for programs that watch it, and in the build folder for those that look later."""

from __future__ import annotations

import os
import stat
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import files
from sagepack.api import events
from sagepack.api.recording import LastRunFile, Recorder, close, encoded, is_event, now, write_all
from sagepack.api.results import SpecReference
from sagepack.cli.options import STDOUT
from sagepack.cli.output import as_called
from sagepack.errors import UserError
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagepack.cli.options import Options
    from sagepack.progress import Progress


class TaskRecord:
    """Writes what happens in a task.

    The file of `--events` begins anew with each task, so that it holds one. A task does not fail because nobody reads its
    events any more, or their disk is full: it says so once, and goes on without.

    Args:
        progress: where the task is shown.
        options: those of the task; `events` is the file.
        task: its name.
        flags: those that a proposed command needs to be about the same spec and environment.
        kept: where the events of a task that builds are kept; asked when a step runs.

    Attributes:
        progress: what the task reports to.
    """

    def __init__(
        self, progress: Progress, options: Options, task: str, flags: Sequence[str], kept: Callable[[], Path | None]
    ) -> None:
        self.progress = Recorder(progress, self._tell, partial(as_called, options=flags))
        self._shown, self._options, self._task = progress, options, task
        self._last_run = LastRunFile(kept) if options.builds else None
        self._lock = threading.RLock()
        self._file: int | None = None

    def open(self) -> None:
        """Begin the file.

        Raises:
            UserError: it cannot be written, holds something else, or is stdout, which is closed or gets the document of `--json`.
        """
        path = self._options.events
        if path == STDOUT and self._options.json:
            fix = "leave --json out: the event run-ended has the result; or write the events to a file"
            raise UserError("both would be written to stdout", where=f"--events {path} --json", fix=fix)
        try:
            self._file = _opened(path) if path else None
        except (OSError, ValueError) as error:
            why = (error.strerror if isinstance(error, OSError) else None) or str(error)
            fix = "nothing has run; name a file that can be written"
            raise UserError(f"the events cannot be written there: {why}", where=f"--events {path}", fix=fix) from error
        config, env = (self._options.config, self._options.env) if self._options.selects else ("", "")
        self._tell(events.RunBegun(now(), events.VERSION, __version__, self._task, config, env))

    def ended(self, document: dict[str, Any]) -> None:
        """End the file with what `--json` prints."""
        spec = document["spec"] and SpecReference(**document["spec"])
        outcome = (document.get("result"), document.get("error"))
        self._tell(events.RunEnded(now(), document["exit_code"], document["seconds"], spec, *outcome))
        with self._lock:
            if self._file is not None:
                close(self._file)
                self._file = None
        if self._last_run:
            self._last_run.close()

    def _tell(self, event: events.Event) -> None:
        if self._last_run:
            self._last_run.write(event)
        why = None
        with self._lock:
            if self._file is None:
                return
            try:
                write_all(self._file, encoded(event))
            except OSError as error:
                why = error.strerror
                close(self._file)
                self._file = None
        if why:
            self._shown.note(f"--events {self._options.events}: {why}; no more events are written, and the run goes on")


def _opened(path: str) -> int:
    """A descriptor of its own to write to; a file is empty then, and nobody else's.

    Raises:
        OSError, ValueError: it cannot be written.
        UserError: a folder, or a file without events, is there.
    """
    if path == STDOUT:
        if sys.stdout is None:
            raise ValueError("it is closed")
        return os.dup(sys.stdout.fileno())
    files.require_output(Path(path), f"--events {path}", "--events", "file of events", is_event)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    if stat.S_ISREG(os.fstat(file).st_mode):
        if not files.try_lock(file):
            close(file)
            raise ValueError("another command writes its own there")
        os.truncate(file, 0)
    return file
