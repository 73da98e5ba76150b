"""Runs a task: every failure becomes a message on stderr and an exit code, and with `--json` a document on stdout."""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.api.failure import as_failure
from sagepack.api.project import Project
from sagepack.cli import interrupts, proposals, screens
from sagepack.cli.footer import footer
from sagepack.cli.interrupts import Interrupted
from sagepack.cli.layout import is_watched
from sagepack.cli.options import STDOUT
from sagepack.cli.output import as_called, echo, give_up_stdout, guarded_streams, problem, write_json, write_out
from sagepack.cli.terminal import make_progress
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from sagepack.api.results import Result
    from sagepack.cli import recorder as recording
    from sagepack.cli.options import Options
    from sagepack.errors import SagepackError
else:
    recording = lazy.module("cli.recorder")


VERSION = 1  # of the JSON documents


def run_command(task: str, body: Callable[[Project], Result], options: Options) -> int:
    """Run a task and print what came of it.

    Args:
        task: its name.
        body: what it does.
        options: what it was started with.

    Returns:
        The exit code: the result's, that of the failure, or 128 plus the number of the signal that ended it.
    """
    begun = time.monotonic()
    selected = proposals.selecting_flags(options.config, options.env)
    progress = make_progress(selected)
    recorder = None
    if options.events or options.builds:
        recorder = recording.TaskRecord(progress, options, task, selected, lambda: project.last_run_path)
    heard = recorder.progress if recorder else progress
    project = Project(options.root, options.config, options.env, options.sets, heard)

    def envelope(exit_code: int, **outcome: Any) -> dict[str, Any]:
        seconds = round(time.monotonic() - begun, 3)
        warnings = [warning.to_json() for warning in project.warnings]
        return _envelope(exit_code, outcome, task, seconds, msgspec.to_builtins(project.spec), warnings)

    try:
        with interrupts.raised(), guarded_streams(progress.write):
            try:
                if recorder:
                    recorder.open()
                result = proposals.as_typed(body(project), selected)
                document = envelope(result.exit_code, result=msgspec.to_builtins(result))
                _print_result(result, options, document)
                _record(recorder, document)
                return result.exit_code
            except Exception as error:  # noqa: BLE001 - no traceback reaches a user without --debug
                if options.debug:
                    traceback.print_exc()
                failure = as_failure(error)
                _echo(failure, selected)
                document = envelope(failure.exit_code, error=proposals.json_as_typed(failure.to_json(), selected))
                _print_error(options, document)
                _record(recorder, document)
                return failure.exit_code
    except KeyboardInterrupt as error:
        interrupts.mark_reported()
        ended = error if isinstance(error, Interrupted) else Interrupted()
        echo(ended.line)
        document = envelope(ended.exit_code, error=ended.to_json())
        _print_error(options, document)
        _record(recorder, document)
        return ended.exit_code


def refuse(error: UserError, *, json: bool) -> int:
    """Print that a command line is wrong.

    Returns:
        The exit code.
    """
    _echo(error)
    if json:
        with suppress(UserError):
            write_json(_envelope(error.exit_code, {"error": error.to_json()}))
    return error.exit_code


def _envelope(
    exit_code: int,
    outcome: dict[str, Any],
    task: str | None = None,
    seconds: float | None = None,
    spec: dict[str, str] | None = None,
    warnings: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The document of `--json` around a result or an error; what is not known yet is null."""
    about = {"task": task, "exit_code": exit_code, "seconds": seconds, "spec": spec, "warnings": list(warnings)}
    return {"version": VERSION, **about, **outcome}


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what invoke itself fails at, such as a flag of its own with a wrong value; Python then exits with 1."""
    if isinstance(error, BrokenPipeError):  # a reader that has seen enough, such as `| head -3`
        give_up_stdout()
    elif "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    else:
        echo(f"error: {error or kind.__name__}")


def _echo(failure: SagepackError, selected: Sequence[str] = ()) -> None:
    echo(problem("error", [as_called(line, selected) for line in failure.lines()]))


def _print_result(result: Result, options: Options, document: dict[str, Any]) -> None:
    if options.json:
        write_json(document)
    elif options.events != STDOUT:
        write_out(screens.lines(result), detailed=options.debug)
        _echo_footer(result, options, document["seconds"])


def _record(recorder: recording.TaskRecord | None, document: dict[str, Any]) -> None:
    if recorder:
        recorder.ended(document)


def _echo_footer(result: Result, options: Options, seconds: float) -> None:
    if line := footer(result, options, seconds, hint=is_watched(sys.stderr)):
        echo(line)


def _print_error(options: Options, document: dict[str, Any]) -> None:
    if options.json:
        with suppress(UserError):  # stdout may be what failed
            write_json(document)
