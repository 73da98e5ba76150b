"""How often and how long a request to the Hub is tried again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

# The Hub's rate limits count in windows of five minutes: whoever asks for a longer wait than one is not believed, and two
# without progress between them end it.
LONGEST_WAIT = 300.0
NOTICED = 3.0
# Progress that shows the server to be well again, so that earlier failures are forgiven.
FORGIVEN_AFTER = 1 << 16


class RetryableError(Exception):
    """Something that may go better next time.

    Attributes:
        retry_after: seconds the server asks to wait; None leaves it to `Patience`.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class CancelledError(Exception):
    """The caller does not want the rest any more."""


class RetryPolicy:
    """How often and how long one piece of work is tried again: exponential back-off with jitter.

    Args:
        base: seconds before the second attempt, about; doubles up to 20.
        where: what is worked at, for the error in the end.
        stop: set by the caller to end the waiting.
        attempts: failures in a row after which it ends.
        tell: told of failures that took a person's time, and of waits that will.
    """

    def __init__(
        self,
        base: float,
        where: str,
        stop: threading.Event | None = None,
        attempts: int = 6,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._base, self._where, self._attempts, self._tell = base, where, attempts, tell
        self._stop = stop or threading.Event()
        self._failures = self._gained = 0
        self._waited, self._began = 0.0, time.monotonic()

    def __enter__(self) -> None:
        """Begin an attempt; `while True: with patience: return work()` tries until it goes well or patience ends."""
        self._began = time.monotonic()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, RetryableError):
            self.failed(error)
            return True
        return False

    def progressed(self, count: int) -> None:
        """Bytes arrived.

        Raises:
            Stopped: the caller does not want more.
        """
        if self._stop.is_set():
            raise CancelledError
        self._gained += count
        if self._gained >= FORGIVEN_AFTER:
            self._failures, self._waited = 0, 0.0

    def failed(self, cause: RetryableError) -> None:
        """Wait until it makes sense to try again.

        Raises:
            RemoteError: that was the last attempt, or enough time was spent on waiting.
            Stopped: the caller does not want more.
        """
        self._failures += 1
        self._gained = 0
        if self._failures >= self._attempts or self._waited >= 2 * LONGEST_WAIT:
            fix = "run the same command again: it continues where this one stopped"
            raise RemoteError(f"{cause} ({self._failures} times)", where=self._where, fix=fix) from cause
        delay = self.delay(cause)
        if self._tell and time.monotonic() - self._began + delay > NOTICED:
            self._tell(f"{self._where}: {cause}; trying again in {delay:.0f} s")
        self._waited += delay
        if self._stop.wait(delay):
            raise CancelledError

    def delay(self, cause: RetryableError) -> float:
        """Seconds to wait after a failure; the jitter keeps many connections from coming back at once."""
        import random

        if cause.retry_after is not None:
            return min(cause.retry_after, LONGEST_WAIT) + random.uniform(0, self._base)  # noqa: S311 - no secret
        return min(20.0, self._base * float(1 << (self._failures - 1))) * random.uniform(0.5, 1)  # noqa: S311
