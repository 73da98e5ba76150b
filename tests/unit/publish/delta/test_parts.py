"""Laws of the upload planner: whatever is there and whatever is new."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sagepack.publish.delta.match import Match, Segment, find_matches
from sagepack.publish.delta.parts import Copy, Limits, Part, SentPart, choose_copies, plan_parts

MINIMUM = 5
LIMITS = Limits(minimum=MINIMUM, maximum=40, count=60, sent_size=10, most_sent=24, copy_size=12)
MiB = 1 << 20


@st.composite
def targets(draw: st.DrawFn) -> tuple[int, list[Match]]:
    """A target's length and matches in it, with gaps of zero to a few bytes between them."""
    matches, position = [], 0
    for source in range(draw(st.integers(0, 7))):
        position += draw(st.integers(0, 7))
        length = draw(st.integers(MINIMUM, 18))
        matches.append(Match(source, draw(st.integers(0, 100)), position, length))
        position += length
    return position + draw(st.integers(0 if matches else 1, 7)), matches


def fewest_sent(length: int, matches: list[Match]) -> int:
    """The fewest sent bytes of any tiling, by trying them all, a byte at a time."""
    owner = {byte: match for match in matches for byte in range(match.offset, match.end)}

    @cache
    def after(position: int) -> int:
        if position == length:
            return 0
        match = owner.get(position, Match(0, 0, position, 0))
        return min(
            (0 if copied else size) + after(position + size)
            for copied, end in ((False, length), (True, match.end))
            for size in range(1, end - position + 1)
            if size >= MINIMUM or position + size == length
        )

    return after(0)


def check_tiling(length: int, parts: list[Part], matches: list[Match]) -> None:
    position = 0
    for part in parts:
        assert part.offset == position
        assert part.length > 0
        position += part.length
        if isinstance(part, Copy):
            match = next(
                match for match in matches if match.offset <= part.offset and part.offset + part.length <= match.end
            )
            assert (part.source, part.source_offset - match.source_offset) == (match.source, part.offset - match.offset)
    assert position == length
    assert all(part.length >= MINIMUM for part in parts[:-1])


@given(targets())
def test_parts_cover_the_target_within_the_limits(case: tuple[int, list[Match]]) -> None:
    length, matches = case
    parts = plan_parts(length, matches, LIMITS)
    check_tiling(length, parts, matches)
    assert len(parts) <= LIMITS.count
    assert all(part.length <= LIMITS.maximum for part in parts)


@given(targets())
@settings(max_examples=200)
def test_no_other_choice_of_parts_sends_fewer_bytes(case: tuple[int, list[Match]]) -> None:
    length, matches = case
    segments = choose_copies(length, matches, MINIMUM)
    check_tiling(length, segments, matches)
    assert sum(part.length for part in segments if isinstance(part, SentPart)) == fewest_sent(length, matches)


@given(targets(), st.integers(2, 12))
def test_too_many_parts_become_larger_or_are_sent(case: tuple[int, list[Match]], count: int) -> None:
    length, matches = case
    limits = Limits(minimum=MINIMUM, maximum=40, count=count, sent_size=10, most_sent=24, copy_size=12)
    assume(length <= limits.maximum * count)
    parts = plan_parts(length, matches, limits)
    check_tiling(length, parts, matches)
    assert len(parts) <= count
    assert all(part.length <= limits.maximum for part in parts)


@given(st.integers(1, 700))
def test_parts_are_no_larger_than_the_count_demands(length: int) -> None:
    limits = replace(LIMITS, count=30)
    parts = plan_parts(length, [], limits)
    assert max(part.length for part in parts) <= max(limits.sent_size, -(-length // limits.count))


@pytest.mark.parametrize("shards", [10_000, 20_000])
def test_what_is_held_in_memory_stays_bounded_when_copies_are_too_many(shards: int) -> None:
    size = 70 * 1000**2
    matches = [Match(0, start, start, size) for start in range(0, shards * size, 2 * size)]
    parts = plan_parts(shards * size, matches)
    assert sum(part.length for part in parts) == shards * size
    assert len(parts) <= Limits().count
    assert max(part.length for part in parts if isinstance(part, SentPart)) <= Limits().most_sent


def test_an_object_that_is_too_large_for_an_upload_is_refused() -> None:
    limits = Limits()
    with pytest.raises(ValueError, match="does not fit"):
        plan_parts(limits.maximum * limits.count + 1, [])


def test_an_edit_at_the_end_sends_the_tail_alone() -> None:
    prefix, tail = 4 << 30, 20_000
    parts = plan_parts(prefix + tail, [Match(0, 0, 0, prefix)])
    assert parts[-1] == SentPart(prefix, tail)
    assert all(isinstance(part, Copy) for part in parts[:-1])


def test_a_short_sent_part_borrows_the_missing_bytes_from_the_copy_before_it() -> None:
    left, gap, right = 100 * MiB, 522, 100 * MiB
    matches = [Match(0, 10, 0, left), Match(0, 999, left + gap, right)]
    sent = [part for part in plan_parts(left + gap + right, matches) if isinstance(part, SentPart)]
    assert sent == [SentPart(left - (5 * MiB - gap), 5 * MiB)]


def test_a_new_first_header_borrows_from_the_copy_after_it() -> None:
    parts = plan_parts(532 + 100 * MiB, [Match(0, 700, 532, 100 * MiB)])
    assert parts == [SentPart(0, 5 * MiB), Copy(5 * MiB, 95 * MiB + 532, 0, 700 + 5 * MiB - 532)]


def test_what_cannot_be_copied_is_sent_in_parts_of_the_preferred_size() -> None:
    parts = plan_parts(100 * MiB, [])
    assert len(parts) == 7
    assert all(10 * MiB < part.length <= 16 * MiB for part in parts)


def test_a_small_object_is_one_part() -> None:
    assert plan_parts(1000, []) == [SentPart(0, 1000)]


def lay(keys: list[tuple[str, int]]) -> list[Segment]:
    pieces, offset = [], 0
    for key, length in keys:
        pieces.append(Segment(key, offset, length, anchor=key[0] == "c"))
        offset += length
    return pieces


# `h` keys are headers and `c` keys contents; a key's length is its own.
sizes = st.dictionaries(st.sampled_from([f"{kind}{n}" for kind in "hc" for n in range(6)]), st.integers(1, 12))
orders = st.lists(st.sampled_from([f"{kind}{n}" for kind in "hc" for n in range(6)]), max_size=12)


@given(sizes, orders, st.lists(orders, max_size=3))
@settings(max_examples=200)
def test_matches_hold_the_same_bytes_on_both_sides_and_every_large_content_that_is_there(
    lengths: dict[str, int], target_keys: list[str], source_keys: list[list[str]]
) -> None:
    target = lay([(key, lengths.get(key, 3)) for key in target_keys])
    sources = [lay([(key, lengths.get(key, 3)) for key in keys]) for keys in source_keys]
    matches = find_matches(target, sources, MINIMUM)

    def flat(pieces: list[Segment]) -> list[tuple[object, int]]:
        return [(piece.key, byte) for piece in pieces for byte in range(piece.length)]

    covered: set[int] = set()
    for match in matches:
        assert match.length >= MINIMUM
        there = flat(sources[match.source])[match.source_offset : match.source_offset + match.length]
        assert there == flat(target)[match.offset : match.end]
        assert covered.isdisjoint(range(match.offset, match.end))
        covered.update(range(match.offset, match.end))
    held = {piece.key for pieces in sources for piece in pieces if piece.anchor}
    for piece in target:
        if piece.anchor and piece.length >= MINIMUM and piece.key in held:
            assert covered.issuperset(range(piece.offset, piece.end))
    assert matches == sorted(matches, key=lambda match: match.offset)


def test_an_unchanged_prefix_is_one_match() -> None:
    old = lay([("h0", 2), ("c0", 50), ("h1", 2), ("c1", 3), ("h2", 2), ("c2", 50), ("h3", 2), ("c3", 4)])
    new = lay([("h0", 2), ("c0", 50), ("h1", 2), ("c1", 3), ("h2", 2), ("c2", 50), ("h3", 2), ("c4", 4)])
    assert find_matches(new, [old], MINIMUM) == [Match(0, 0, 0, 111)]


def test_small_unchanged_neighbours_make_a_match_together() -> None:
    small = [(f"{kind}{n}", 2) for n in range(5) for kind in "hc"]
    assert find_matches(lay([("h9", 2), ("c9", 2), *small]), [lay(small)], MINIMUM) == [Match(0, 0, 4, 20)]
