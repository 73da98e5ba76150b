from __future__ import annotations

import threading

import pytest

from sagepack.errors import RemoteError
from sagepack.hub.retry import FORGIVEN_AFTER, LONGEST_WAIT, CancelledError, RetryableError, RetryPolicy


class Clock(threading.Event):
    """An event whose waits take no time and are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def fail(patience: RetryPolicy, times: int, cause: RetryableError | None = None) -> None:
    for _ in range(times):
        with patience:
            raise cause or RetryableError("no")


def test_waits_double_up_to_a_bound_with_jitter() -> None:
    clock = Clock()
    fail(RetryPolicy(1.0, "x", clock, attempts=8), 7)
    for number, wait in enumerate(clock.waits):
        assert min(20, 2**number) / 2 <= wait <= min(20, 2**number)


def test_the_last_attempt_says_what_happened_and_where() -> None:
    with pytest.raises(RemoteError, match=r"^a/b: no \(3 times\)\n  run the same command again") as caught:
        fail(RetryPolicy(0, "a/b", Clock(), attempts=3), 3)
    assert caught.value.exit_code == 3


def test_progress_forgives_earlier_failures_and_a_trickle_does_not() -> None:
    patience = RetryPolicy(0, "x", Clock(), attempts=3)
    for _ in range(10):
        fail(patience, 1)
        patience.progressed(FORGIVEN_AFTER)
    fail(patience, 1)
    patience.progressed(1)
    with pytest.raises(RemoteError):
        fail(patience, 2)


def test_the_servers_wish_is_kept_within_reason() -> None:
    clock = Clock()
    patience = RetryPolicy(0.5, "x", clock)
    fail(patience, 1, RetryableError("busy", 7))
    fail(patience, 1, RetryableError("busy", 1e9))
    fail(patience, 1, RetryableError("expired", 0))
    assert 7 <= clock.waits[0] <= 7.5
    assert LONGEST_WAIT <= clock.waits[1] <= LONGEST_WAIT + 0.5
    assert 0 <= clock.waits[2] <= 0.5


def test_a_wait_that_a_person_would_notice_is_told() -> None:
    told: list[str] = []
    patience = RetryPolicy(0.5, "a/b", Clock(), tell=told.append)
    fail(patience, 1)
    fail(patience, 1, RetryableError("the server answered 429", 60))
    assert len(told) == 1
    assert told[0].startswith("a/b: the server answered 429; trying again in 6")


def test_an_attempt_that_took_a_persons_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    patience = RetryPolicy(0, "a/b", Clock(), tell=told.append)
    monkeypatch.setattr("sagepack.hub.retry.NOTICED", -1.0)
    fail(patience, 1, RetryableError("too little came in time"))
    assert told == ["a/b: too little came in time; trying again in 0 s"]


def test_a_server_that_wants_ever_more_time_gets_two_windows_of_it() -> None:
    clock, told = Clock(), list[str]()
    patience = RetryPolicy(0.5, "a/b", clock, tell=told.append)
    with pytest.raises(RemoteError, match=r"busy \(3 times\)"):
        fail(patience, 6, RetryableError("busy", 999_999_999))
    assert sum(clock.waits) <= 2 * LONGEST_WAIT + 1
    assert len(told) == len(clock.waits) == 2


def test_progress_gives_the_server_its_time_back() -> None:
    patience = RetryPolicy(0, "x", Clock())
    for _ in range(4):
        fail(patience, 2, RetryableError("busy", 1e9))
        patience.progressed(FORGIVEN_AFTER)


def test_a_stop_ends_waiting_and_reading() -> None:
    clock = Clock()
    clock.set()
    patience = RetryPolicy(1, "x", clock)
    with pytest.raises(CancelledError):
        patience.progressed(1)
    with pytest.raises(CancelledError):
        fail(patience, 1)


def test_what_is_not_transient_is_not_tried_again() -> None:
    with pytest.raises(ZeroDivisionError), RetryPolicy(1, "x", Clock()):
        raise ZeroDivisionError
