"""The plan of an upload: which parts, from where, and what that means for each content. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.archive.framing import GZIP_HEADER
from sagepack.errors import IntegrityError
from sagepack.publish.keys import ARCHIVE
from sagepack.publish.matching import Piece, find_runs
from sagepack.publish.planner import Copy, Limits, Literal, Part, plan_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.archive.layout import Layout
    from sagepack.digest import Digest
    from sagepack.manifest import Manifest, Member
    from sagepack.publish.observe import Held, Observation
    from sagepack.publish.sums import ContentSums
    from sagepack.remote.s3 import Location


@dataclass(frozen=True)
class ContentPlan:
    """What happens to one file of a package. The three numbers add up to its framed length (or its size, as a file).

    Attributes:
        member: the file.
        copied: bytes that S3 copies.
        borrowed: bytes that S3 has but that are sent, because a part must not be too short.
        sent: bytes that S3 lacks.
        source: the object that S3 copies from, or None.
    """

    member: Member
    copied: int
    borrowed: int
    sent: int
    source: Location | None


@dataclass(frozen=True)
class UploadPlan:
    """How a package gets to its keys.

    Attributes:
        observation: what it was planned on.
        manifest: the members.
        layout: the archive; for layout `prefix` too, which does not use it.
        parts: of the archive; empty if it is there already, or the layout is `prefix`.
        contents: for each member, in order.
        limits: sizes of parts.
    """

    observation: Observation
    manifest: Manifest
    layout: Layout
    parts: tuple[Part, ...]
    contents: tuple[ContentPlan, ...]
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
            return sum(part.length for part in self.parts if isinstance(part, Literal))
        return sum(content.sent for content in self.contents)

    @property
    def copied_bytes(self) -> int:
        """Bytes that S3 copies by itself."""
        if self.observation.package.layout == ARCHIVE:
            return sum(part.length for part in self.parts if isinstance(part, Copy))
        return sum(content.copied for content in self.contents)

    @property
    def needed(self) -> tuple[Member, ...]:
        """The files whose content S3 lacks: what must be here, or be streamed from the Hub."""
        return tuple(
            content.member for content in self.contents if content.sent and content.member.digest not in self.known
        )

    @cached_property
    def known(self) -> dict[Digest, ContentSums]:
        """The sums of contents that an archive in S3 holds."""
        return {
            member.digest: sums
            for held in reversed(self.observation.held)
            for member, sums in zip(held.index.manifest.members, held.index.sums, strict=True)
        }


def plan(observation: Observation, manifest: Manifest, layout: Layout, limits: Limits | None = None) -> UploadPlan:
    """Plan the upload of a package on what S3 was seen to hold.

    Raises:
        IntegrityError: an object of another size lies at the key of the archive.
    """
    limits = limits or Limits()
    if observation.package.layout != ARCHIVE:
        return UploadPlan(observation, manifest, layout, (), _file_plans(observation, manifest), limits)
    if observation.head is not None:
        if observation.head.size != layout.size:
            raise IntegrityError(
                f"there is an object of {observation.head.size} bytes where the archive of {layout.size} bytes belongs",
                where=str(observation.package.model),
                fix="another program wrote it; look what it is, delete it, and run the command again",
            )
        contents = tuple(ContentPlan(member, 0, 0, 0, None) for member in manifest.members)
        return UploadPlan(observation, manifest, layout, (), contents, limits)
    target = pieces(layout, manifest)
    sources = [pieces(held.index.layout, held.index.manifest) for held in observation.held]
    runs = find_runs(target, sources, limits.minimum)
    parts = plan_parts(layout.size, runs, limits)
    spans = [(run.offset, run.end) for run in runs]
    return UploadPlan(
        observation,
        manifest,
        layout,
        tuple(parts),
        _content_plans(observation.held, manifest, layout, parts, spans),
        limits,
    )


def pieces(layout: Layout, manifest: Manifest) -> list[Piece]:
    """The pieces of an archive, keyed by what their bytes follow from; the end is like no other's, as it holds a CRC."""
    found = [Piece("gzip", 0, len(GZIP_HEADER))]
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        header = ("header", entry.path, entry.size, entry.executable)
        found.append(Piece(header, entry.offset, entry.content_offset - entry.offset))
        if entry.content_length:
            found.append(Piece(("content", member.digest), entry.content_offset, entry.content_length, anchor=True))
        if entry.end > entry.padding_offset:
            found.append(
                Piece(
                    ("padding", entry.end - entry.padding_offset),
                    entry.padding_offset,
                    entry.end - entry.padding_offset,
                )
            )
    found.append(Piece(("end", manifest.digest), layout.end_offset, layout.size - layout.end_offset))
    return found


def _content_plans(
    held: tuple[Held, ...], manifest: Manifest, layout: Layout, parts: list[Part], runs: list[tuple[int, int]]
) -> tuple[ContentPlan, ...]:
    copies = [part for part in parts if isinstance(part, Copy)]
    plans = []
    first_copy = first_run = 0
    for entry, member in zip(layout.entries, manifest.members, strict=True):
        low, high = entry.content_offset, entry.padding_offset
        while first_copy < len(copies) and copies[first_copy].offset + copies[first_copy].length <= low:
            first_copy += 1
        while first_run < len(runs) and runs[first_run][1] <= low:
            first_run += 1
        touching = list(_overlaps(copies, first_copy, low, high))
        copied = sum(length for _, length in touching)
        held_bytes = sum(max(0, min(high, end) - max(low, begin)) for begin, end in runs[first_run : first_run + 1])
        source = held[touching[0][0].source].location if touching else None
        plans.append(ContentPlan(member, copied, held_bytes - copied, high - low - held_bytes, source))
    return tuple(plans)


def _overlaps(copies: list[Copy], index: int, low: int, high: int) -> Iterator[tuple[Copy, int]]:
    """The copies from `index` on that overlap `[low, high)`, with how far."""
    while index < len(copies) and copies[index].offset < high:
        copy = copies[index]
        length = min(high, copy.offset + copy.length) - max(low, copy.offset)
        if length > 0:
            yield copy, length
        index += 1


def _file_plans(observation: Observation, manifest: Manifest) -> tuple[ContentPlan, ...]:
    prefix = observation.package.model
    there: dict[Digest, Location] = {}
    for held in reversed(observation.files):
        there.update({file.member.digest: held.location.child(file.member.path) for file in held.files.files})
    plans = []
    for member in manifest.members:
        if prefix.child(member.path).key in observation.present:
            plans.append(ContentPlan(member, 0, 0, 0, None))
        elif member.digest in there:
            plans.append(ContentPlan(member, member.size, 0, 0, there[member.digest]))
        else:
            plans.append(ContentPlan(member, 0, 0, member.size, None))
    return tuple(plans)
