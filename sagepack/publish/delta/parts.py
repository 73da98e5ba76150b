"""How a new archive is put together from server-side copies and sent bytes, within S3's limits. Pure.

A multipart upload has at most 10,000 parts of 5 MiB to 5 GiB; only the last may be smaller. New bytes between two copies
are often fewer than 5 MiB (a header has 522); their part then borrows from the copy before or after it, which shrinks:
those bytes are sent although S3 has them. `choose_copies` picks the copies and the borrowing that send the fewest bytes in
all; its docstring has the argument.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagepack.publish.delta.match import Match

MiB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Sizes of parts, in bytes (S3 user guide, "Amazon S3 multipart upload limits").

    Attributes:
        minimum, maximum: of a part; the last may be smaller.
        count: parts of one upload.
        sent_size: preferred size of a part that is sent. It is held in memory, once for every worker.
        most_sent: size that a part that is sent has at most, where an object of many small copies would need larger ones.
        copy_size: preferred size of a part that is copied. S3 responds when all of it is copied, so this bounds the wait.
        unit_size: bytes to which small files are gathered where an upload is divided among workers (`upload.units`).
    """

    minimum: int = 5 * MiB
    maximum: int = 5 * 1024 * MiB
    count: int = 10_000
    sent_size: int = 16 * MiB
    most_sent: int = 512 * MiB
    copy_size: int = 256 * MiB
    unit_size: int = 64 * MiB

    def __post_init__(self) -> None:
        sizes = (self.sent_size, self.copy_size, self.most_sent)
        if not 2 * self.minimum <= min(sizes) <= max(sizes) <= self.maximum or self.sent_size > self.most_sent:
            raise ValueError("a preferred part size is below twice the minimum, or above the maximum")


@dataclass(frozen=True)
class SentPart:
    """A part whose bytes are sent: `length` bytes of the target from `offset`."""

    offset: int
    length: int


@dataclass(frozen=True)
class Copy:
    """A part that S3 copies: `length` bytes of source number `source` from `source_offset`, to `offset`."""

    offset: int
    length: int
    source: int
    source_offset: int


Part: TypeAlias = SentPart | Copy


def plan_parts(
    length: int, matches: Sequence[Match], limits: Limits | None = None, cuts: Sequence[int] = ()
) -> list[Part]:
    """Parts, in order, that cover a target of `length` bytes without gaps.

    Parts have their preferred sizes, or the smallest with which `limits.count` suffice. If even large ones do not, because
    copies with new bytes between them are too many, the smallest copies are sent instead.

    Args:
        length: bytes of the target, at least 1.
        matches: what can be copied, in order, without overlap, each of at least the minimum.
        limits: sizes of parts.
        cuts: offsets, in order, at which no part that is sent should go on, as far as the limits allow.

    Raises:
        ValueError: the target is larger than the limits allow.
    """
    limits = limits or Limits()
    if not 0 < length <= limits.maximum * limits.count:
        raise ValueError(f"an object of {length} bytes does not fit {limits.count} parts")
    # With half of the parts to spare, it would fit with no copy at all: so leaving out copies comes to an end.
    most_sent = limits.most_sent if 2 * length <= limits.most_sent * limits.count else limits.maximum
    while True:
        uncut = choose_copies(length, matches, limits.minimum)
        divided = [piece for part in uncut for piece in _cut(part, length, cuts, limits.minimum)]
        largest = _sized(limits, most_sent)
        if _count(divided, largest) <= limits.count:
            uncut = divided
        excess = _count(uncut, largest) - limits.count
        if excess <= 0:
            sizes = _smallest(uncut, limits, most_sent)
            return [piece for part in uncut for piece in _split(part, sizes)]
        # Each copy less saves its own part, and as a rule one of the two beside it.
        matches = _without_smallest(matches, max(1, excess // 2))


def _cut(part: Part, length: int, cuts: Sequence[int], minimum: int) -> Iterator[Part]:
    """A part, cut where it is sent and where no side becomes too short; the end of the target may be of any length."""
    if isinstance(part, Copy):
        yield part
        return
    start, end = part.offset, part.offset + part.length
    last = end - (1 if end == length else minimum)
    for cut in cuts[bisect_left(cuts, start + minimum) : bisect_right(cuts, last)]:
        if cut - start >= minimum:
            yield SentPart(start, cut - start)
            start = cut
    yield SentPart(start, end - start)


def _without_smallest(matches: Sequence[Match], count: int) -> list[Match]:
    """The matches without `count` of the smallest.

    Of those of equal length (shards of a model) it takes some everywhere, by a multiple of the golden ratio, and not
    neighbours: what is sent instead would else come together to ranges that need large parts.
    """
    order = sorted(range(len(matches)), key=lambda index: (matches[index].length, index * 0x9E3779B1 & 0xFFFFFFFF))
    return [matches[index] for index in sorted(order[count:])]


class _State(NamedTuple):
    """The parts of the target up to a copy that is kept, with the fewest sent bytes for what is borrowed from that copy."""

    sent: int  # bytes that are sent before the copy
    taken: int  # bytes that the sent part before the copy borrows from its front
    kept: int  # index of the copy, -1 before the first
    given: int  # bytes that the same sent part borrows from the end of the previous kept copy
    before: _State | None


def choose_copies(length: int, matches: Sequence[Match], minimum: int) -> list[Part]:
    """Copies and sent parts that cover the target and send the fewest bytes; each sent part but the last has `minimum`.

    Borrowing: a sent part between two kept copies that is too short takes the missing bytes from the end of the left copy,
    as long as that copy keeps the minimum, and the rest from the front of the right one. No other division is better: it
    sends as many bytes, everything to the left is settled, and the right copy has more left to give.

    Choice: where the two copies cannot give enough, one of them is not kept but sent whole. Dynamic programming over the
    kept copies finds which. Three copies in a row are never all sent, since the middle one could be kept: the sent parts on
    both of its sides would be long enough. So each step skips at most two copies.
    """
    best: list[list[_State]] = []  # for each copy, the states in which it is kept, without those that another one beats
    start = _State(0, 0, -1, 0, None)
    for index in range(len(matches)):
        states: list[_State] = []
        for previous in range(max(-1, index - 3), index):
            for state in best[previous] if previous >= 0 else [start]:
                following = _keep(length, matches, minimum, state, index)
                if following is not None:
                    states.append(following)
        best.append(_undominated(states))
    last = min(
        (
            state
            for index in range(max(-1, len(matches) - 3), len(matches))
            for state in (best[index] if index >= 0 else [start])
        ),
        key=lambda state: state.sent + length - (matches[state.kept].end if state.kept >= 0 else 0),
    )
    return _parts_of(length, matches, last)


def _keep(length: int, matches: Sequence[Match], minimum: int, state: _State, index: int) -> _State | None:
    """The state that follows if copy `index` is the next one kept; None if what it must give leaves too little of it."""
    match = matches[index]
    left = matches[state.kept] if state.kept >= 0 else None
    gap = match.offset - (left.end if left else 0)
    missing = max(0, minimum - gap) if gap else 0
    given = min(missing, left.length - state.taken - minimum) if left else 0
    taken = missing - given
    # A copy that ends the target may be of any size.
    if match.length - taken < (1 if match.end == length else minimum):
        return None
    return _State(state.sent + gap + missing, taken, index, given, state)


def _undominated(states: list[_State]) -> list[_State]:
    """The states that no other beats in both bytes sent and bytes taken from the copy."""
    kept: list[_State] = []
    for state in sorted(states, key=lambda state: (state.sent, state.taken)):
        if not kept or state.taken < kept[-1].taken:
            kept.append(state)
    return kept


def _parts_of(length: int, matches: Sequence[Match], last: _State) -> list[Part]:
    """The copies of a chain of states, without the bytes that were borrowed from them, and the sent parts in between."""
    copies: list[Copy] = []
    given, state = 0, last
    while state.before is not None:
        match = matches[state.kept]
        kept = match.length - state.taken - given
        copies.append(Copy(match.offset + state.taken, kept, match.source, match.source_offset + state.taken))
        given, state = state.given, state.before
    parts: list[Part] = []
    position = 0
    for copy in reversed(copies):
        if copy.offset > position:
            parts.append(SentPart(position, copy.offset - position))
        parts.append(copy)
        position = copy.offset + copy.length
    if position < length:
        parts.append(SentPart(position, length - position))
    return parts


def _sized(limits: Limits, sent_size: int) -> Limits:
    """The limits with larger parts: those that are copied grow as those that are sent do, up to the maximum."""
    copy_size = min(limits.maximum, limits.copy_size * sent_size // limits.sent_size)
    return replace(limits, sent_size=sent_size, most_sent=max(limits.most_sent, sent_size), copy_size=copy_size)


def _smallest(uncut: Sequence[Part], limits: Limits, most_sent: int) -> Limits:
    """The smallest sizes from the preferred ones on with which the parts are few enough; `most_sent` is one of them."""
    sizes = range(limits.sent_size, most_sent)
    fitting = bisect_left(sizes, True, key=lambda size: _count(uncut, _sized(limits, size)) <= limits.count)
    return _sized(limits, limits.sent_size + fitting)


def _count(uncut: Sequence[Part], limits: Limits) -> int:
    """How many parts there are after `_split`."""
    return sum(-(-part.length // _size(part, limits)) for part in uncut)


def _size(part: Part, limits: Limits) -> int:
    """The preferred size of a part."""
    return limits.copy_size if isinstance(part, Copy) else limits.sent_size


def _split(part: Part, limits: Limits) -> Iterator[Part]:
    """A part cut into parts of nearly equal size, none larger than preferred."""
    count = -(-part.length // _size(part, limits))
    for number in range(count):
        begin, end = part.length * number // count, part.length * (number + 1) // count
        if isinstance(part, Copy):
            yield Copy(part.offset + begin, end - begin, part.source, part.source_offset + begin)
        else:
            yield SentPart(part.offset + begin, end - begin)
