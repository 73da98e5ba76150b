"""The plan of a prefix: every file an object of its own, that S3 copies or that is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.publish.checksums import FramedChecksums
from sagepack.publish.keys import PackageFormat
from sagepack.publish.observation import Binding, PrefixObservation
from sagepack.publish.upload.units import unit_of_file
from sagepack.publish.upload_plan import ContentPlan, Origin, UploadPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.s3 import S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.delta.parts import Limits


@dataclass(frozen=True)
class PrefixPlan(UploadPlan):
    """How the files of a package get under its prefix.

    Attributes:
        observation: what it was planned on.
    """

    observation: PrefixObservation

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.manifest.size

    @property
    def sent_bytes(self) -> int:
        """Bytes of the files that are sent."""
        return sum(content.sent for content in self.contents)

    @property
    def copied_bytes(self) -> int:
        """Bytes of the files that S3 copies."""
        return sum(content.copied for content in self.contents)

    @property
    def readable(self) -> frozenset[Digest]:
        """None: a file that S3 has is copied whole."""
        return frozenset()

    def places(self, location: S3Uri) -> Iterator[tuple[Member, int, int]]:
        """The file that is the object."""
        model = self.observation.package.model_uri
        return ((member, 0, member.size) for member in self.manifest.members if model.child(member.path) == location)

    def without(self, *locations: S3Uri) -> PrefixPlan:
        """The plan of the same files without the prefixes that hold the objects at `locations`."""
        return plan_prefix(self.observation.without(*locations), self.manifest, self.limits, self.elsewhere)


def plan_prefix(
    observation: PrefixObservation,
    manifest: Manifest,
    limits: Limits,
    elsewhere: frozenset[Digest] = frozenset(),
) -> PrefixPlan:
    """Plan the upload of files on what S3 was seen to hold.

    Args:
        observation: what S3 was seen to hold.
        manifest: the members.
        limits: sizes of parts.
        elsewhere: the contents that workers can read, if some are to make large files of it.
    """
    model, origins = observation.package.model_uri, _origins(observation, limits.minimum)
    contents = []
    for member in manifest.members:
        origin = origins.get(member.digest)
        if model.child(member.path).key in observation.present:
            contents.append(ContentPlan(member, 0, 0, 0))
        elif origin:
            read = member.size if origin.binding is Binding.NONE else 0
            contents.append(ContentPlan(member, member.size, 0, 0, origin, read))
        else:
            contents.append(ContentPlan(member, 0, 0, member.size))
    units = tuple(
        unit_of_file(index, content.sent, limits)
        for index, content in enumerate(contents)
        if content.sent > limits.sent_size and content.member.digest in elsewhere
    )
    return PrefixPlan(observation, manifest, tuple(contents), limits, elsewhere=elsewhere, units=units)


def _origins(observation: PrefixObservation, minimum: int) -> dict[Digest, Origin]:
    """The best object to copy each content from: that with the strongest binding, then the nearest."""
    origins: dict[Digest, Origin] = {}
    for source in observation.sources:
        for file in source.index.files:
            binding, known = source.binding(file), origins.get(file.member.digest)
            if binding is Binding.NONE and file.member.size < minimum:
                continue  # sending it is as cheap as reading it
            if known is None or binding.rank < known.binding.rank:
                seen = ObjectRef(source.location.child(file.member.path), file.etag)
                index_uri = source.folder.child(PackageFormat.PREFIX.index_name)
                sums = None if binding is Binding.NONE else FramedChecksums(file.sums)
                origins[file.member.digest] = Origin(seen, index_uri, binding, sums)
    return origins
