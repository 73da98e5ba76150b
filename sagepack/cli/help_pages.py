"""The pages of help: all tasks in lines, and one task with its flags, defaults, choices and an example."""

from __future__ import annotations

import inspect
import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.cli.task import Flag, Registered

_WIDEST = 100  # columns that are still easy to read
_INDENT = "  "


def of_all(tasks: Sequence[Registered], program: str, group: str = "") -> list[str]:
    """The tasks, one after the other as a build needs them; with `group` only those of it."""
    lines = [f"Usage: {program} TASK [--flag VALUE ...]"]
    module = ""
    rows = [task for task in tasks if task.group == group] if group else tasks
    width = max(len(task.name) for task in rows)
    for task in rows:
        if task.body.__module__ != module:
            lines.append("")
            module = task.body.__module__
        lines += _row(task.name, [_about(task)[0]], width)
    return [*lines, "", f"`{program} --help TASK` explains a task and its flags."]


def of_task(task: Registered, program: str) -> list[str]:
    """What a task does, its flags and an example."""
    first, *more = _about(task)
    typed = " ".join([task.name, *(flag.place for flag in task.all_flags if flag.positional)])
    lines = [f"Usage: {program} {typed} [--flag VALUE ...]", ""]
    lines += [line for text in (first, *more) for line in (*textwrap.wrap(text, _columns()), "")]
    width = max(len(_typed(flag)) for flag in task.all_flags)
    for flag in (*task.flags, *(flag for flag in task.all_flags if flag not in task.flags)):
        lines += _row(_typed(flag), _explained(flag), width)
    return [*lines, "", f"Example: {program} {task.name} {task.example}".rstrip()]


def _about(task: Registered) -> list[str]:
    """The paragraphs of the docstring, each on one line."""
    return [" ".join(text.split()) for text in (inspect.getdoc(task.body) or "").split("\n\n")]


def _typed(flag: Flag) -> str:
    if flag.positional:
        return flag.place
    return f"--{flag.name} {flag.value_name}".rstrip()


def _explained(flag: Flag) -> list[str]:
    """The help of a flag, with its default and its choices."""
    text = flag.help
    if flag.default and not isinstance(flag.default, (bool, tuple)):
        text += f" (default {flag.default})"
    return [text, f"one of {', '.join(flag.choices)}"] if flag.choices else [text]


def _row(name: str, texts: Iterable[str], width: int) -> list[str]:
    """Two columns, the second one wrapped."""
    left = f"{_INDENT}{name:<{width}}  "
    wrapped = [line for text in texts for line in textwrap.wrap(text, max(30, _columns() - len(left)))]
    return [f"{left if number == 0 else ' ' * len(left)}{line}" for number, line in enumerate(wrapped)]


def _columns() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, _WIDEST) - 1
