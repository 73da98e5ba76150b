"""Each step is below what it needs, and its lines lead there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sagepack.api.graph import lanes
from sagepack.engine.steps import GOALS, steps_to


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    names = [f"step{number}" for number in range(draw(st.integers(0, 9)))]
    return {
        name: tuple(draw(st.lists(st.sampled_from(names[:number]), unique=True, max_size=4))) if number else ()
        for number, name in enumerate(names)
    }


@given(graphs())
def test_every_step_has_a_row_and_the_lanes_that_it_needs_meet_in_it(needs: dict[str, tuple[str, ...]]) -> None:
    rows = lanes.rows(needs)
    assert [row.step for row in rows] == list(needs)
    holder: dict[int, str] = {}
    for row in rows:
        assert row.above == holder.keys()
        assert {holder[lane] for lane in row.needed} == set(needs[row.step])
        assert row.lane not in row.above - row.needed
        assert row.across[0] <= row.lane <= row.across[-1] < lanes.width(rows)
        holder = {lane: step for lane, step in holder.items() if lane in row.below} | (
            {row.lane: row.step} if row.lane in row.below else {}
        )
        assert row.below == holder.keys()
    assert holder == {}


def test_a_package_takes_two_lanes_to_any_goal() -> None:
    for goal in GOALS:
        needs = {step.name: step.needs for step in steps_to(goal)}
        assert lanes.width(lanes.rows(needs)) <= 2
