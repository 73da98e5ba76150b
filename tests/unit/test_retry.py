from __future__ import annotations

import threading

import pytest

from sagepack.errors import RemoteError
from sagepack.retry import FORGIVEN_AFTER, LONGEST_WAIT, CancelledError, Retries, RetryableError, RetryPolicy


class Clock(threading.Event):
    """An event whose waits take no time and are remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return self.is_set()


def fail(retries: Retries, times: int, cause: RetryableError | None = None) -> None:
    for _ in range(times):
        with retries:
            raise cause or RetryableError("no")


def test_waits_double_up_to_a_bound_with_jitter() -> None:
    clock = Clock()
    fail(RetryPolicy(1.0, attempts=8).begin("x", clock), 7)
    for number, wait in enumerate(clock.waits):
        assert min(20, 2**number) / 2 <= wait <= min(20, 2**number)


def test_the_last_attempt_says_what_happened_and_where() -> None:
    with pytest.raises(RemoteError, match=r"^a/b: no \(3 times\)\n  run the same command again") as caught:
        fail(RetryPolicy(0, attempts=3).begin("a/b", Clock()), 3)
    assert caught.value.exit_code == 3


def test_progress_forgives_earlier_failures_and_a_trickle_does_not() -> None:
    retries = RetryPolicy(0, attempts=3).begin("x", Clock())
    for _ in range(10):
        fail(retries, 1)
        retries.progressed(FORGIVEN_AFTER)
    fail(retries, 1)
    retries.progressed(1)
    with pytest.raises(RemoteError):
        fail(retries, 2)


def test_the_servers_wish_is_kept_within_reason() -> None:
    clock = Clock()
    retries = RetryPolicy(0.5).begin("x", clock)
    fail(retries, 1, RetryableError("busy", 7))
    fail(retries, 1, RetryableError("busy", 1e9))
    fail(retries, 1, RetryableError("expired", 0))
    assert 7 <= clock.waits[0] <= 7.5
    assert LONGEST_WAIT <= clock.waits[1] <= LONGEST_WAIT + 0.5
    assert 0 <= clock.waits[2] <= 0.5


def test_a_wait_that_a_person_would_notice_is_reported() -> None:
    told: list[str] = []
    retries = RetryPolicy(0.5, notify=told.append).begin("a/b", Clock())
    fail(retries, 1)
    fail(retries, 1, RetryableError("the server returned status 429", 60))
    assert len(told) == 1
    assert told[0].startswith("a/b: the server returned status 429; trying again in 6")


def test_an_attempt_that_took_a_persons_time_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    retries = RetryPolicy(0, notify=told.append).begin("a/b", Clock())
    monkeypatch.setattr("sagepack.retry.NOTICED", -1.0)
    fail(retries, 1, RetryableError("timed out"))
    assert told == ["a/b: timed out; trying again in 0 s"]


def test_a_server_that_wants_ever_more_time_gets_two_windows_of_it() -> None:
    clock, told = Clock(), list[str]()
    retries = RetryPolicy(0.5, notify=told.append).begin("a/b", clock)
    with pytest.raises(RemoteError, match=r"busy \(3 times\)"):
        fail(retries, 6, RetryableError("busy", 999_999_999))
    assert sum(clock.waits) <= 2 * LONGEST_WAIT + 1
    assert len(told) == len(clock.waits) == 2


def test_progress_gives_the_server_its_time_back() -> None:
    retries = RetryPolicy(0).begin("x", Clock())
    for _ in range(4):
        fail(retries, 2, RetryableError("busy", 1e9))
        retries.progressed(FORGIVEN_AFTER)


def test_a_stop_ends_waiting_and_reading() -> None:
    clock = Clock()
    clock.set()
    retries = RetryPolicy(1).begin("x", clock)
    with pytest.raises(CancelledError):
        retries.progressed(1)
    with pytest.raises(CancelledError):
        fail(retries, 1)


def test_what_is_not_transient_is_not_tried_again() -> None:
    with pytest.raises(ZeroDivisionError), RetryPolicy(1).begin("x", Clock()):
        raise ZeroDivisionError
