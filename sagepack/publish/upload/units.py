"""Units: an upload cut into pieces that any number of processes and machines can make. Pure.

A unit is consecutive whole files of an archive, with the parts of the multipart upload that lie in them. So whoever makes it
sees each new content whole and in order, as its SHA-256 demands, and needs nothing of the others. What S3 copies is no part of
a unit, and neither is what no worker can read, nor the end of the archive: its trailer depends on the checksums of all contents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.publish.delta.parts import SentPart, plan_parts
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sagepack.digest import Digest
    from sagepack.package.archive.layout import Layout
    from sagepack.package.manifest import Member
    from sagepack.publish.delta.parts import Limits, Part

# Files of less than a thousandth of the archive are gathered: so units cost few of the 10,000 parts, and their texts stay few.
_MOST_LARGE = 1000


@dataclass(frozen=True)
class Unit:
    """A piece of an upload that one worker makes.

    Attributes:
        first: number of its first part, which also names the unit.
        parts: its parts, all of them sent; their numbers follow each other.
        members: indexes of the members of which anything lies in it; they follow each other.
    """

    first: int
    parts: tuple[SentPart, ...]
    members: range

    @property
    def offset(self) -> int:
        """Where it begins in the archive."""
        return self.parts[0].offset

    @property
    def length(self) -> int:
        """Bytes of its parts."""
        return sum(part.length for part in self.parts)

    @property
    def numbers(self) -> range:
        """The numbers of its parts."""
        return range(self.first, self.first + len(self.parts))


def borders(layout: Layout, members: Sequence[Member], elsewhere: Collection[Digest], limits: Limits) -> list[int]:
    """Offsets in an archive at which units should end: before whole files.

    A file of at least the size of a unit is one by itself, smaller ones are gathered to that size, and what would be less than
    the smallest part goes with the next. What workers can read and what they cannot is kept apart.

    Args:
        layout: of the archive.
        members: its members.
        elsewhere: the contents that workers can read.
        limits: sizes of parts and units.
    """
    wanted = max(limits.unit_size, layout.size // _MOST_LARGE)
    cuts, start = [], 0
    for index, entry in enumerate(layout.entries[1:], 1):
        gathered = entry.offset - start
        is_full = gathered >= wanted or (gathered >= limits.minimum and entry.content_length >= wanted)
        if is_full or (members[index].digest in elsewhere) != (members[index - 1].digest in elsewhere):
            cuts.append(entry.offset)
            start = entry.offset
    return [*cuts, layout.end_offset]


def units_of(
    layout: Layout,
    members: Sequence[Member],
    parts: Sequence[Part],
    cuts: Collection[int],
    readable: Collection[Digest],
) -> tuple[Unit, ...]:
    """The units among the parts of an archive; the parts that are in none are done by whoever leads the upload.

    Args:
        layout: of the archive.
        members: its members.
        parts: as `plan_parts` made them for `cuts`.
        cuts: from `borders`.
        readable: the contents that workers can read, or of which S3 copies a part.
    """
    found = []
    for first, sent in _runs(parts, frozenset(cuts)):
        start, end = sent[0].offset, sent[-1].offset + sent[-1].length
        inside = _members_in(layout, start, end)
        touched = (members[index] for index in inside if _holds_content(layout, index, start, end))
        if inside and end <= layout.trailer_offset and all(member.digest in readable for member in touched):
            found.append(Unit(first, tuple(sent), inside))
    return tuple(found)


def unit_of_file(index: int, size: int, limits: Limits) -> Unit:
    """The unit that is a whole object: a file of a package in format `prefix`."""
    sent = (SentPart(part.offset, part.length) for part in plan_parts(size, [], limits))
    return Unit(1, tuple(sent), range(index, index + 1))


def announced(units: Sequence[Unit], workers: int | None) -> str:
    """How the work divides, in words: what bounds the speed is the rounds that it takes, or one large unit.

    Args:
        units: what is to be made.
        workers: how many make units at a time, if that is known.
    """
    text = counted(len(units), "unit")
    if workers is None or not units:
        return text
    needed = -(-len(units) // workers)
    text += f", {counted(workers, 'worker')}: {counted(needed, 'round')}"
    largest = max(unit.length for unit in units)
    if needed > 1 and largest * workers > sum(unit.length for unit in units):
        return f"{text}; the largest unit has {format_bytes(largest)} and bounds the speed"
    if len(units) > workers and len(units) % workers and (fewer := -(-len(units) // needed)) < workers:
        return f"{text}, and {counted(fewer, 'worker')} would be as fast"
    return text


def _runs(parts: Sequence[Part], cuts: Collection[int]) -> Iterator[tuple[int, list[SentPart]]]:
    """The parts that are sent, one after the other and with no cut between them, with the number of the first."""
    run: list[SentPart] = []
    for number, part in enumerate(parts, 1):
        if run and (not isinstance(part, SentPart) or part.offset in cuts):
            yield number - len(run), run
            run = []
        if isinstance(part, SentPart):
            run.append(part)
    if run:
        yield len(parts) + 1 - len(run), run


def _members_in(layout: Layout, start: int, end: int) -> range:
    """The indexes of the members of which anything lies in `[start, end)`."""
    first = layout.member_at(start) if start else 0
    last = layout.member_at(end - 1)
    if first is None or not layout.entries:
        return range(0)
    return range(first, len(layout.entries) if last is None else last + 1)


def _holds_content(layout: Layout, index: int, start: int, end: int) -> bool:
    """Whether any byte of the content of a member lies in `[start, end)`."""
    entry = layout.entries[index]
    return entry.content_offset < end and start < entry.padding_offset and entry.content_length > 0
