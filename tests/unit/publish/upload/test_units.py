"""Laws of units: whatever is new, whatever S3 copies, and whoever can read what."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.package.archive.layout import Entry, Layout
from sagepack.package.manifest import Manifest, Member
from sagepack.publish.delta.match import Match
from sagepack.publish.delta.parts import Copy, Limits, Part, SentPart, plan_parts
from sagepack.publish.upload.units import Unit, announced, borders, units_of
from tests.unit.publish.upload.test_divided import LIMITS

MiB = 1 << 20


def member(number: int, size: int, folder: str = "") -> Member:
    return Member(f"{folder}{number:05}.bin", size, Digest.sha256(b"%d" % number))


@st.composite
def archives(draw: st.DrawFn) -> tuple[Manifest, list[Match], frozenset[Digest]]:
    """Members, what of their archive can be copied, and the contents that workers can read."""
    sizes = draw(st.lists(st.sampled_from([0, 1, 600, 2100, 7000, 12_000, 30_000]), min_size=1, max_size=12))
    code = draw(st.lists(st.sampled_from([0, 10, 3000]), max_size=3))
    manifest = Manifest.of(
        [*(member(n, size) for n, size in enumerate(sizes)), *(member(100 + n, s, "code/") for n, s in enumerate(code))]
    )
    layout = Layout.of(manifest.members)
    matches, after = [], 0
    for entry in layout.entries:
        stored = draw(st.sampled_from([False, False, True]))
        if stored and entry.content_length >= LIMITS.minimum and entry.content_offset >= after:
            matches.append(Match(0, entry.content_offset, entry.content_offset, entry.content_length))
            after = entry.padding_offset
    local = draw(st.sets(st.sampled_from(sorted(m.digest for m in manifest.members))))
    readable = frozenset(m.digest for m in manifest.members if m.digest not in local and "code/" not in m.path)
    return manifest, matches, readable


def divided(
    manifest: Manifest, matches: list[Match], readable: frozenset[Digest], limits: Limits = LIMITS
) -> tuple[Layout, list[Part], tuple[Unit, ...]]:
    layout = Layout.of(manifest.members)
    cuts = borders(layout, manifest.members, readable, limits)
    parts = plan_parts(layout.size, matches, limits, cuts)
    copies = [part for part in parts if isinstance(part, Copy)]
    copied = {m.digest for m, e in zip(manifest.members, layout.entries, strict=True) if touched_by_copy(e, copies)}
    return layout, parts, units_of(layout, manifest.members, parts, cuts, readable | copied)


def touched_by_copy(entry: Entry, parts: Sequence[Part]) -> bool:
    low, high = entry.content_offset, entry.padding_offset
    return any(isinstance(p, Copy) and p.offset < high and low < p.offset + p.length for p in parts)


@given(archives())
def test_cut_parts_still_cover_the_archive_within_the_limits(
    case: tuple[Manifest, list[Match], frozenset[Digest]],
) -> None:
    layout, parts, _ = divided(*case)
    position = 0
    for part in parts:
        assert part.offset == position
        position += part.length
    assert position == layout.size
    assert all(part.length >= LIMITS.minimum for part in parts[:-1])
    assert len(parts) <= LIMITS.count


@given(archives())
def test_each_new_content_lies_whole_in_one_unit_or_in_none(
    case: tuple[Manifest, list[Match], frozenset[Digest]],
) -> None:
    manifest, _, readable = case
    layout, parts, units = divided(*case)
    for number, (entry, one) in enumerate(zip(layout.entries, manifest.members, strict=True)):
        if touched_by_copy(entry, parts) or not entry.content_length:
            continue
        holders = [
            unit
            for unit in units
            if unit.offset < entry.padding_offset and entry.content_offset < unit.offset + unit.length
        ]
        assert len(holders) <= 1
        for unit in holders:
            assert unit.offset <= entry.content_offset
            assert entry.padding_offset <= unit.offset + unit.length
            assert number in unit.members
            assert one.digest in readable


@given(archives())
def test_units_are_sent_parts_in_a_row_and_never_the_trailer(
    case: tuple[Manifest, list[Match], frozenset[Digest]],
) -> None:
    layout, parts, units = divided(*case)
    seen: set[int] = set()
    for unit in units:
        assert [parts[number - 1] for number in unit.numbers] == list(unit.parts)
        assert all(isinstance(part, SentPart) for part in unit.parts)
        assert unit.offset + unit.length <= layout.trailer_offset
        assert seen.isdisjoint(unit.numbers)
        seen.update(unit.numbers)
        inside = [
            index
            for index, entry in enumerate(layout.entries)
            if entry.offset < unit.offset + unit.length and unit.offset < entry.end
        ]
        assert list(unit.members) == inside


@pytest.mark.parametrize(
    ("count", "size", "most_parts"),
    [(200, 3500 * 1000**2, 75 * MiB), (35, 20 * 1000**3, 76 * MiB), (20_000, 35 * 1000**2, 80 * MiB)],
)
def test_a_model_of_700_gb_becomes_units_within_the_limits_of_an_upload_in_seconds(
    count: int, size: int, most_parts: int
) -> None:
    members = [*(member(number, size) for number in range(count)), Member("code/inference.py", 10, Digest.sha256(b""))]
    manifest = Manifest.of(members)
    began = time.monotonic()
    layout, parts, units = divided(manifest, [], frozenset(m.digest for m in members[:-1]), Limits())
    assert time.monotonic() - began < 5
    assert len(parts) <= 10_000
    assert max(part.length for part in parts) <= most_parts
    assert min(part.length for part in parts[:-1]) >= 5 * MiB
    assert len(units) <= 2001
    assert sum(unit.length for unit in units) >= layout.size - 4096
    if size > 64 * MiB:
        assert len(units) == count


def test_small_files_are_gathered_and_a_large_one_is_a_unit_by_itself() -> None:
    sizes = [3000, 3000, 3000, 3000, 500, 40_000, 500, 3000]
    members = [*(member(number, size) for number, size in enumerate(sizes)), Member("code/x.py", 3, Digest.sha256(b""))]
    manifest = Manifest.of(members)
    _, _, units = divided(manifest, [], frozenset(m.digest for m in members[:-1]))
    assert [list(unit.members) for unit in units] == [[0, 1, 2], [3, 4], [5], [6, 7]]


@pytest.mark.parametrize(
    ("lengths", "workers", "expected"),
    [
        ([10] * 201, 50, "201 units, 50 workers: 5 rounds, and 41 workers would be as fast"),
        ([10] * 200, 50, "200 units, 50 workers: 4 rounds"),
        ([10], 8, "1 unit, 8 workers: 1 round"),
        ([400, 5, 5, 5], 2, "4 units, 2 workers: 2 rounds; the largest unit has 400 B and bounds the speed"),
        ([10] * 3, None, "3 units"),
        ([], 8, "0 units"),
    ],
)
def test_the_plan_says_how_the_work_divides(lengths: list[int], workers: int | None, expected: str) -> None:
    units = [Unit(1, (SentPart(0, length),), range(1)) for length in lengths]
    assert announced(units, workers) == expected
