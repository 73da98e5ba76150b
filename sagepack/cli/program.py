"""The console command `sagepack`: the tasks for the project that the working folder is in."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from invoke.program import Program

from sagepack.cli.entrance import enter
from sagepack.cli.main import uncaught
from sagepack.cli.tasks import collection, flags_by_task
from sagepack.spec import project_folder
from sagepack.version import __version__

NAME = "sagepack"


class TaskProgram(Program):
    """invoke's program for one collection of tasks, with a help of its own: invoke's own flags mean nothing here."""

    def print_help(self) -> None:
        """Print how a task is run, and the tasks."""
        print(f"Usage: {NAME} TASK [--flags]\n")  # noqa: T201 - as invoke's own help
        self.list_tasks()
        print(f"`{NAME} --help TASK` explains the flags of a task, `{NAME} --version` prints the version.")  # noqa: T201

    def task_list_opener(self, extra: str = "") -> str:
        """What stands above the tasks."""
        del extra
        return "Tasks"


def program(root: Path) -> TaskProgram:
    """The program for the project at `root`; if that is none, every task but `init` refuses to run."""
    return TaskProgram(__version__, collection(root), name=NAME, binary=NAME, binary_names=[NAME])


def run() -> None:
    """Run the command line and end the process."""
    sys.excepthook = uncaught
    words, here = sys.argv[1:], Path.cwd()
    root = project_folder.find(here) or here
    enter(words, flags_by_task(), root, NAME)
    if words and words[0] in flags_by_task() and not {"--help", "-h"}.isdisjoint(words):
        words = ["--help", words[0]]  # behind a task invoke might take it for the task's first word
    ready = program(root)
    # What has been imported lives as long as the process. Without this, Python looks through all of it once more when it
    # ends, which takes a tenth of a run with nothing to do.
    gc.freeze()
    ready.run([NAME, *words])
