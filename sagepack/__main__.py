"""The console command `sagepack TASK`, and `python -m sagepack TASK`: signals are taken care of before anything slow."""

from __future__ import annotations

from sagepack.cli import interrupts

if __name__ == "__main__":
    interrupts.install()

from typing import TYPE_CHECKING

from sagepack.engine import lazy

if TYPE_CHECKING:
    from sagepack.cli import program
else:
    program = lazy.module("cli.program")


def main() -> None:
    """Run the command line and end the process."""
    interrupts.install()
    program.run()


if __name__ == "__main__":
    main()
