"""All tasks of the command line, as the collection that invoke runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.collection import Collection

from sagepack.cli import build, endpoint, fleet, history, maintenance, sandbox, serving, starting
from sagepack.cli.entrance import enter
from sagepack.cli.task import TASKS, invoke_task

if TYPE_CHECKING:
    from sagepack.cli.command_line import Command

# Each registers its tasks when it is imported, which may be before this module is.
_MODULES = [module.__name__ for module in (build, serving, endpoint, history, fleet, maintenance, sandbox, starting)]
TASKS.sort(key=lambda registered: _MODULES.index(registered.body.__module__))


def collection(root: Path, command: Command | None = None) -> Collection:
    """The tasks for the project at `root`. Where invoke is the program that runs, its command line is read first.

    Args:
        root: its folder.
        command: what the command line asks for, if it was read already.
    """
    if _runs_in_invoke():
        command = enter(sys.argv[1:], TASKS, root, "invoke")
    whole, groups = Collection(), dict[str, Collection]()
    for registered in TASKS:
        if registered.group and registered.group not in groups:
            groups[registered.group] = Collection(registered.group)
            whole.add_collection(groups[registered.group])
        filled = command.given if command and command.task == registered.name else ()
        is_default = registered.name == registered.group
        groups.get(registered.group, whole).add_task(invoke_task(registered, root, filled), default=is_default)
    return whole


def _runs_in_invoke() -> bool:
    """Whether the command line is one for invoke, and not that of a test or of a program that imports the tasks."""
    program = Path(sys.argv[0])
    return program.stem in ("invoke", "inv") or program.parent.name == "invoke"  # python -m invoke
