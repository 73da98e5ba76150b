"""The steps, one short file each: what it depends on (`fact`) and how it is done (`run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import StepStatus


class Step(Protocol):
    """A step module.

    `fact` looks and changes nothing; `run` does the work, verifies its output and then writes the record.
    """

    def fact(self, build: BuildContext) -> StepStatus:
        """What is known of the step before anything runs."""

    def run(self, build: BuildContext) -> None:
        """Do the work; the same call after a crash at any instant finishes it."""
