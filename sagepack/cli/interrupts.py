"""Signals that ask the program to end: one line, and 128 plus the signal's number as exit code, at any instant.

Outside of a task nothing is at stake: the process ends on the spot, whatever is being imported. Within a task the signal is
raised in the main thread as `Interrupted`, so that locks are released and what is whole is kept. A second signal, or a
thread that does not come back for `GRACE_SECONDS`, ends the process on the spot as well; the same command continues after
that as it does after a kill.

This is the first module that is imported, so it needs nothing that takes time.
"""

from __future__ import annotations

import _thread
import atexit
import os
import select
import signal
import sys
import time

GRACE_SECONDS = 5.0
_ECHO_SECONDS = 0.3  # `timeout` and `make` send one signal to the process and to its group: both are the first
_NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


class Interrupted(KeyboardInterrupt):
    """A signal that arrived within a task.

    Attributes:
        number: the signal.
        exit_code: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
        message: what happened, for people and programs.
        continues: whether the same command goes on where this one was.
    """

    def __init__(self, number: int = signal.SIGINT) -> None:
        self.number = number
        self.exit_code = 128 + number
        self.message = _NAMES[signal.Signals(number)]
        self.continues = not _process.is_endless
        super().__init__(self.message)

    def to_json(self) -> dict[str, str | int | None]:
        """The object `error` of `schemas/error.schema.json`."""
        fix = "run the same command again: it continues" if self.continues else None
        return {"type": "Interrupted", "exit_code": self.exit_code, "message": self.message, "where": None, "fix": fix}

    @property
    def line(self) -> str:
        """What is said on stderr."""
        return f"{self.message}; the same command continues" if self.continues else self.message


def _plain_json(value: str | int | None) -> str:
    """A value as JSON; of a text without quotes and backslashes."""
    return "null" if value is None else f'"{value}"' if isinstance(value, str) else str(value)


class _Process:
    """What this process knows of its end.

    Attributes:
        in_task: whether a signal is to be raised.
        is_endless: whether a signal is how the user ends what goes on until then.
        first: the first signal that arrived.
        reported: whether it was reported to the user.
        ending: held by the thread that ends the process.
    """

    def __init__(self) -> None:
        self.in_task = self.is_endless = False
        self.first: int | None = None
        self.reported = False
        self.ending = _thread.allocate_lock()

    def handle(self, number: int, _frame: object) -> None:
        """Python's handler: runs in the main thread, between two instructions."""
        if self.first is not None:
            return  # `watch` is about to end the process
        self.first = number
        if self.in_task:
            raise Interrupted(number)
        self.end(number)

    def unraisable(self, ignored: sys.UnraisableHookArgs) -> None:
        """Python's hook for exceptions of finalizers and callbacks, which nobody can catch: a signal is raised again."""
        if isinstance(ignored.exc_value, Interrupted):
            self.first = None
            _thread.start_new_thread(_repeat, (ignored.exc_value.number,))
        else:
            sys.__unraisablehook__(ignored)

    def watch(self, signals: int) -> None:
        """End the process at the second signal, or when the first has had its time.

        A thread, because the main one may be in a call that no signal ends, such as a look-up of a name.
        """
        number = os.read(signals, 1)[0]
        time.sleep(_ECHO_SECONDS)
        if select.select([signals], [], [], 0)[0]:
            os.read(signals, 4096)
        select.select([signals], [], [], GRACE_SECONDS - _ECHO_SECONDS)
        self.end(number)

    def end(self, number: int) -> None:
        """End the process on the spot."""
        self.ending.acquire()
        if not self.reported:
            ended = Interrupted(number)
            # What is drawn there would stay, and the line stand behind it.
            erase = "\r\x1b[J" if os.isatty(2) and os.environ.get("TERM") != "dumb" else ""
            _write(2, erase + ended.line)
            if "--json" in sys.argv:
                # Plain words: `json` would have to be imported.
                code, fields = ended.exit_code, ended.to_json().items()
                error = ", ".join(f'"{name}": {_plain_json(value)}' for name, value in fields)
                about = (
                    f'"version": 1, "task": null, "exit_code": {code}, "seconds": null, "spec": null, "warnings": []'
                )
                _write(1, f'{{{about}, "error": {{{error}}}}}')
        os._exit(128 + number)


_process = _Process()


def install() -> None:
    """Take care of the signals from now on. One that is ignored, as under `nohup`, stays ignored."""
    numbers = [number for number in _NAMES if signal.getsignal(number) not in {signal.SIG_IGN, _process.handle}]
    if not numbers:
        return
    for number in numbers:
        signal.signal(number, _process.handle)
    sys.unraisablehook = _process.unraisable
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _thread.start_new_thread(_process.watch, (reader,))
    atexit.register(_ignore, numbers)


class raised:  # noqa: N801 - used as a function; contextlib would have to be imported
    """Within, a signal is raised in the main thread as `Interrupted`."""

    def __enter__(self) -> None:
        _process.in_task = True

    def __exit__(self, *_error: object) -> None:
        _process.in_task = False


class endless:  # noqa: N801 - as `raised`
    """Within, work goes on until a signal, and the same command would begin anew."""

    def __enter__(self) -> None:
        _process.is_endless = True

    def __exit__(self, *_error: object) -> None:
        _process.is_endless = False


def mark_reported() -> None:
    """Note that the signal is about to be reported to the user: nothing else has to."""
    _process.reported = True


def _repeat(number: int) -> None:
    time.sleep(0.01)  # until the callback is over
    os.kill(os.getpid(), number)  # not interrupt_main: that ends no call that waits


def _ignore(numbers: list[signal.Signals]) -> None:
    """The work is done and the exit code decided; what Python still does would die of a signal without a word."""
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


def _write(descriptor: int, line: str) -> None:
    """Write a line unless that failed or would have to wait."""
    try:
        if select.select([], [descriptor], [], 0)[1]:
            os.write(descriptor, f"{line}\n".encode())
    except OSError:
        pass
