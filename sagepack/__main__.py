"""`python -m sagepack TASK`: the same as `invoke TASK`, with signals taken care of before invoke is imported."""

from __future__ import annotations

import sys

from sagepack.cli import interrupts

if __name__ == "__main__":
    interrupts.install()

from invoke.main import program

from sagepack.cli.main import uncaught

if __name__ == "__main__":
    sys.excepthook = uncaught
    sys.argv[0] = "invoke"
    program.run()
