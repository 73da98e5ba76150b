"""The page of the tasks, from the table that the command line is made of."""

from __future__ import annotations

import signal

from sagepack import cli
from sagepack.api import results
from sagepack.api.results import FOUND_WORK, Result
from sagepack.cli import tasks
from sagepack.cli.task import TASKS, Flag, Registered
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from tests.helpers.reference.markdown import anchor, code, page, parse, table

_INTRODUCTION = """\
# Tasks

*Made from the program: the table of tasks in `sagepack/cli/`.*

`sagepack TASK` runs a task; in a clone of sagepack itself, `invoke TASK` does. So does `make TASK ENV=prod CONFIG=config/svd.yaml ARGS="..."` for tasks that are about a spec. Flags stand after the task. Progress goes to stderr and the result to
stdout; with `--json` stdout gets one document and nothing else."""
_SIGNALS = """\
After a signal a command cleans up and ends, within five seconds; a second signal ends it at once. The same command continues. `make TASK`, `sagepack TASK` and `.venv/bin/python -m sagepack TASK` handle
signals from their first moment; `.venv/bin/invoke` first imports invoke itself, for a tenth of a second or two, in which Ctrl-C gives Python's traceback and exit code 130."""
_ESCAPED = """\
A failure is a message, never a traceback without `--debug`. In what servers and files say, control, bidirectional and zero-width characters are shown escaped; `--json` gives the text exactly."""


def tasks_page() -> str:
    """The text of `docs/reference/tasks.md`."""
    contents = " · ".join(f"[`{task.name}`](#{anchor(task.name)})" for task in TASKS)
    common = ["## Flags of every task", _flags(_common())]
    return page(
        _INTRODUCTION,
        contents,
        *common,
        "## Exit codes",
        _exit_codes(),
        *(block for task in TASKS for block in _task(task)),
    )


def results_of(task: Registered) -> list[str]:
    """The names of the results that a task may have."""
    return [name.strip() for name in task.body.__annotations__["return"].split("|")]


def _task(task: Registered) -> list[str]:
    said = " or ".join(f"[`{name}`](json.md#{anchor(name)})" for name in results_of(task))
    codes = (exit_codes_of(getattr(results, name)) for name in results_of(task))
    result = " ".join((f"With `--json`: {said}.", *(f"Exit code {text}" for text in codes if text)))
    has = [code(f"--{flag.name}") for flag in task.all_flags if flag in _common()]
    common = [] if task.scope == "spec" else [f"Of the flags of every task it has {', '.join(has[:-1])} and {has[-1]}."]
    return [f"## {task.name}", parse(task.body.__doc__).text, *common, _flags(task.flags), result]


def _flags(flags: tuple[Flag, ...]) -> str:
    rows = [
        (code(flag.value_name if flag.positional else f"--{flag.name}"), _values(flag), _default(flag), flag.help)
        for flag in flags
    ]
    return table(("flag", "value", "default", "meaning"), rows)


def _values(flag: Flag) -> str:
    if isinstance(flag.default, bool):
        return "(a switch)"
    if flag.most:
        return f"1 to {flag.most:,}"
    if flag.choices:
        return ", ".join(map(code, flag.choices))
    return "text, may be repeated" if isinstance(flag.default, tuple) else "text"


def _default(flag: Flag) -> str:
    return "" if flag.default in (False, "", ()) else code(flag.default)


def _common() -> tuple[Flag, ...]:
    """The flags that every task has."""
    return tuple(flag for flag in TASKS[0].all_flags if flag not in TASKS[0].flags)


def _failure(kind: type[SagepackError]) -> tuple[str, str]:
    return str(kind.exit_code), parse(kind.__doc__).text.split(" Exit code")[0]


def exit_codes_of(result: type[Result]) -> str:
    """What the exit code of a result says, if it is not always 0."""
    return parse(result.exit_code.__doc__).text if "exit_code" in vars(result) else ""


def _exit_codes() -> str:
    signals = " / ".join(str(128 + number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    rows = [
        ("0", "Done, or nothing to do."),
        _failure(UserError),
        (str(FOUND_WORK), "`plan` found something to do, `diff` or `export --check` a difference."),
        _failure(RemoteError),
        _failure(IntegrityError),
        (signals, "Ended by Ctrl-C (SIGINT), by SIGTERM, or by the end of its terminal (SIGHUP)."),
    ]
    make = "Under make every failure of a task is make's own exit code, 2, and work that `plan` found is 0."
    return "\n\n".join((table(("code", "meaning"), rows), make, _SIGNALS, _ESCAPED))


__all__ = ["cli", "tasks"]  # imported for the tasks that they register
