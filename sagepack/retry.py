"""How often a request that failed is sent again, and how long to wait before: exponential back-off with jitter.

For reads, and for requests that may be repeated without harm. Single calls of AWS are retried by botocore; this is for what
it does not cover, such as a body that breaks off.
"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

# The Hub's rate limits count in windows of five minutes. A server that asks for a longer wait gets this one, and two such
# waits without progress between them end the work.
LONGEST_WAIT = 300.0
# A failure is reported if it took, together with the wait for the next attempt, more than this many seconds.
NOTICED = 3.0
# Progress, in bytes, that shows the server to work again, so that earlier failures no longer count.
FORGIVEN_AFTER = 1 << 16
_LONGEST_BACKOFF = 20.0


class RetryableError(Exception):
    """A failure that may not occur at the next attempt.

    Attributes:
        retry_after: seconds the server asks to wait; None leaves it to the policy.
        fix: what the user can do if it was the last attempt; None leaves it to the policy.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.retry_after, self.fix = retry_after, fix


class CancelledError(Exception):
    """The caller has set `stop`: it does not need the result any more."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to try.

    Attributes:
        backoff: the longest wait before the second attempt, in seconds; it doubles with each failure, up to 20.
        attempts: number of failures in a row after which the work has failed.
        notify: called with one line for each failure that takes longer than `NOTICED`.
        fix: what the user can do after the last attempt.
    """

    backoff: float = 0.5
    attempts: int = 6
    notify: Callable[[str], None] | None = None
    fix: str = "run the same command again: it continues where this one stopped"

    def begin(self, where: str, stop: threading.Event | None = None) -> Retries:
        """Start to count the failures of one piece of work.

        Args:
            where: what is read or requested, for messages.
            stop: set it in another thread to end the wait for the next attempt.
        """
        return Retries(self, where, stop or threading.Event())


class Retries:
    """The attempts at one piece of work: `while True: with retries: return work()`.

    A `RetryableError` that leaves the block is caught, after a wait, so that the loop goes on; any other error passes.
    """

    def __init__(self, policy: RetryPolicy, where: str, stop: threading.Event) -> None:
        self._policy, self._where, self._stop = policy, where, stop
        self._failures = self._gained = 0
        self._waited, self._began = 0.0, time.monotonic()

    def __enter__(self) -> None:
        """Begin an attempt."""
        self._began = time.monotonic()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        """End an attempt, and wait before the next one if this one failed.

        Raises:
            RemoteError: that was the last attempt, or the server asked for too much time.
            CancelledError: `stop` was set.
        """
        if isinstance(error, RetryableError):
            self._failed(error)
            return True
        return False

    def progressed(self, count: int) -> None:
        """Count bytes that arrived; enough of them reset the number of failures.

        Raises:
            CancelledError: `stop` was set.
        """
        if self._stop.is_set():
            raise CancelledError
        self._gained += count
        if self._gained >= FORGIVEN_AFTER:
            self._failures, self._waited = 0, 0.0

    def _failed(self, cause: RetryableError) -> None:
        self._failures += 1
        self._gained = 0
        policy = self._policy
        if self._failures >= policy.attempts or self._waited >= 2 * LONGEST_WAIT:
            message = f"{cause} ({self._failures} times)"
            raise RemoteError(message, where=self._where, fix=cause.fix or policy.fix) from cause.__cause__ or cause
        # The jitter keeps many connections from coming back at the same instant.
        if cause.retry_after is not None:
            delay = min(cause.retry_after, LONGEST_WAIT) + random.uniform(0, policy.backoff)  # noqa: S311 - no secret
        else:
            longest = min(_LONGEST_BACKOFF, policy.backoff * float(1 << (self._failures - 1)))
            delay = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if policy.notify and time.monotonic() - self._began + delay > NOTICED:
            policy.notify(f"{self._where}: {cause}; trying again in {delay:.0f} s")
        self._waited += delay
        if self._stop.wait(delay):
            raise CancelledError
