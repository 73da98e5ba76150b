"""The plan is pure: facts in, actions out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.engine.plan import GOALS, NEEDS, Action, StepStatus, plan, steps_to
from sagepack.engine.records import Record

SAME: dict[str, object] = {"code": {"inference.py": "sha256:a"}}


def recorded(step: str, inputs: dict[str, object] = SAME, version: int = 1) -> Record:
    return Record(step, version, inputs, {})


def settled(goal: str) -> dict[str, StepStatus]:
    """Facts of a build in which nothing is to do."""
    return {step: StepStatus(1, SAME, recorded(step)) for step in steps_to(goal)}


def test_every_step_comes_after_what_it_needs() -> None:
    for goal in GOALS:
        steps = steps_to(goal)
        for step in steps:
            assert all(steps.index(need) < steps.index(step) for need in NEEDS[step])


def test_publishing_needs_no_local_archive() -> None:
    assert "tar" not in steps_to("deploy")


def test_with_the_same_inputs_and_outputs_in_place_nothing_runs() -> None:
    for goal in GOALS:
        assert not any(action.run for action in plan(goal, settled(goal)))


def test_an_edit_of_the_code_runs_assemble_checksum_and_tar_and_nothing_else() -> None:
    facts = settled("package")
    for step in ("assemble", "checksum", "tar"):
        facts[step] = StepStatus(1, {"code": {"inference.py": "sha256:b"}}, recorded(step))
    done = "inputs and output are as recorded"
    changed = ("code/inference.py changed",)
    assert plan("package", facts) == [
        Action("lock", False, (done,)),
        Action("download", False, (done,)),
        Action("assemble", True, changed),
        Action("checksum", True, changed),
        Action("tar", True, changed),
    ]


@pytest.mark.parametrize(
    ("fact", "reasons"),
    [
        (StepStatus(1, SAME), ("it has not run yet",)),
        (StepStatus(1, SAME, Record("tar", 1, SAME, {}, finished=False)), ("its last run did not finish",)),
        (StepStatus(2, SAME, recorded("tar")), ("the step's own code changed (version 1 to 2)",)),
        (StepStatus(1, {}, recorded("tar")), ("code is gone",)),
        (StepStatus(1, {**SAME, "format": 2}, recorded("tar")), ("format is new",)),
        (StepStatus(1, SAME, recorded("tar"), ("model.tar.gz is missing",)), ("model.tar.gz is missing",)),
        (StepStatus(1, SAME, trouble=("S3 lacks it",), observed=True), ("S3 lacks it",)),
    ],
)
def test_every_reason_to_run_is_told(fact: StepStatus, reasons: tuple[str, ...]) -> None:
    assert plan("tar", {**settled("tar"), "tar": fact})[-1] == Action("tar", True, reasons)


def test_an_observed_step_needs_no_record() -> None:
    facts = {**settled("upload"), "upload": StepStatus(1, SAME, observed=True, done="it is in S3")}
    assert plan("upload", facts)[-1] == Action("upload", False, ("it is in S3",))


def test_what_an_unmade_lock_leaves_open_runs_after_it() -> None:
    facts = {step: StepStatus(1) for step in steps_to("package")}
    facts["lock"] = StepStatus(1, SAME, trouble=("the lock is missing",), observed=True)
    actions = {action.step: action for action in plan("package", facts)}
    assert actions["download"] == Action("download", True, ("lock runs first",))
    assert actions["tar"].reasons == ("download runs first", "checksum runs first")


def test_bytes_are_told_for_what_runs_and_for_nothing_else() -> None:
    facts = settled("download")
    facts["download"] = StepStatus(1, SAME, trouble=("unet is missing",), observed=True, fetch=10)
    facts["lock"] = StepStatus(1, SAME, recorded("lock"), fetch=99)
    assert [action.fetch for action in plan("download", facts)] == [0, 10]


@given(st.dictionaries(st.text(max_size=3), st.integers()), st.dictionaries(st.text(max_size=3), st.integers()))
def test_a_step_runs_exactly_if_its_inputs_differ_from_its_record(
    before: dict[str, int], after: dict[str, int]
) -> None:
    action = plan("lock", {"lock": StepStatus(1, after, Record("lock", 1, before, {}))})[0]
    assert action.run == (before != after)
    assert action.reasons
