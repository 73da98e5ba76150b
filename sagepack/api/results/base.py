"""What every result has: its exit code, and the spec that it is about."""

from __future__ import annotations

from sagepack.decoding import Value

FOUND_WORK = 2


BLOCKED = FAILED = 1
DAMAGED = 4


class Result(Value, frozen=True):
    """What came of a task that did not fail."""

    @property
    def exit_code(self) -> int:
        """0: done, or nothing to do."""
        return 0


class SpecReference(Value, frozen=True):
    """Which spec, in which environment.

    Attributes:
        config: the spec's file, as messages name it.
        name: name of the model's packages.
        env: the environment.
    """

    config: str
    name: str
    env: str
