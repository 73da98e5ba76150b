"""What happens to a command line before invoke reads it: questions are answered, and a wrong line is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sagepack.cli.command_line import SHELLS, Command, read
from sagepack.cli.main import refuse
from sagepack.cli.output import write_out
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.cli import completion, help_pages
    from sagepack.cli.task import Registered
else:
    completion = lazy.module("cli.completion")
    help_pages = lazy.module("cli.help_pages")


def enter(words: Sequence[str], tasks: Sequence[Registered], root: Path, program: str) -> Command:
    """What the line asks for, if invoke may run it; otherwise print the answer, or what is wrong, and end the process.

    Args:
        words: the command line without the program's name.
        tasks: all tasks.
        root: the project's folder.
        program: the name that the line began with.
    """
    flags = {task.name: task.all_flags for task in tasks}
    if words[:2] == ["--complete", "--"]:
        write_out(completion.candidates(words[2:], flags, root))
        sys.exit(0)
    if words[:1] == ["--print-completion-script"] and words[1:] in [[shell] for shell in SHELLS]:
        write_out(completion.script(words[1]).splitlines())
        sys.exit(0)
    try:
        command = read(words, flags, program)
    except UserError as error:
        sys.exit(refuse(error, json="--json" in words))
    if command.answer == "list":
        write_out(help_pages.of_all(tasks, program, command.task))
        sys.exit(0)
    if command.answer == "help":
        write_out(help_pages.of_task(next(task for task in tasks if task.name == command.task), program))
        sys.exit(0)
    return command
