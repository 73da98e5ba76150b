"""Where the steps and the arrows between them are: a row for each step, in the order of the plan, and lanes beside each other.

A lane holds the arrows from one step to those that need it. A step goes into the lane of one that nothing else waits for, so
a chain of steps is one straight lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Row(Value, frozen=True):
    """One step, and the lanes beside it.

    Attributes:
        step: its name.
        lane: the lane that it is in, from 0.
        above: the lanes that come from above.
        needed: those of them with what it needs.
        below: the lanes that go on.
    """

    step: str
    lane: int
    above: frozenset[int]
    needed: frozenset[int]
    below: frozenset[int]

    @property
    def across(self) -> range:
        """The lanes from the leftmost to the rightmost that meet in the step."""
        met = {self.lane, *self.needed}
        return range(min(met), max(met) + 1)


def rows(needs: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows of a graph.

    Args:
        needs: each step, after those that it needs, and these.
    """
    waiting = {step: sum(step in each for each in needs.values()) for step in needs}
    lanes: dict[int, str] = {}
    found: list[Row] = []
    for step, needed_steps in needs.items():
        above = frozenset(lanes)
        needed = frozenset(lane for lane, source in lanes.items() if source in needed_steps)
        for source in needed_steps:
            waiting[source] -= 1
        ending = {lane for lane in needed if not waiting[lanes[lane]]}
        lane = min(ending) if ending else next(lane for lane in range(len(lanes) + 1) if lane not in lanes)
        for each in ending:
            del lanes[each]
        if waiting[step]:
            lanes[lane] = step
        found.append(Row(step, lane, above, needed, frozenset(lanes)))
    return found


def width(drawn: Sequence[Row]) -> int:
    """The number of lanes."""
    return 1 + max((row.lane for row in drawn), default=0)
