"""A run is read from whatever lines it left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagepack.api import events
from sagepack.api.report import last_run
from tests.helpers.reports import BEGUN, ERROR, GIB, MIB, at, happened, lines, run


def test_a_run_has_its_steps_with_their_times_and_bytes() -> None:
    found = run()
    assert [(step.name, step.begun, step.seconds, step.succeeded) for step in found.steps] == [
        ("download", 1.0, 9.1, True),
        ("checksum", 10.1, 0.1, True),
        ("upload", 10.2, 2.1, True),
    ]
    assert (found.begun, found.seconds, found.before) == (BEGUN, 12.4, 1.0)
    assert (found.moved("fetched"), found.moved("sent"), found.moved("copied")) == (4 * GIB, 100 * MIB, 4 * GIB)
    assert [action.step for action in found.actions] == ["lock", "download", "checksum", "upload"]
    assert [warning.message for warning in found.warnings] == ["a warning"]
    assert found.exit_code == 0


def test_a_run_that_was_killed_has_the_step_that_ran_without_an_end() -> None:
    found = run(happened()[:6])
    assert (found.exit_code, found.has_ended) == (None, False)
    assert [(step.name, step.succeeded) for step in found.steps] == [("download", None)]
    assert found.seconds == pytest.approx(9.8)
    assert found.steps[0].seconds == pytest.approx(8.8)


def test_a_run_that_failed_has_its_error() -> None:
    *before, ended = happened()
    failed = replace(ended, exit_code=3, result=None, error=ERROR.to_json())
    found = run([*before, failed]).error
    assert found == last_run.Failure(ERROR.message, ERROR.where, ERROR.fix, ERROR.details)


def test_an_error_of_another_form_is_said_to_be_unreadable() -> None:
    *before, ended = happened()
    found = run([*before, replace(ended, exit_code=3, result=None, error={"message": 1})])
    assert found.error == last_run.Failure("it failed, and its error cannot be read")


@pytest.mark.parametrize(("result", "manifest"), [({"manifest": "sha256:0"}, "sha256:0"), ({"manifest": 1}, None)])
def test_a_run_has_the_identity_of_the_package_that_it_made(result: dict[str, object], manifest: str | None) -> None:
    *before, ended = happened()
    assert run([*before, replace(ended, result=result)]).manifest == manifest


@given(st.lists(st.binary(max_size=40)), st.integers(0, 12))
def test_lines_that_are_no_events_are_passed_over_and_counted(noise: list[bytes], place: int) -> None:
    noise = [line.replace(b"\n", b"") + b"\n" for line in noise if line.strip()]
    known = lines(happened())
    found = last_run.read(b"".join([*known[:place], *noise, *known[place:]]))
    assert found is not None
    assert replace(found, unreadable=0) == run()
    assert found.unreadable == len(noise)


@pytest.mark.parametrize("goes_on", [True, False, None])
@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_last_line_that_is_not_whole_is_no_damage(goes_on: bool | None, cut: int) -> None:
    *before, last = lines(happened()[:6])
    found = last_run.read(b"".join(before) + last[:-cut], goes_on, at(30))
    assert found is not None
    assert (found.unreadable, found.exit_code, found.goes_on) == (0, None, goes_on)


def test_a_run_that_goes_on_is_counted_until_now_and_one_that_was_killed_until_its_last_event() -> None:
    data = b"".join(lines([*happened()[:4], events.ActivityBegun(at(3), "download", "waiting")]))
    goes_on, killed = (last_run.read(data, known, at(30)) for known in (True, False))
    assert goes_on is not None
    assert killed is not None
    assert (goes_on.seconds, goes_on.steps[0].seconds, goes_on.activities[0].seconds) == (30, 29, 27)
    assert (killed.seconds, killed.steps[0].seconds, killed.activities[0].seconds) == (3, 2, 0)
    assert not goes_on.activities[0].has_ended


def test_a_run_has_what_took_a_while_in_the_order_in_which_it_began() -> None:
    begun, *others = happened()
    found = run(
        [
            begun,
            events.ActivityBegun(at(0.2), None, "asking AWS"),
            events.ActivityBegun(at(0.3), None, "within"),
            events.ActivityEnded(at(0.5), None, "within", 0.2),
            events.ActivityEnded(at(0.9), None, "asking AWS", 0.7),
            events.ActivityEnded(at(0.9), None, "never begun", 0.7),
            *others,
        ]
    )
    assert found.activities == (
        last_run.Activity("asking AWS", None, 0.2, 0.7),
        last_run.Activity("within", None, 0.3, 0.2),
    )


def test_lines_without_the_begin_of_a_run_are_no_run() -> None:
    assert last_run.read(b"") is None
    assert last_run.read(b"".join(lines(happened())[1:])) is None


def test_an_event_of_a_kind_that_this_version_does_not_know_is_passed_over() -> None:
    found = last_run.read(b"".join(lines(happened())) + b'{"event": "slept", "time": "2026-01-02T03:04:05Z"}\n')
    assert found is not None
    assert found.unreadable == 1


def test_events_of_a_later_version_are_refused() -> None:
    begun, *others = happened()
    with pytest.raises(last_run.NewerEventsError, match="of version 9, written by sagepack"):
        last_run.read(b"".join(lines([replace(begun, version=9), *others])))


def test_times_that_run_backward_make_no_negative_seconds() -> None:
    begun, *others = happened()
    found = run([replace(begun, time=at(100)), *others])
    assert all(step.begun >= 0 and step.seconds >= 0 for step in found.steps)
    assert found.before >= 0
    assert found.after >= 0
