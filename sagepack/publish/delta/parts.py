"""How a new archive is put together from server-side copies and sent bytes, within S3's limits. Pure.

S3 takes a multipart upload of parts of 5 MiB to 5 GiB, the last of any size, at most 10,000. A stretch of new bytes
between two copies is often shorter than 5 MiB (a header of 522 bytes); it then borrows from a copy beside it, which
shrinks: those bytes are sent although S3 has them. `assemble` picks the copies and the borrowing that send the fewest
bytes in all; its docstring has the argument.
"""

from __future__ import annotations

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
        literal: wanted size of a part that is sent. It is held in memory, once for every worker.
        copy: wanted size of a part that is copied. S3 answers when all of it is copied, so it bounds the wait.
    """

    minimum: int = 5 * MiB
    maximum: int = 5 * 1024 * MiB
    count: int = 10_000
    literal: int = 16 * MiB
    copy: int = 256 * MiB

    def __post_init__(self) -> None:
        if not 2 * self.minimum <= min(self.literal, self.copy) <= max(self.literal, self.copy) <= self.maximum:
            raise ValueError("a wanted part size lies outside twice the minimum and the maximum")


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


def plan_parts(length: int, runs: Sequence[Match], limits: Limits | None = None) -> list[Part]:
    """Parts, in order, that tile a target of `length` bytes.

    Args:
        length: bytes of the target, at least 1.
        runs: what can be copied, in order, without overlap, each of at least the minimum.
        limits: sizes of parts.

    Raises:
        ValueError: no list of parts within the limits holds so many bytes.
    """
    limits = limits or Limits()
    if not 0 < length <= limits.maximum * limits.count:
        raise ValueError(f"an object of {length} bytes does not fit {limits.count} parts")
    runs = list(runs)
    while True:
        segments = choose_copies(length, runs, limits.minimum)
        for grown in _grow(limits):
            parts = [part for segment in segments for part in _split(segment, grown)]
            if len(parts) <= limits.count:
                return parts
        # Too many small copies: send the smallest of them instead. Each one fewer saves at least one part.
        excess = max(1, (len(parts) - limits.count) // 2)
        runs.sort(key=lambda run: run.length, reverse=True)
        runs = sorted(runs[:-excess], key=lambda run: run.offset)


class _State(NamedTuple):
    """The target up to and into a copy that is kept, as well as it can be done with so many bytes taken from it."""

    sent: int  # bytes of literals before the copy
    taken: int  # bytes the literal before it took from its front
    kept: int  # index of the copy, -1 before the first
    given: int  # bytes the copy kept before this one gave from its end
    before: _State | None


def choose_copies(length: int, runs: Sequence[Match], minimum: int) -> list[Part]:
    """Copies and literals that tile the target and send the fewest bytes; each literal but the last has `minimum`.

    A literal between two kept copies that is too short takes what it lacks from the end of the left copy as far as
    that keeps the minimum, and the rest from the front of the right one. That is never worse than another division:
    the cost is the same, nothing to the left is open any more, and the right copy keeps more to give. Where the two
    cannot give enough, one of them is sent whole; dynamic programming over the kept copies finds which. Of three
    neighbours never all are sent: the middle one could be kept, between literals that are long enough. So a step skips
    at most two.
    """
    best: list[list[_State]] = []  # for each copy, the states in which it is kept, none better than another in all
    start = _State(0, 0, -1, 0, None)
    for index in range(len(runs)):
        states: list[_State] = []
        for previous in range(max(-1, index - 3), index):
            for state in best[previous] if previous >= 0 else [start]:
                following = _keep(length, runs, minimum, state, index)
                if following is not None:
                    states.append(following)
        best.append(_undominated(states))
    last = min(
        (
            state
            for index in range(max(-1, len(runs) - 3), len(runs))
            for state in (best[index] if index >= 0 else [start])
        ),
        key=lambda state: state.sent + length - (runs[state.kept].end if state.kept >= 0 else 0),
    )
    return _segments(length, runs, last)


def _keep(length: int, runs: Sequence[Match], minimum: int, state: _State, index: int) -> _State | None:
    """The state that follows when copy `index` is the next one kept, or None when that cannot be."""
    run = runs[index]
    left = runs[state.kept] if state.kept >= 0 else None
    gap = run.offset - (left.end if left else 0)
    lack = max(0, minimum - gap) if gap else 0
    given = min(lack, left.length - state.taken - minimum) if left else 0
    taken = lack - given
    # A copy that ends the target may be of any size.
    if run.length - taken < (1 if run.end == length else minimum):
        return None
    return _State(state.sent + gap + lack, taken, index, given, state)


def _undominated(states: list[_State]) -> list[_State]:
    kept: list[_State] = []
    for state in sorted(states, key=lambda state: (state.sent, state.taken)):
        if not kept or state.taken < kept[-1].taken:
            kept.append(state)
    return kept


def _segments(length: int, runs: Sequence[Match], last: _State) -> list[Part]:
    """The copies of a chain of states, cut as they were borrowed from, with literals in between."""
    copies: list[Copy] = []
    given, state = 0, last
    while state.before is not None:
        run = runs[state.kept]
        kept = run.length - state.taken - given
        copies.append(Copy(run.offset + state.taken, kept, run.source, run.source_offset + state.taken))
        given, state = state.given, state.before
    segments: list[Part] = []
    position = 0
    for copy in reversed(copies):
        if copy.offset > position:
            segments.append(SentPart(position, copy.offset - position))
        segments.append(copy)
        position = copy.offset + copy.length
    if position < length:
        segments.append(SentPart(position, length - position))
    return segments


def _grow(limits: Limits) -> Iterator[Limits]:
    """The limits with ever larger parts, up to the largest allowed."""
    while True:
        yield limits
        if limits.literal == limits.copy == limits.maximum:
            return
        larger = (min(2 * limits.literal, limits.maximum), min(2 * limits.copy, limits.maximum))
        limits = replace(limits, literal=larger[0], copy=larger[1])


def _split(segment: Part, limits: Limits) -> Iterator[Part]:
    """A segment as parts of nearly equal size, none larger than wanted."""
    size = limits.copy if isinstance(segment, Copy) else limits.literal
    count = -(-segment.length // size)
    for number in range(count):
        begin, end = segment.length * number // count, segment.length * (number + 1) // count
        if isinstance(segment, Copy):
            yield Copy(segment.offset + begin, end - begin, segment.source, segment.source_offset + begin)
        else:
            yield SentPart(segment.offset + begin, end - begin)
