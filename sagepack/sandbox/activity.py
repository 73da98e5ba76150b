"""When something last happened in the sandbox, so that it can end when nobody needs it any more."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Activity:
    """Counts what is under way and remembers when the last of it ended. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._last = time.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Something is under way within."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._last = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since something last happened; 0 while something is under way."""
        with self._lock:
            return 0.0 if self._running else time.monotonic() - self._last
