"""Which stretches of a new archive lie, byte for byte, in archives that S3 already holds. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

# A content that stands in an archive thousands of times (an empty licence file) is looked for at this many places.
_PLACES = 16


@dataclass(frozen=True)
class Segment:
    """A stretch of an archive whose bytes follow from its key.

    Two pieces with equal keys hold equal bytes: a header follows from path, size and mode, a padding from its length,
    a content from its SHA-256. That is what lets a run of neighbours be copied without reading what lies between.

    Attributes:
        key: identity of the bytes.
        offset, length: bytes, in the archive.
        anchor: whether a run may be found by it; true of contents, false of the small change around them.
    """

    key: Hashable
    offset: int
    length: int
    anchor: bool = False

    @property
    def end(self) -> int:
        """Offset of the byte after the piece."""
        return self.offset + self.length


@dataclass(frozen=True)
class Match:
    """Bytes of the target that lie together in one source.

    Attributes:
        source: index of the source.
        source_offset: where the run begins in the source.
        offset: where it begins in the target.
        length: bytes.
    """

    source: int
    source_offset: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset in the target of the byte after the run."""
        return self.offset + self.length


def find_runs(
    target: Sequence[Segment], sources: Sequence[Sequence[Segment]], minimum: int, ranks: Sequence[int] = ()
) -> list[Match]:
    """Runs of at least `minimum` bytes, in target order, that do not overlap.

    Every anchor of `minimum` bytes or more that some source holds lies in a run. Where sources compete, the lowest rank
    wins, then the longest run, then the earlier source.

    Args:
        target: pieces of the new archive, which tile it.
        sources: pieces of each archive that is there, which tile it; the nearest first.
        minimum: bytes below which a server-side copy cannot be a part.
        ranks: of each source; all are of one rank if it is empty.
    """

    def order(found: tuple[Match, int]) -> tuple[bool, int, int]:
        run = found[0]
        return run.length < minimum, ranks[run.source] if ranks else 0, -run.length

    places: defaultdict[Hashable, list[tuple[int, int]]] = defaultdict(list)
    for source, pieces in enumerate(sources):
        for position, piece in enumerate(pieces):
            if piece.anchor and len(places[piece.key]) < _PLACES:
                places[piece.key].append((source, position))
    runs: list[Match] = []
    floor = index = 0  # pieces before `floor` are in a run already; those before `index` were looked at
    while index < len(target):
        held = places.get(target[index].key, ()) if target[index].anchor else ()
        found = [_extend(target, sources[source], (index, position, floor), source) for source, position in held]
        if not found:
            index += 1
            continue
        run, index = min(found, key=order)
        if run.length >= minimum:
            runs.append(run)
            floor = index
    return runs


def _extend(
    target: Sequence[Segment], pieces: Sequence[Segment], start: tuple[int, int, int], source: int
) -> tuple[Match, int]:
    """The longest run through one matching piece, and the index of the target's piece after it.

    Args:
        target: pieces of the new archive.
        pieces: pieces of the source.
        start: index of the match in both, and that of the first piece of the target that is free.
        source: index of the source.
    """
    index, position, floor = start
    back = 0
    while index - back > floor and position > back and target[index - back - 1].key == pieces[position - back - 1].key:
        back += 1
    ahead = 1
    while (
        index + ahead < len(target)
        and position + ahead < len(pieces)
        and target[index + ahead].key == pieces[position + ahead].key
    ):
        ahead += 1
    first, last = target[index - back], target[index + ahead - 1]
    return Match(source, pieces[position - back].offset, first.offset, last.end - first.offset), index + ahead
