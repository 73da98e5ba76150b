"""The line after a result: how long the task took, and what to type next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli.layout import Span
from sagepack.text import format_duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.cli.layout import Line
    from sagepack.cli.options import Options

_NEXT = {
    "download": "package",
    "assemble": "package",
    "checksum": "package",
    "tar": "deploy",
    "package": "deploy",
    "upload": "deploy",
    "deploy": "predict",
}
_AFTER: dict[type[results.Result], str] = {results.Validated: "plan", results.Locked: "package"}
_DO_IT = "the same command without --dry-run"
_TIMED = (
    results.Built,
    results.Locked,
    results.Verified,
    results.VerifiedRemote,
    results.Destroyed,
    results.Rollback,
    results.Woken,
    results.Asleep,
    results.Collected,
    results.Answer,
    results.Answers,
    results.Served,
    results.FleetRun,
)


def footer(result: results.Result, options: Options, seconds: float, *, hint: bool) -> Line | None:
    """The line; None if there is nothing to say.

    Args:
        result: what came of the task.
        options: what it was started with, which the next one is, too.
        seconds: how long it took.
        hint: whether to say what to type next.
    """
    following = _following(result, options) if hint else None
    is_done = isinstance(result, _TIMED) and not (isinstance(result, results.FleetRun) and result.interrupted_by)
    parts = [
        *([Span(f"done in {format_duration(seconds)}", "dim")] if is_done else []),
        *([Span("next: ", "dim"), Span(following, "bold")] if following else []),
    ]
    if len(parts) == 3:
        parts.insert(1, Span("; ", "dim"))
    return tuple(parts) or None


def _following(result: results.Result, options: Options) -> str | None:
    """What to type next: a task that was only shown is done by the same command."""
    match result:
        case results.Plan(promoted_from=origin) if origin and result.exit_code == results.FOUND_WORK:
            return _DO_IT
        case results.Garbage() if result.removable:
            return _DO_IT
        case results.ToDestroy() if result.resources:
            return _DO_IT
        case results.Rollback() if result.changes_something:
            return _DO_IT
    task = next_task(result)
    return command(task, options) if task else None


def next_task(result: results.Result) -> str | None:
    """What most people do after a result; None where there is no such thing."""
    match result:
        case results.Plan() if result.exit_code == results.FOUND_WORK:
            return result.goal
        case results.EndpointStatus():
            return "deploy" if result.state is None else "logs" if result.failures or result.reason else None
        case results.Built():
            return _NEXT[result.goal]
        case results.Rollback():
            return "predict" if result.changes else None
    return _AFTER.get(type(result))


def command(
    task: str, options: Options, argv: Sequence[str] = sys.argv, environ: Mapping[str, str] = os.environ
) -> str:
    """A task as the user calls tasks: with make, invoke or sagepack, and the same options."""
    sets = [word for value in options.sets for word in ("--set", value)]
    if "MAKELEVEL" in environ and list(argv[2:6:2]) == ["--config", "--env"]:  # as the Makefiles write it
        given = {"ENV": options.env} if options.env != "local" else {}
        if "CONFIG=" in environ.get("MAKEFLAGS", ""):
            given["CONFIG"] = options.config
        if sets:
            given["ARGS"] = shlex.join(sets)
        return " ".join(["make", task, *(f"{name}={shlex.quote(value)}" for name, value in given.items())])
    config = ["--config", options.config] if any(word.partition("=")[0] == "--config" for word in argv) else []
    env = ["--env", options.env] if options.env != "local" else []
    return f"{_program(argv[0])} {shlex.join([task, *config, *env, *sets])}"


def _program(path: str) -> str:
    """The program as it was typed, or could have been."""
    name = Path(path).name
    if name == "__main__.py":
        return f"python -m {Path(path).parent.name}"
    return name if shutil.which(name) == path else shlex.quote(path)
