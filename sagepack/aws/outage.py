"""An outage of the network, of AWS or of the credentials, which a long command survives: it tells it, and asks again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sagepack.text import format_duration
from sagepack.workers import pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.errors import SagepackError

_Answer = TypeVar("_Answer")


class Trouble(NamedTuple):
    """Why a request was not answered, and may be later.

    Attributes:
        error: in words.
        needs_login: whether it is the credentials that AWS does not accept any more.
    """

    error: SagepackError
    needs_login: bool


class Outage:
    """Sends requests again until they are answered. Threads may share one: an outage is told once, and its end.

    What was requested before goes on in AWS meanwhile. A request whose answer was lost may be sent twice: whoever sends one
    that must not be does it in `deploy.waiter.settle`, which looks again where the second one is refused.

    Args:
        note: gets what is told.
        lasts: seconds for which a request is sent again before it is given up.
        delay: seconds between two of them.
        sleep, clock: as `workers.pause` and `time.monotonic`; tests set them, so that they take no time.
    """

    def __init__(
        self,
        note: Callable[[str], None],
        *,
        lasts: float = 1800.0,
        delay: float = 15.0,
        sleep: Callable[[float], None] = pause,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._note, self._lasts, self._delay, self._sleep, self._clock = note, lasts, delay, sleep, clock
        self._lock = threading.Lock()
        self._waiting = 0  # requests that wait for the end of it
        self._since = 0.0  # the first failure of these, by the clock
        self._told: set[bool] = set()  # the `needs_login` of what was told

    def survive(
        self,
        send: Callable[[], _Answer],
        trouble_of: Callable[[Exception], Trouble | None],
        renew: Callable[[], None],
    ) -> _Answer:
        """What `send` returns, which is called again as long as AWS does not answer.

        Args:
            send: sends a request.
            trouble_of: what an error means; None if the request would fail again, so that the error is raised.
            renew: looks for the user's new login.

        Raises:
            SagepackError: AWS does not answer for longer than an outage may last.
        """
        try:
            return send()
        except Exception as error:
            if (first := trouble_of(error)) is None:
                raise
        return self._outlast(first, send, trouble_of, renew)

    def _outlast(
        self,
        trouble: Trouble,
        send: Callable[[], _Answer],
        trouble_of: Callable[[Exception], Trouble | None],
        renew: Callable[[], None],
    ) -> _Answer:
        began, answered = self._begin(), False
        try:
            while True:
                self._wait(trouble, self._clock() - began)
                if trouble.needs_login:
                    renew()
                try:
                    answer = send()
                except Exception as error:
                    if (again := trouble_of(error)) is None:
                        answered = True
                        raise
                    trouble = again
                else:
                    answered = True
                    return answer
        finally:
            self._end(answered=answered)

    def _begin(self) -> float:
        with self._lock:
            now = self._clock()
            if not self._waiting:
                self._since = now
            self._waiting += 1
            return now

    def _wait(self, trouble: Trouble, elapsed: float) -> None:
        """Tell what is new, and sleep until the request is sent again.

        Raises:
            SagepackError: it was sent for long enough.
        """
        error, longest = trouble.error, format_duration(self._lasts)
        if elapsed >= self._lasts:
            again = error.fix or "run the same command again: it continues"
            raise error.with_context(fix=f"what was requested goes on in AWS; {again}")
        with self._lock:
            is_new = trouble.needs_login not in self._told
            self._told.add(trouble.needs_login)
        if is_new:
            advice = "log in again in another terminal" if trouble.needs_login else "check the network"
            self._note(f"{error.message}; trying again, for {longest} at most ({advice})")
        self._sleep(min(self._delay, self._lasts - elapsed))

    def _end(self, *, answered: bool) -> None:
        with self._lock:
            self._waiting -= 1
            over = answered and not self._waiting
            if over:
                self._told.clear()
        if over:
            self._note(f"AWS responds again, after {format_duration(self._clock() - self._since)}")
