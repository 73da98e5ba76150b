"""The plan is pure: the status of each step in, actions out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sagepack.engine.plan import UNKNOWN, Action, Step, StepStatus, plan, steps_to
from sagepack.engine.records import Record
from sagepack.engine.steps import GOALS, STEPS
from sagepack.engine.steps import steps_to as steps_of_goal

SAME: dict[str, Any] = {"code": {"inference.py": "sha256:a"}}
DONE = "up to date"


def never(_context: None) -> Any:
    pytest.fail("a plan neither looks nor runs")


def step(name: str, *needs: str, version: int = 1) -> Step[None]:
    return Step(name, needs, version, status=never, run=never)


LOCK, DOWNLOAD, CODE = step("lock"), step("download", "lock"), step("assemble", "lock")
ARCHIVE = step("tar", "download", "assemble")
STEPS_OF_AN_ARCHIVE = (LOCK, DOWNLOAD, CODE, ARCHIVE)


def recorded(name: str, inputs: dict[str, Any] = SAME, version: int = 1) -> Record:
    return Record(name, version, inputs, {})


def done(*names: str) -> dict[str, StepStatus]:
    """The statuses of steps with nothing to do."""
    return {name: StepStatus.recorded(SAME, recorded(name)) for name in names}


ALL_DONE = done("lock", "download", "assemble", "tar")


def test_every_step_comes_after_what_it_needs() -> None:
    for goal in GOALS:
        names = [found.name for found in steps_of_goal(goal)]
        for found in steps_of_goal(goal):
            assert all(names.index(need) < names.index(found.name) for need in found.needs)


def test_names_of_steps_are_unique_and_a_goal_ends_with_its_own_step() -> None:
    assert len({found.name for found in STEPS}) == len(STEPS)
    assert all(steps_of_goal(goal)[-1].name == name for goal, name in GOALS.items())


def test_a_goal_takes_what_it_needs_and_nothing_else() -> None:
    assert steps_to("assemble", STEPS_OF_AN_ARCHIVE) == (LOCK, CODE)
    assert steps_to("tar", STEPS_OF_AN_ARCHIVE) == STEPS_OF_AN_ARCHIVE


def test_publishing_needs_no_local_archive() -> None:
    assert "tar" not in [found.name for found in steps_of_goal("deploy")]


def test_with_the_same_inputs_and_outputs_in_place_nothing_runs() -> None:
    assert not any(action.runs for action in plan(STEPS_OF_AN_ARCHIVE, ALL_DONE))


def test_a_step_runs_by_its_own_inputs_and_not_because_another_runs() -> None:
    changed = {"code": {"inference.py": "sha256:b"}}
    statuses = {**ALL_DONE, "assemble": StepStatus.recorded(changed, recorded("assemble"))}
    assert plan(STEPS_OF_AN_ARCHIVE, statuses) == [
        Action("lock", status="skip", reasons=(DONE,)),
        Action("download", status="skip", reasons=(DONE,)),
        Action("assemble", status="run", reasons=("code/inference.py changed",)),
        Action("tar", status="skip", reasons=(DONE,)),
    ]


@pytest.mark.parametrize(
    ("status", "reasons"),
    [
        (StepStatus.recorded(SAME, None), ("first run",)),
        (StepStatus.recorded(SAME, Record("tar", 1, SAME, {}, finished=False)), ("its last run did not finish",)),
        (StepStatus.recorded(SAME, recorded("tar", version=2)), ("the step's own code changed (version 2 to 1)",)),
        (StepStatus.recorded({}, recorded("tar")), ("code is gone",)),
        (StepStatus.recorded({**SAME, "format": 2}, recorded("tar")), ("format is new",)),
        (StepStatus.recorded(SAME, recorded("tar"), ("model.tar.gz is missing",)), ("model.tar.gz is missing",)),
        (StepStatus.observed(SAME, ("S3 has no such object",), done="it is there"), ("S3 has no such object",)),
    ],
)
def test_every_reason_to_run_is_given(status: StepStatus, reasons: tuple[str, ...]) -> None:
    assert plan(STEPS_OF_AN_ARCHIVE, {**ALL_DONE, "tar": status})[-1] == Action("tar", status="run", reasons=reasons)


def test_an_observed_step_needs_no_record() -> None:
    statuses = {**ALL_DONE, "tar": StepStatus.observed(SAME, (), done="it is in S3")}
    assert plan(STEPS_OF_AN_ARCHIVE, statuses)[-1] == Action("tar", status="skip", reasons=("it is in S3",))


@pytest.mark.parametrize(
    "status", [UNKNOWN, StepStatus.observed(SAME, (), done="same"), StepStatus.observed(SAME, ("gone",), done="")]
)
def test_an_obstacle_blocks_a_step_whatever_it_would_do(status: StepStatus) -> None:
    statuses = {**ALL_DONE, "tar": structs.replace(status, obstacle="another account")}
    blocked = Action("tar", status="blocked", reasons=("another account",))
    assert plan(STEPS_OF_AN_ARCHIVE, statuses)[-1] == blocked


def test_what_a_missing_lock_leaves_unknown_runs_after_it() -> None:
    statuses = dict.fromkeys(("download", "assemble", "tar"), UNKNOWN)
    statuses["lock"] = StepStatus.observed(SAME, ("the lock is missing",), done="")
    actions = {action.step: action for action in plan(STEPS_OF_AN_ARCHIVE, statuses)}
    assert actions["download"] == Action("download", status="run", reasons=("lock runs first",))
    assert actions["tar"].reasons == ("download runs first", "assemble runs first")


def test_bytes_are_given_for_what_runs_and_for_nothing_else() -> None:
    statuses = {
        "lock": StepStatus.observed(SAME, (), done="", fetch=99),
        "download": StepStatus.observed(SAME, ("unet is missing",), done="", fetch=10),
    }
    assert [action.fetch for action in plan((LOCK, DOWNLOAD), statuses)] == [0, 10]


@given(st.dictionaries(st.text(max_size=3), st.integers()), st.dictionaries(st.text(max_size=3), st.integers()))
def test_a_step_runs_exactly_if_its_inputs_differ_from_its_record(
    before: dict[str, int], after: dict[str, int]
) -> None:
    action = plan((LOCK,), {"lock": StepStatus.recorded(after, recorded("lock", before))})[0]
    assert action.runs == (before != after)
    assert action.reasons
