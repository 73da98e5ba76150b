"""The plan of an upload: what happens to each content of a package, and how many bytes move. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Self

    from sagepack.aws.s3 import ObjectRef, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.delta.parts import Limits
    from sagepack.publish.observation import Binding, Observation
    from sagepack.publish.upload.units import Unit


@dataclass(frozen=True)
class Origin:
    """Where S3 copies a content from, and why the bytes there are believed.

    Attributes:
        seen: the object, under the ETag that the copy is conditioned on.
        index_uri: the document that says what the object holds.
        binding: what binds its bytes to the SHA-256 of the content; NONE: they are read and hashed first.
        sums: checksums of the content, if something binds them.
    """

    seen: ObjectRef
    index_uri: S3Uri
    binding: Binding
    sums: FramedChecksums | None = None


@dataclass(frozen=True)
class ContentPlan:
    """What happens to one file of a package, in bytes.

    `copied`, `borrowed` and `sent` add up to its framed length in an archive, or to its size under a prefix.

    Attributes:
        member: the file.
        copied: bytes that S3 copies.
        borrowed: bytes that S3 has but that are sent, because a part must not be too short.
        sent: bytes that S3 does not have.
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
class UploadPlan(ABC):
    """How a package gets to its keys; an `ArchivePlan` or a `PrefixPlan`.

    Attributes:
        observation: what it was planned on.
        manifest: the members.
        contents: for each member, in order.
        limits: sizes of parts.
        elsewhere: the contents that workers can read, if some are to make units of it.
        units: what of it workers make.
    """

    observation: Observation
    manifest: Manifest
    contents: tuple[ContentPlan, ...]
    limits: Limits
    elsewhere: frozenset[Digest] = field(default=frozenset(), kw_only=True)
    units: tuple[Unit, ...] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of what SageMaker will load."""

    @property
    @abstractmethod
    def sent_bytes(self) -> int:
        """Bytes of the model that go over the wire from here, borrowed ones included."""

    @property
    @abstractmethod
    def copied_bytes(self) -> int:
        """Bytes that S3 copies by itself."""

    @property
    @abstractmethod
    def readable(self) -> frozenset[Digest]:
        """The contents that can be read from other packages in S3 instead of being here."""

    @abstractmethod
    def places(self, location: S3Uri) -> Iterable[tuple[Member, int, int]]:
        """The files that lie in the object at `location`, each with the offsets where it begins and ends there."""

    @abstractmethod
    def without(self, *locations: S3Uri) -> Self:
        """The plan of the same package without the packages that hold the objects at `locations`."""

    @property
    def done(self) -> bool:
        """Whether the package is published and nothing is left to do."""
        return self.observation.published

    @property
    def uri(self) -> str:
        """Where the model will be."""
        return str(self.observation.package.model_uri)

    @property
    def read_bytes(self) -> int:
        """Bytes that are read from S3 and hashed, because nothing binds them to the manifest."""
        observation = self.observation
        is_replaced = observation.package.model_uri.key in observation.replaced
        is_unbound = observation.model_stored and not observation.is_bound and not observation.published
        own = self.size if is_replaced or is_unbound else 0
        return own + sum(content.read for content in self.contents)

    @property
    def least_bound(self) -> list[Origin]:
        """Where S3 copies from, as far as it is bound by the weakest evidence of all; one for each object."""
        origins = {content.origin.seen.location: content.origin for content in self.contents if content.origin}
        weakest = max((origin.binding.rank for origin in origins.values()), default=0)
        return [origin for origin in origins.values() if origin.binding.rank == weakest]

    @property
    def missing(self) -> tuple[Member, ...]:
        """The files whose content S3 does not have: what must be here, or be streamed from the Hub."""
        readable = self.readable
        return tuple(
            content.member for content in self.contents if content.sent and content.member.digest not in readable
        )
