"""Runs a task: every failure becomes a message on stderr and an exit code, and with `--json` a document on stdout."""

from __future__ import annotations

import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sagepack import files
from sagepack.cli import interrupts
from sagepack.cli.interrupts import Interrupted
from sagepack.cli.output import echo, guarded_streams, write_json
from sagepack.errors import SagepackError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sagepack.cli.options import Options


def run_command(body: Callable[[], int], options: Options) -> int:
    """Run a task.

    Args:
        body: the task; gives back its exit code.
        options: what it was started with.

    Returns:
        The exit code: the task's, that of the failure, or 128 plus the number of the signal that ended it.
    """
    try:
        with interrupts.raised(), guarded_streams():
            try:
                return body()
            except Exception as error:  # noqa: BLE001 - no traceback reaches a user without --debug
                if options.debug:
                    traceback.print_exc()
                failure = error if isinstance(error, SagepackError) else _as_failure(error)
                first, *rest = failure.lines()
                for line in (f"error: {first}", *rest):
                    echo(line)
                _print_error(options, failure.to_json())
                return failure.exit_code
    except KeyboardInterrupt as error:
        interrupts.mark_reported()
        ended = error if isinstance(error, Interrupted) else Interrupted()
        echo(ended.line)
        _print_error(options, {"type": "Interrupted", "exit_code": ended.exit_code, "message": ended.message})
        return ended.exit_code


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what invoke itself fails at, such as a flag of its own with a wrong value; Python then exits with 1."""
    if "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    else:
        echo(f"error: {error or kind.__name__}")


def _as_failure(error: Exception) -> SagepackError:
    """What this machine, or a mistake of this program, did to a task."""
    if isinstance(error, OSError):
        return files.disk_error(error)
    if isinstance(error, MemoryError):
        return UserError("this machine has not enough memory", fix="end other programs and run the same command again")
    return SagepackError(
        f"unexpected {type(error).__name__}: {error}",
        fix="this is a mistake in sagepack, not in your input: report it with what --debug shows",
    )


def _print_error(options: Options, document: dict[str, Any]) -> None:
    if options.json:
        with suppress(UserError):  # stdout may be what failed
            write_json({"error": document})
