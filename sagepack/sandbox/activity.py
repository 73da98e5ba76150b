"""How long the sandbox has been idle, so that its process can end by itself."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Activity:
    """Counts requests in progress and remembers when the last one ended. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._last = time.monotonic()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count one more request in progress within the context."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                self._last = time.monotonic()

    def idle_seconds(self) -> float:
        """Seconds since the last request ended, or since the start if there was none; 0 while a request is in progress."""
        with self._lock:
            return 0.0 if self._running else time.monotonic() - self._last
