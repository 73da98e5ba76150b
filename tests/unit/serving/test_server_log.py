"""The log of a server: what it wrote about one request is found, although it comes later than the answer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from sagepack.serving import server_log
from sagepack.serving.server_log import ServerLog

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> ServerLog:
    monkeypatch.setattr(server_log, "_QUIET_SECONDS", 0.02)
    monkeypatch.setattr(server_log, "_LATE_SECONDS", 5.0)
    return ServerLog()


def tells(lines: Sequence[str]) -> bool:
    return "error" in lines


def test_the_lines_since_a_moment_are_found(log: ServerLog) -> None:
    log.write(["a", "b"])
    before = log.count
    assert log.since(before) == []
    log.write(["c"])
    assert (log.since(before), log.since(0), log.rest(before)) == (["c"], ["a", "b", "c"], ["c"])


def test_lines_that_come_late_are_waited_for_if_nothing_was_told_yet(log: ServerLog) -> None:
    log.write(["before", "error"])
    before = log.count
    timer = threading.Timer(0.1, log.write, (["late", "error"],))
    timer.start()
    assert log.settled(before, tells) == ["late", "error"]
    timer.join()


def test_a_log_that_tells_nothing_is_not_waited_for_without_end(
    log: ServerLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_log, "_LATE_SECONDS", 0.05)
    log.write(["nothing"])
    assert log.settled(0, tells) == ["nothing"]


def test_who_waits_for_a_line_gets_it_at_once(log: ServerLog) -> None:
    begun, timer = time.monotonic(), threading.Timer(0.05, log.write, (["a"],))
    timer.start()
    log.wait(0, 20)
    assert (log.since(0), time.monotonic() - begun < 10) == (["a"], True)
    timer.join()


def test_of_a_long_log_the_newest_lines_are_kept(log: ServerLog) -> None:
    log.write([str(number) for number in range(30_000)])
    assert len(log.since(0)) == 20_000
    assert log.since(0)[-1] == "29999"
