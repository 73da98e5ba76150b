"""The console command `sagepack`: the tasks for the project that the working folder is in."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from invoke.program import Program

from sagepack.cli.entrance import enter
from sagepack.cli.main import uncaught
from sagepack.cli.task import TASKS
from sagepack.cli.tasks import collection
from sagepack.spec import project_folder
from sagepack.version import __version__

NAME = "sagepack"


def run() -> None:
    """Run the command line and end the process. In a folder of no project every task but `init` refuses to run."""
    sys.excepthook = uncaught
    words, here = sys.argv[1:], Path.cwd()
    root = project_folder.find(here) or here
    command = enter(words, TASKS, root, NAME)
    ready = Program(__version__, collection(root, command), name=NAME, binary=NAME, binary_names=[NAME])
    # What has been imported lives as long as the process. Without this, Python looks through all of it once more when it
    # ends, which takes a tenth of a run with nothing to do.
    gc.freeze()
    ready.run([NAME, *words])
