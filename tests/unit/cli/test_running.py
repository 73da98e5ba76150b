"""The lines of what runs tell how far it is, how fast, and what stays of it."""

from __future__ import annotations

import pytest

from sagepack.cli import running
from sagepack.cli.layout import Screen, cells, plain
from sagepack.cli.running import Bar, Running, ended_step, noted

SCREEN = Screen(80, glyphs="unicode", is_terminal=True)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, as a list of one."""
    time = [1000.0]
    monkeypatch.setattr("sagepack.cli.running.time.monotonic", lambda: time[0])
    return time


def shown(what: Running, screen: Screen = SCREEN) -> str:
    return plain(what.line(screen, ""))[2:]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (3700, "1 h 01 min"), (360_000, "100 h 00 min")],
)
def test_time_counts_in_whole_seconds(seconds: float, text: str, now: list[float]) -> None:
    activity = Running("waiting")
    now[0] += seconds
    assert shown(activity) == f"waiting  {text}"


def test_a_bar_tells_how_far_it_is_how_fast_and_how_long_it_takes(now: list[float]) -> None:
    bar = Bar("fetching")
    bar.total = 10 << 20
    assert shown(bar) == f"fetching  {'-' * 24}  0 B of 10.0 MiB"
    now[0] += 5
    bar.done = 5 << 20
    assert shown(bar) == f"fetching  {'━' * 12}{'-' * 12}  5.0 MiB of 10.0 MiB  1.0 MiB/s  5 s left"
    bar.done = bar.total
    assert shown(bar).endswith("10.0 MiB of 10.0 MiB  2.0 MiB/s")


def test_what_was_there_before_has_no_rate(now: list[float]) -> None:
    bar = Bar("publishing")
    bar.total, bar.done = 10 << 20, 8 << 20
    now[0] += 0.3
    shown(bar)
    now[0] += 2
    bar.done += 1 << 20
    assert shown(bar).endswith("9.0 MiB of 10.0 MiB  512.0 KiB/s  2 s left")


def test_the_rate_is_the_one_of_the_last_seconds(now: list[float]) -> None:
    bar = Bar("fetching")
    bar.total = 1 << 30
    for _ in range(100):
        now[0] += 1
        bar.done += 1 << 20
        shown(bar)
    for _ in range(20):
        now[0] += 1
        bar.done += 1 << 10
        text = shown(bar)
    assert "  1.0 KiB/s  " in text


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("done", [-5, 0, 7, 2 << 40])
def test_a_bar_never_takes_more_than_its_room(width: int, done: int, now: list[float]) -> None:
    bar = Bar("fetching")
    bar.total = 1 << 40
    shown(bar)
    now[0] += 3
    bar.done = done
    assert plain(bar.line(Screen(width, glyphs="ascii"), "  ")).count("#") <= running._BAR


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_time_of_a_step_stands_behind_its_outcome(width: int) -> None:
    text = "13 files, identity sha256:1a1ea81dee6ca0a094997c38126d6db3c53ab9d294afb177e6e307914a2e6507"
    lines = [plain(line) for line in ended_step("checksum", text, 0.0034, "ok", Screen(width, glyphs="unicode"))]
    assert lines[0].startswith("✓ checksum  13 files")
    assert lines[-1].endswith("  3 ms")
    assert all(cells(line) <= width and (line.startswith(" " * 12) or line is lines[0]) for line in lines)


def test_a_note_keeps_its_spaces_unless_it_is_too_long() -> None:
    assert noted("| a  b", 2, Screen(80)) == ["  | a  b"]
    assert noted("word " * 20, 2, Screen(40)) == ["  " + " ".join(["word"] * count) for count in (7, 7, 6)]
