"""The log of a server, kept so that what it wrote about one request can be found."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_KEPT_LINES = 20_000
_QUIET_SECONDS, _LATE_SECONDS = 0.2, 2.0  # the server passes on what the code wrote after its answer


class ServerLog:
    """The lines that the server and the code wrote."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = threading.Condition()
        self.count = 0

    def write(self, lines: Sequence[str]) -> None:
        """Take lines, from any thread."""
        with self._changed:
            self._lines.extend(lines)
            self.count += len(lines)
            self._changed.notify_all()

    def since(self, count: int) -> list[str]:
        """The lines after the first `count`, as far as they are kept."""
        with self._changed:
            fresh = self.count - count
            return list(self._lines)[-fresh:] if fresh else []

    def settled(self, count: int, tells: Callable[[Sequence[str]], object]) -> list[str]:
        """As `since`, when the lines tell something and nothing has come for a moment."""
        end, seen = time.monotonic() + _LATE_SECONDS, -1
        while time.monotonic() < end:
            if self.count == seen and tells(self.since(count)):
                break
            seen = self.count
            time.sleep(_QUIET_SECONDS)
        return self.since(count)

    def rest(self, count: int) -> list[str]:
        """As `since`, when nothing has come for a moment, which is shorter: nothing is missing if a line comes later."""
        end, seen = time.monotonic() + _QUIET_SECONDS, -1
        while self.count != seen and time.monotonic() < end:
            seen = self.count
            time.sleep(_QUIET_SECONDS / 4)
        return self.since(count)

    def wait(self, count: int, seconds: float) -> None:
        """Wait until there are more lines than `count`, or a time is over."""
        with self._changed:
            self._changed.wait_for(lambda: self.count > count, seconds)
