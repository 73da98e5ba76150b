"""What happens to a command line before invoke reads it: a shell that completes gets its answers, a wrong line is refused."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sagepack.cli.command_line import SHELLS, read
from sagepack.cli.main import refuse
from sagepack.cli.output import write_out
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.cli import completion
    from sagepack.cli.command_line import Tasks
else:
    completion = lazy.module("cli.completion")


def enter(words: Sequence[str], tasks: Tasks, root: Path, program: str) -> None:
    """Come back if invoke may run the line; end the process otherwise, with 0 for a shell and 1 for a wrong line.

    Args:
        words: the command line without the program's name.
        tasks: the flags of each task.
        root: the project's folder.
        program: the name that the line began with.
    """
    if words[:2] == ["--complete", "--"]:
        write_out(completion.candidates(words[2:], tasks, root))
        sys.exit(0)
    if words[:1] == ["--print-completion-script"] and words[1:] in [[shell] for shell in SHELLS]:
        write_out(completion.script(words[1]).splitlines())
        sys.exit(0)

    try:
        read(words, tasks, program)
    except UserError as error:
        sys.exit(refuse(error, json="--json" in words))
