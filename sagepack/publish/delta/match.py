"""Which ranges of a new archive lie, byte for byte, in archives that S3 already holds. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

# A content that occurs thousands of times in an archive (an empty licence file) is looked for at this many places.
_PLACES = 16


@dataclass(frozen=True)
class Segment:
    """A range of an archive whose bytes follow from its key.

    Two segments with equal keys hold equal bytes: a header follows from path, size and mode, a padding from its length,
    a content from its SHA-256. That is why consecutive segments can be copied together without reading what lies between.

    Attributes:
        key: identity of the bytes.
        offset, length: bytes, in the archive.
        anchor: whether a match may be found by it; true of contents, false of the headers and padding around them.
    """

    key: Hashable
    offset: int
    length: int
    anchor: bool = False

    @property
    def end(self) -> int:
        """Offset of the byte after the segment."""
        return self.offset + self.length


@dataclass(frozen=True)
class Match:
    """Consecutive bytes of the target that are also consecutive in one source.

    Attributes:
        source: index of the source.
        source_offset: where the match begins in the source.
        offset: where it begins in the target.
        length: bytes.
    """

    source: int
    source_offset: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset in the target of the byte after the match."""
        return self.offset + self.length


def find_matches(
    target: Sequence[Segment], sources: Sequence[Sequence[Segment]], minimum: int, ranks: Sequence[int] = ()
) -> list[Match]:
    """Matches of at least `minimum` bytes, in target order, that do not overlap.

    Every anchor of `minimum` bytes or more that some source holds lies in a match. If several sources hold the same bytes,
    the lowest rank wins, then the longest match, then the earlier source.

    Args:
        target: segments of the new archive, which cover it without gaps.
        sources: segments of each archive in S3, which cover it without gaps; the nearest archive first.
        minimum: bytes below which a server-side copy cannot be a part.
        ranks: of each source, 0 for the best; without them all are equal.
    """

    def order(found: tuple[Match, int]) -> tuple[bool, int, int]:
        match = found[0]
        return match.length < minimum, ranks[match.source] if ranks else 0, -match.length

    places: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for source, segments in enumerate(sources):
        for position, segment in enumerate(segments):
            if segment.anchor and len(places[segment.key]) < _PLACES:
                places[segment.key].append((source, position))
    matches: list[Match] = []
    floor = index = 0  # segments before `floor` are in a match already; those before `index` were looked at
    while index < len(target):
        same = places.get(target[index].key, ()) if target[index].anchor else ()
        found = [_extend(target, sources[source], (index, position, floor), source) for source, position in same]
        if not found:
            index += 1
            continue
        match, index = min(found, key=order)
        if match.length >= minimum:
            matches.append(match)
            floor = index
    return matches


def _extend(
    target: Sequence[Segment], segments: Sequence[Segment], start: tuple[int, int, int], source: int
) -> tuple[Match, int]:
    """The longest match through one pair of equal segments, and the index of the target's segment after it.

    Args:
        target: segments of the new archive.
        segments: segments of the source.
        start: index of the pair in both, and that of the first segment of the target that is in no match yet.
        source: index of the source.
    """
    index, position, floor = start
    back = 0
    while (
        index - back > floor and position > back and target[index - back - 1].key == segments[position - back - 1].key
    ):
        back += 1
    ahead = 1
    while (
        index + ahead < len(target)
        and position + ahead < len(segments)
        and target[index + ahead].key == segments[position + ahead].key
    ):
        ahead += 1
    first, last = target[index - back], target[index + ahead - 1]
    return Match(source, segments[position - back].offset, first.offset, last.end - first.offset), index + ahead
