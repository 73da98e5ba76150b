"""The clock of the sandbox's AWS. It goes as the machine's does, and tests and people can turn it forward."""

from __future__ import annotations

import time


class Clock:
    """The time by which endpoints change their states, fall asleep and wake."""

    def __init__(self) -> None:
        self._turned = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._turned

    def turn(self, seconds: float) -> None:
        """Turn the clock forward.

        Raises:
            ValueError: `seconds` is negative: a clock that goes back would show states again that have ended.
        """
        if not seconds >= 0:
            raise ValueError(f"the clock cannot be turned back: {seconds}")
        self._turned += seconds

    def reset(self) -> None:
        """Show the time of the machine again."""
        self._turned = 0.0
