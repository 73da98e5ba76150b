"""The sentences say where the time went, why, and where bytes came from."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sagepack.api.report import words
from sagepack.api.report.facts import Facts
from sagepack.api.report.last_run import Activity, Failure, LastRun
from tests.helpers.reports import fleet, run

FAILURE = Failure("the Hub did not answer")


def test_the_headline_says_how_long_the_run_took_and_for_what() -> None:
    assert words.headline(run()) == (
        "The last run (`deploy`) took 12.4 s, of which 9.1 s (73\N{NO-BREAK SPACE}%) went to the step `download` "
        "(4.0 GiB fetched, 450.1 MiB a second)."
    )


def test_what_comes_second_is_said_where_it_took_a_fifth_of_the_time() -> None:
    found = run()
    longer = tuple(replace(step, seconds=8.0) if step.name == "upload" else step for step in found.steps)
    assert words.headline(replace(found, steps=longer, seconds=18.3)).endswith(
        "to the step `download` (4.0 GiB fetched, 450.1 MiB a second), and 8.0 s (44\N{NO-BREAK SPACE}%) to the step `upload` "
        "(100.0 MiB sent to S3, 4.0 GiB copied inside S3, 524.5 MiB a second)."
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"exit_code": 3, "error": FAILURE}, "failed in the step `upload` after 12.4 s"),
        ({"exit_code": 130}, "was interrupted in the step `upload` after 12.4 s"),
        (
            {"exit_code": None},
            "goes on or was killed in the step `upload`; its last event came after 12.4 s",
        ),
    ],
)
def test_a_run_that_did_not_reach_its_goal_says_so_and_in_which_step(how: dict[str, Any], said: str) -> None:
    steps = tuple(replace(step, succeeded=step.name != "upload") for step in run().steps)
    assert words.headline(replace(run(), steps=steps, **how)).startswith(f"The last run (`deploy`) {said}")


def test_a_run_without_steps_has_a_headline_too() -> None:
    assert "went to planning" in words.headline(replace(run(), steps=()))
    assert words.headline(replace(run(), steps=(), seconds=0.0)) == "The last run (`deploy`) took 0 ms."


def test_the_reason_has_why_a_step_ran() -> None:
    assert words.because(run()) == (
        "`download` ran because the plan said: unet/model.safetensors not in the cache (4.2 GiB to fetch).",
    )
    assert words.because(replace(run(), actions=())) == (
        "`download` ran because: unet/model.safetensors not in the cache (4.2 GiB to fetch).",
    )


def waits(*found: tuple[str, float, float, bool]) -> LastRun:
    """A run in whose download these happened: label, begin, seconds, and whether it has ended."""
    return replace(
        run(), activities=tuple(Activity(label, "download", at, took, ended) for label, at, took, ended in found)
    )


def test_the_headline_names_what_took_most_of_a_part_the_innermost_of_two() -> None:
    found = waits(("scanning", 1.1, 8.8, True), ("starting", 1.2, 6.0, True), ("asking", 8.0, 1.0, True))
    assert words.headline(found).endswith("(4.0 GiB fetched), 6.0 s of it to “starting”.")
    assert words.headline(waits(("asking", 8.0, 1.0, True))).endswith("(4.0 GiB fetched, 450.1 MiB a second).")


def test_the_activities_of_a_part_are_the_longest_five_in_their_order() -> None:
    found = waits(*((f"wait {number}", 1.0 + number, 0.1 + number * 0.3, True) for number in range(9)))
    (_, download, *_) = words.parts(found)
    assert [each.label for each in words.within(download, found)] == [f"wait {number}" for number in range(4, 9)]
    assert words.within(words.parts(found)[0], found) == ()


def test_a_run_that_has_not_ended_says_at_what_it_is() -> None:
    found = replace(
        waits(("hashing", 1.1, 2.0, True), ("waiting", 3.2, 6.0, False)),
        steps=(replace(run().steps[0], succeeded=None),),
        exit_code=None,
    )
    said = {known: words.headline(replace(found, goes_on=known)) for known in (True, False, None)}
    assert said[True].startswith(
        "The last run (`deploy`) goes on in the step `download` at “waiting”: 12.4 s until now, of which 9.1 s"
    )
    assert said[False].startswith(
        "The last run (`deploy`) was killed in the step `download` at “waiting”; its last event came after 12.4 s, of"
    )
    assert said[None].startswith(
        "The last run (`deploy`) goes on or was killed in the step `download` at “waiting”; its last event came"
    )


def test_time_between_two_steps_is_a_part() -> None:
    found = run()
    later = tuple(replace(step, begun=step.begun + 3) if step.name == "upload" else step for step in found.steps)
    parts = words.parts(replace(found, steps=later, seconds=15.4))
    assert [(part.name, round(part.seconds, 3)) for part in parts if part.name == words.BETWEEN] == [
        (words.BETWEEN, 3.0)
    ]


def test_time_before_the_first_step_is_that_of_planning() -> None:
    slow = replace(run(), steps=tuple(replace(step, begun=step.begun + 90) for step in run().steps), seconds=102.4)
    (reason,) = words.because(slow)
    assert reason == "Planning: the spec was read, and the services were asked what is there."
    told = replace(slow, activities=(Activity("asking AWS", None, 1.0, 60.0),))
    assert words.because(told) == ()
    assert words.headline(told).endswith("went to planning, 1 min 00 s of it to “asking AWS”.")


def test_the_parts_of_a_run_fill_its_time_but_for_gaps_between_steps() -> None:
    found = words.parts(run())
    assert [part.name for part in found] == [words.BEFORE, "download", "checksum", "upload"]
    assert sum(part.seconds for part in found) == pytest.approx(12.3)


def test_the_headline_of_a_fleet_counts_how_runs_ended_and_names_the_longest() -> None:
    first, second, third = fleet(3)
    longer = replace(second, run=replace(run(), seconds=100.0, exit_code=1, error=FAILURE))
    assert words.fleet_headline([first, longer, third, Facts("config/x.yaml", "x", "prod")]) == (
        "4 specs: 2 done, 1 failed, 1 without a run. The last runs took 2 min 04 s together; "
        "the longest was `model-001` in prod, 1 min 40 s."
    )
    assert words.fleet_headline([Facts("config/x.yaml", None, "prod")]) == "1 spec: 1 not valid."


def test_specs_are_counted_once_however_many_environments_there_are() -> None:
    members = [replace(each, env=env) for each in fleet(2) for env in ("dev", "prod")]
    assert words.fleet_headline(members).startswith("2 specs in 2 environments: 4 done. ")
    assert words.fleet_moved(members) == "16.0 GiB fetched, 400.0 MiB sent to S3, 16.0 GiB copied inside S3"
    assert words.fleet_moved([replace(members[0], run=None)]) == ""


def test_a_part_says_what_it_has_done_or_why_it_ran() -> None:
    found = run()
    download = found.steps[0]
    said = [
        words.did(words.Part(step.name, 0, 1, step), found)
        for step in (
            download,
            replace(download, outcome=()),
            replace(download, outcome=(), fetched=0),
            replace(download, outcome=(), fetched=0, succeeded=False),
        )
    ]
    assert said == [
        "1 file, 4.2 GiB fetched",
        "4.0 GiB fetched",
        "because: unet/model.safetensors not in the cache (4.2 GiB to fetch)",
        "",
    ]
