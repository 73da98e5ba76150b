"""The console command `sagepack TASK`, and `python -m sagepack TASK`: signals are taken care of before anything slow."""

from __future__ import annotations

from sagepack.cli import interrupts

if __name__ == "__main__":
    interrupts.install()

import sys
from typing import TYPE_CHECKING

from sagepack.engine import lazy

if TYPE_CHECKING:
    from sagepack.cli import job, program
else:
    job = lazy.module("cli.job")
    program = lazy.module("cli.program")

IN_JOB = "--in-job"  # as `engine.remote.start` writes it, which can import nothing of this program


def main() -> None:
    """Run the command line and end the process."""
    interrupts.install()
    if sys.argv[1:2] == [IN_JOB]:
        sys.exit(job.run(sys.argv[2:]))
    program.run()


if __name__ == "__main__":
    main()
