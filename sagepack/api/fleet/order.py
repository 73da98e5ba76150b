"""Which jobs may begin, so that a content is brought to a place once and copied by the others. Pure.

Jobs have an order. A job waits while an earlier one that has not ended would bring a content to a place that both can take it
from. The first of those that have not ended never waits, so nothing stands still; a job that fails brings nothing, and the
next one takes its place.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    _Place = tuple[str, int]  # where contents are, and the number of a group of them


class Needs(Value, frozen=True):
    """What a job brings, and where to.

    Attributes:
        name: of the job.
        brings_to: the place where its contents are afterwards, such as a prefix of S3.
        takes_from: other places that it can copy them from.
        contents: what is large enough to wait for.
    """

    name: str
    brings_to: str
    takes_from: tuple[str, ...] = ()
    contents: frozenset[str] = frozenset()


class Order:
    """The jobs that have not ended.

    Args:
        needs: of all jobs. Those that others can copy from should come first: `sort`.
    """

    def __init__(self, needs: Sequence[Needs]) -> None:
        self._needs = {each.name: each for each in needs}
        self._number = {each.name: number for number, each in enumerate(needs)}
        self._waiting = dict.fromkeys(self._needs)
        self._ended: set[str] = set()
        self._brought: set[_Place] = set()
        self._keys = _together(needs)
        self._bringers: defaultdict[_Place, list[str]] = defaultdict(list)  # in order
        for each in needs:
            for key in self._keys[each.name]:
                self._bringers[each.brings_to, key].append(each.name)

    def __len__(self) -> int:
        """How many jobs have not ended."""
        return len(self._needs) - len(self._ended)

    @property
    def waiting(self) -> list[str]:
        """The jobs that have not begun."""
        return list(self._waiting)

    def ready(self) -> str | None:
        """The first job that may begin now, which counts as begun; None if there is none."""
        found = next((name for name in self._waiting if self._may_begin(name)), None)
        if found is not None:
            del self._waiting[found]
        return found

    def brought(self, name: str) -> None:
        """A job has brought its contents, whatever else it has yet to do."""
        place = self._needs[name].brings_to
        self._brought |= {(place, key) for key in self._keys[name]}

    def end(self, name: str, *, well: bool) -> None:
        """A job has ended."""
        self._ended.add(name)
        if well:
            self.brought(name)

    def is_awaited(self, name: str) -> bool:
        """Whether a job that has not begun waits for the contents of this one."""
        mine, place = self._keys[name], self._needs[name].brings_to
        return any(
            mine & self._keys[other] and place in (self._needs[other].brings_to, *self._needs[other].takes_from)
            for other in self._waiting
        )

    def _may_begin(self, name: str) -> bool:
        needs = self._needs[name]
        places = (needs.brings_to, *needs.takes_from)
        for key in self._keys[name]:
            if any((place, key) in self._brought for place in places):
                continue
            if any(self._is_coming(place, key, name) for place in places):
                return False
        return True

    def _is_coming(self, place: str, key: int, name: str) -> bool:
        """Whether an earlier job that has not ended brings the content to the place."""
        bringers = self._bringers.get((place, key), [])
        while bringers and bringers[0] in self._ended:
            bringers.pop(0)
        return bool(bringers) and self._number[bringers[0]] < self._number[name]


def sort(needs: Iterable[Needs]) -> list[Needs]:
    """The jobs in the order in which they should begin: those of places that others copy from first."""
    return sorted(needs, key=lambda each: len(each.takes_from))


def _together(needs: Sequence[Needs]) -> dict[str, frozenset[int]]:
    """For each job the contents that others have, too; those that the same jobs have are one: models have hundreds of files."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    for each in needs:
        for content in each.contents:
            users[content].append(each.name)
    groups = dict.fromkeys(tuple(names) for names in users.values() if len(names) > 1)
    keys: dict[str, set[int]] = {each.name: set() for each in needs}
    for number, group in enumerate(groups):
        for name in group:
            keys[name].add(number)
    return {name: frozenset(found) for name, found in keys.items()}
