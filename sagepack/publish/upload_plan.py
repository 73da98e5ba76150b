"""The plan of an upload: which parts, from where, and what that means for each content. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.errors import IntegrityError, UserError
from sagepack.package.archive.framing import GZIP_HEADER
from sagepack.publish.checksums import FramedChecksums
from sagepack.publish.delta.match import Segment, find_runs
from sagepack.publish.delta.parts import Copy, Limits, Part, SentPart, plan_parts
from sagepack.publish.documents import MOST_FILES
from sagepack.publish.keys import ARCHIVE, PREFIX, index_name
from sagepack.publish.observe import Binding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.aws.s3 import S3Uri
    from sagepack.digest import Digest
    from sagepack.package.archive.layout import Layout
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.delta.match import Match
    from sagepack.publish.observe import Observation, StoredArchive
    from sagepack.publish.verified import Range

_RANKS = {binding: rank for rank, binding in enumerate(Binding)}


@dataclass(frozen=True)
class Origin:
    """Where S3 copies a content from, and why the bytes there are believed.

    Attributes:
        seen: the object, under the ETag that the copy is conditioned on.
        index: the document that says what it holds.
        binding: what binds its bytes to the SHA-256 of the content; NONE: they are read and hashed first.
        sums: of the content, if something binds them.
    """

    seen: ObjectRef
    index: S3Uri
    binding: Binding
    sums: FramedChecksums | None = None


@dataclass(frozen=True)
class ContentPlan:
    """What happens to one file of a package. `copied`, `borrowed` and `sent` add up to its framed length (or its size, as a file).

    Attributes:
        member: the file.
        copied: bytes that S3 copies.
        borrowed: bytes that S3 has but that are sent, because a part must not be too short.
        sent: bytes that S3 lacks.
        origin: where S3 copies from, or None.
        read: bytes that are read from there and hashed before S3 copies them.
    """

    member: Member
    copied: int
    borrowed: int
    sent: int
    origin: Origin | None = None
    read: int = 0


@dataclass(frozen=True)
class UploadPlan:
    """How a package gets to its keys.

    Attributes:
        observation: what it was planned on.
        manifest: the members.
        layout: the archive; for layout `prefix` too, which does not use it.
        parts: of the archive; empty if it is there already, or the layout is `prefix`.
        contents: for each member, in order.
        to_read: for each archive to copy from, by its position, the ranges that nothing binds yet.
        limits: sizes of parts.
    """

    observation: Observation
    manifest: Manifest
    layout: Layout
    parts: tuple[Part, ...]
    contents: tuple[ContentPlan, ...]
    to_read: Mapping[int, tuple[Range, ...]] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def done(self) -> bool:
        """Whether the package is published and nothing is left to do."""
        return self.observation.published

    @property
    def uri(self) -> str:
        """Where the model will be."""
        return str(self.observation.package.model)

    @property
    def size(self) -> int:
        """Bytes of what SageMaker will load."""
        return self.layout.size if self.observation.package.layout == ARCHIVE else self.manifest.size

    @property
    def sent_bytes(self) -> int:
        """Bytes of the model that go over the wire from here, borrowed ones included."""
        if self.observation.package.layout == ARCHIVE:
            return sum(part.length for part in self.parts if isinstance(part, SentPart))
        return sum(content.sent for content in self.contents)

    @property
    def copied_bytes(self) -> int:
        """Bytes that S3 copies by itself."""
        if self.observation.package.layout == ARCHIVE:
            return sum(part.length for part in self.parts if isinstance(part, Copy))
        return sum(content.copied for content in self.contents)

    @property
    def read_bytes(self) -> int:
        """Bytes that are read from S3 and hashed, because nothing binds them to the manifest."""
        replaced = self.size if self.observation.package.model.key in self.observation.replaced else 0
        return replaced + sum(content.read for content in self.contents)

    @property
    def least_bound(self) -> list[Origin]:
        """Where S3 copies from, as far as it is bound by the weakest evidence of all; one for each object."""
        origins = {content.origin.seen.location: content.origin for content in self.contents if content.origin}
        weakest = max((_RANKS[origin.binding] for origin in origins.values()), default=0)
        return [origin for origin in origins.values() if _RANKS[origin.binding] == weakest]

    @property
    def needed(self) -> tuple[Member, ...]:
        """The files whose content S3 lacks: what must be here, or be streamed from the Hub."""
        return tuple(
            content.member for content in self.contents if content.sent and content.member.digest not in self._readable
        )

    @cached_property
    def _readable(self) -> frozenset[Digest]:
        """The contents that can be read from archives in S3 instead of being here."""
        return frozenset(
            member.digest
            for held in self.observation.held
            if held.binding is not Binding.NONE
            for member in held.index.manifest.members
        )


def plan(observation: Observation, manifest: Manifest, layout: Layout, limits: Limits | None = None) -> UploadPlan:
    """Plan the upload of a package on what S3 was seen to hold.

    Raises:
        UserError: the package has more files than an index holds.
        IntegrityError: an object of another size lies at the key of the archive.
    """
    limits = limits or Limits()
    if len(manifest.members) > MOST_FILES:
        raise UserError(
            f"the package has {len(manifest.members):,} files; at most {MOST_FILES:,} can be published",
            fix="leave out what the endpoint does not load with model.exclude",
        )
    if observation.package.layout != ARCHIVE:
        return UploadPlan(
            observation, manifest, layout, (), _file_plans(observation, manifest, limits.minimum), limits=limits
        )
    if observation.head is not None:
        if observation.head.size != layout.size:
            raise IntegrityError(
                f"there is an object of {observation.head.size} bytes where the archive of {layout.size} bytes belongs",
                where=str(observation.package.model),
                fix="another program wrote it: inspect it, delete it, and run the command again",
            )
        contents = tuple(ContentPlan(member, 0, 0, 0) for member in manifest.members)
        return UploadPlan(observation, manifest, layout, (), contents, limits=limits)
    runs = find_runs(
        pieces(layout, manifest),
        [pieces(held.index.layout, held.index.manifest) for held in observation.held],
        limits.minimum,
        [_RANKS[held.binding] for held in observation.held],
    )
    parts = plan_parts(layout.size, runs, limits)
    to_read = _to_read(observation.held, runs, parts)
    contents = _content_plans(observation.held, manifest, layout, parts, runs, to_read)
    return UploadPlan(observation, manifest, layout, tuple(parts), contents, to_read, limits)


def pieces(layout: Layout, manifest: Manifest) -> list[Segment]:
    """The pieces of an archive, keyed by what their bytes follow from; the end is like no other's, as it holds a CRC."""
    found = [Segment("gzip", 0, len(GZIP_HEADER))]
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        header = ("header", entry.path, entry.size, entry.executable)
        found.append(Segment(header, entry.offset, entry.content_offset - entry.offset))
        if entry.content_length:
            found.append(Segment(("content", member.digest), entry.content_offset, entry.content_length, anchor=True))
        if entry.end > entry.padding_offset:
            found.append(
                Segment(
                    ("padding", entry.end - entry.padding_offset),
                    entry.padding_offset,
                    entry.end - entry.padding_offset,
                )
            )
    found.append(Segment(("end", manifest.digest), layout.end_offset, layout.size - layout.end_offset))
    return found


def _to_read(
    held: tuple[StoredArchive, ...], runs: Sequence[Match], parts: Sequence[Part]
) -> dict[int, tuple[Range, ...]]:
    """For each source that nothing binds, what of it is copied and was not read before."""
    found: dict[int, tuple[Range, ...]] = {}
    for run in runs:
        copied = any(isinstance(p, Copy) and run.offset <= p.offset < run.end for p in parts)
        if copied and held[run.source].binding is Binding.NONE:
            lacking = held[run.source].verified.lacks(run.source_offset, run.source_offset + run.length)
            found[run.source] = (*found.get(run.source, ()), *lacking)
    return {source: ranges for source, ranges in found.items() if ranges}


def _content_plans(
    held: tuple[StoredArchive, ...],
    manifest: Manifest,
    layout: Layout,
    parts: list[Part],
    runs: Sequence[Match],
    to_read: Mapping[int, tuple[Range, ...]],
) -> tuple[ContentPlan, ...]:
    copies = [part for part in parts if isinstance(part, Copy)]
    plans = []
    first_copy = first_run = 0
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        low, high = entry.content_offset, entry.padding_offset
        while first_copy < len(copies) and copies[first_copy].offset + copies[first_copy].length <= low:
            first_copy += 1
        while first_run < len(runs) and runs[first_run].end <= low:
            first_run += 1
        touching = list(_overlaps(copies, first_copy, low, high))
        copied = sum(length for _, length in touching)
        held_bytes = sum(max(0, min(high, run.end) - max(low, run.offset)) for run in runs[first_run : first_run + 1])
        if not touching:
            plans.append(ContentPlan(member, 0, held_bytes, high - low - held_bytes))
            continue
        copy = touching[0][0]
        start = low - copy.offset + copy.source_offset
        unread = any(begin <= start < end for begin, end in to_read.get(copy.source, ()))
        read = high - low if unread else 0
        origin = _origin(held[copy.source], member.digest)
        plans.append(ContentPlan(member, copied, held_bytes - copied, high - low - held_bytes, origin, read))
    return tuple(plans)


def _origin(held: StoredArchive, content: Digest) -> Origin:
    sums = held.verified.sums.get(content)
    if sums is None and held.binding is Binding.NAME:
        sums = held.sums[content]
    return Origin(held.seen, held.folder.child(index_name(ARCHIVE)), held.binding, sums)


def _overlaps(copies: list[Copy], index: int, low: int, high: int) -> Iterator[tuple[Copy, int]]:
    """The copies from `index` on that overlap `[low, high)`, with how far."""
    while index < len(copies) and copies[index].offset < high:
        copy = copies[index]
        length = min(high, copy.offset + copy.length) - max(low, copy.offset)
        if length > 0:
            yield copy, length
        index += 1


def _file_plans(observation: Observation, manifest: Manifest, minimum: int) -> tuple[ContentPlan, ...]:
    prefix = observation.package.model
    there: dict[Digest, Origin] = {}
    for held in observation.files:
        for file in held.files.files:
            binding = held.binding(file)
            known = there.get(file.member.digest)
            if binding is Binding.NONE and file.member.size < minimum:
                continue  # sending it is as cheap as reading it
            if known is None or _RANKS[binding] < _RANKS[known.binding]:
                seen = ObjectRef(held.location.child(file.member.path), file.etag)
                sums = None if binding is Binding.NONE else FramedChecksums(file.sums)
                there[file.member.digest] = Origin(seen, held.folder.child(index_name(PREFIX)), binding, sums)
    plans = []
    for member in manifest.members:
        origin = there.get(member.digest)
        if prefix.child(member.path).key in observation.present:
            plans.append(ContentPlan(member, 0, 0, 0))
        elif origin:
            read = member.size if origin.binding is Binding.NONE else 0
            plans.append(ContentPlan(member, member.size, 0, 0, origin, read))
        else:
            plans.append(ContentPlan(member, 0, 0, member.size))
    return tuple(plans)
