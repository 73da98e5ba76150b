"""The plan of an archive: one object, put together from parts that S3 copies and parts that are sent. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.package.archive.framing import GZIP_HEADER
from sagepack.package.archive.layout import Layout
from sagepack.publish.delta.match import Segment, find_matches
from sagepack.publish.delta.parts import Copy, SentPart, plan_parts
from sagepack.publish.keys import PackageFormat
from sagepack.publish.observation import ArchiveObservation, Binding
from sagepack.publish.upload.units import borders, units_of
from sagepack.publish.upload_plan import ContentPlan, Origin, UploadPlan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.aws.s3 import S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.delta.match import Match
    from sagepack.publish.delta.parts import Limits, Part
    from sagepack.publish.observation import StoredArchive
    from sagepack.publish.verified import Range


@dataclass(frozen=True)
class ArchivePlan(UploadPlan):
    """How an archive gets to its key.

    Attributes:
        observation: what it was planned on.
        layout: offsets of everything in the archive.
        parts: of its multipart upload; empty if the archive is there already.
        to_read: for each source, by its position in the observation, the ranges that are copied and that nothing binds yet.
    """

    observation: ArchiveObservation
    layout: Layout
    parts: tuple[Part, ...]
    to_read: Mapping[int, tuple[Range, ...]]

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.layout.size

    @property
    def sent_bytes(self) -> int:
        """Bytes of the parts that are sent."""
        return sum(part.length for part in self.parts if isinstance(part, SentPart))

    @property
    def copied_bytes(self) -> int:
        """Bytes of the parts that S3 copies."""
        return sum(part.length for part in self.parts if isinstance(part, Copy))

    @property
    def readable(self) -> frozenset[Digest]:
        """The contents of bound archives: any range of them can be read from S3."""
        return _readable(self.observation)

    def places(self, location: S3Uri) -> Iterator[tuple[Member, int, int]]:
        """The files of the archive, with their framing."""
        if location == self.observation.package.model_uri:
            for member, entry in zip(self.manifest.members, self.layout.entries, strict=True):
                yield member, entry.offset, entry.end

    def without(self, *locations: S3Uri) -> ArchivePlan:
        """The plan of the same archive without the archives at `locations`."""
        return plan_archive(self.observation.without(*locations), self.manifest, self.limits, self.elsewhere)


def plan_archive(
    observation: ArchiveObservation,
    manifest: Manifest,
    limits: Limits,
    elsewhere: frozenset[Digest] = frozenset(),
) -> ArchivePlan:
    """Plan the upload of an archive on what S3 was seen to hold.

    Args:
        observation: what S3 was seen to hold.
        manifest: the members.
        limits: sizes of parts and units.
        elsewhere: the contents that workers can read, if some are to make units of it.

    Raises:
        IntegrityError: an object of another size lies at the key of the archive.
    """
    layout = Layout.of(manifest.members)
    if observation.archive is not None:
        if observation.archive.size != layout.size:
            raise IntegrityError(
                f"there is an object of {observation.archive.size} bytes where the archive of {layout.size} bytes belongs",
                where=str(observation.package.model_uri),
                fix="another program wrote it: inspect it, delete it, and run the command again",
            )
        contents = tuple(ContentPlan(member, 0, 0, 0) for member in manifest.members)
        return ArchivePlan(observation, manifest, contents, limits, layout, (), {}, elsewhere=elsewhere)
    sources = observation.sources
    matches = find_matches(
        segments(layout, manifest),
        [segments(source.index.layout, source.manifest) for source in sources],
        limits.minimum,
        [source.binding.rank for source in sources],
    )
    reachable = elsewhere | _readable(observation) if elsewhere else elsewhere
    cuts = borders(layout, manifest.members, reachable, limits) if elsewhere else []
    parts = plan_parts(layout.size, matches, limits, cuts)
    to_read = _ranges_to_read(sources, matches, parts)
    contents = _plan_contents(sources, manifest, layout, parts, matches, to_read)
    copied = {content.member.digest for content in contents if content.origin}
    units = units_of(layout, manifest.members, parts, cuts, reachable | copied) if elsewhere else ()
    return ArchivePlan(
        observation, manifest, contents, limits, layout, tuple(parts), to_read, elsewhere=elsewhere, units=units
    )


def _readable(observation: ArchiveObservation) -> frozenset[Digest]:
    """The contents of bound archives: any range of them can be read from S3."""
    return frozenset(
        member.digest
        for source in observation.sources
        if source.binding is not Binding.NONE
        for member in source.manifest.members
    )


def segments(layout: Layout, manifest: Manifest) -> list[Segment]:
    """The segments of an archive, each with a key that its bytes follow from.

    The end of an archive is equal to that of no other, because it holds a CRC.
    """
    found = [Segment("gzip", 0, len(GZIP_HEADER))]
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        header = ("header", entry.path, entry.size, entry.executable)
        found.append(Segment(header, entry.offset, entry.content_offset - entry.offset))
        if entry.content_length:
            found.append(Segment(("content", member.digest), entry.content_offset, entry.content_length, anchor=True))
        padding = entry.end - entry.padding_offset
        if padding:
            found.append(Segment(("padding", padding), entry.padding_offset, padding))
    found.append(Segment(("end", manifest.digest), layout.end_offset, layout.size - layout.end_offset))
    return found


def _ranges_to_read(
    sources: Sequence[StoredArchive], matches: Sequence[Match], parts: Sequence[Part]
) -> dict[int, tuple[Range, ...]]:
    """For each source that nothing binds, what of it is copied and was not read before."""
    copies = [part.offset for part in parts if isinstance(part, Copy)]
    found: defaultdict[int, list[Range]] = defaultdict(list)
    for match in matches:
        source, first = sources[match.source], bisect_left(copies, match.offset)
        copied = first < len(copies) and copies[first] < match.end
        if copied and source.binding is Binding.NONE:
            found[match.source] += source.verified.missing(match.source_offset, match.source_offset + match.length)
    return {number: tuple(sorted(ranges)) for number, ranges in found.items() if ranges}


def _plan_contents(
    sources: Sequence[StoredArchive],
    manifest: Manifest,
    layout: Layout,
    parts: Sequence[Part],
    matches: Sequence[Match],
    to_read: Mapping[int, tuple[Range, ...]],
) -> tuple[ContentPlan, ...]:
    """What the parts mean for each content. Contents, copies and matches are all in the order of the archive."""
    copies = [part for part in parts if isinstance(part, Copy)]
    plans = []
    first_copy = first_match = 0
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        start, end = entry.content_offset, entry.padding_offset
        while first_copy < len(copies) and copies[first_copy].offset + copies[first_copy].length <= start:
            first_copy += 1
        while first_match < len(matches) and matches[first_match].end <= start:
            first_match += 1
        touching = list(_overlaps(copies, first_copy, start, end))
        copied = sum(length for _, length in touching)
        stored = sum(
            max(0, min(end, match.end) - max(start, match.offset)) for match in matches[first_match : first_match + 1]
        )
        if not touching:
            plans.append(ContentPlan(member, 0, stored, end - start - stored))
            continue
        copy = touching[0][0]
        source, source_start = sources[copy.source], start - copy.offset + copy.source_offset
        is_unread = copy.source in to_read and bool(source.verified.missing(source_start, source_start + 1))
        sums = source.verified.sums.get(member.digest)
        if sums is None and source.binding is not Binding.NONE:
            sums = source.sums[member.digest]
        index_uri = source.folder.child(PackageFormat.ARCHIVE.index_name)
        origin = Origin(source.seen, index_uri, source.binding, sums)
        read = end - start if is_unread else 0
        plans.append(ContentPlan(member, copied, stored - copied, end - start - stored, origin, read))
    return tuple(plans)


def _overlaps(copies: Sequence[Copy], index: int, start: int, end: int) -> Iterator[tuple[Copy, int]]:
    """The copies from `index` on that overlap `[start, end)`, each with the bytes that they have in common."""
    while index < len(copies) and copies[index].offset < end:
        copy = copies[index]
        length = min(end, copy.offset + copy.length) - max(start, copy.offset)
        if length > 0:
            yield copy, length
        index += 1
