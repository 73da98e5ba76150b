"""What S3 was seen to hold of a package and of its contents, and what evidence there is for each claim. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from sagepack.publish.keys import SBOM

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

    from sagepack.aws.s3 import ObjectInfo, ObjectRef, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.documents import Files, Index, StoredFile
    from sagepack.publish.keys import Package
    from sagepack.publish.release import Release
    from sagepack.publish.verified import Verified


class Binding(Enum):
    """What binds the bytes of an object in S3 to the SHA-256 of the contents that its index lists, the strongest first."""

    VERIFIED = "verified by this machine"
    SIGNED = "signed by a key that counts"
    NAME = "released under the same name and target"
    PROMOTED = "deployed in the environment that it is promoted from"
    NONE = "read and hashed first"

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return list(Binding).index(self)


class StoredPackage(Protocol):
    """A published package that contents may be copied from."""

    @property
    def location(self) -> S3Uri:
        """The archive, or the prefix of the files."""

    @property
    def folder(self) -> S3Uri:
        """The package that it belongs to."""

    @property
    def manifest(self) -> Manifest:
        """Its members, as its index lists them."""

    def has_object(self, location: S3Uri) -> bool:
        """Whether the object at `location` is part of it."""


@dataclass(frozen=True)
class StoredArchive:
    """An archive that is in S3 as its index says.

    Attributes:
        seen: the archive, as copies are conditioned on.
        index: what lies where in it; a claim, for which `binding` is the evidence.
        binding: what binds the bytes of the archive to the index.
        verified: what this machine knows of the archive; with binding NONE that may be a part of it.
    """

    seen: ObjectRef
    index: Index
    binding: Binding
    verified: Verified

    @cached_property
    def sums(self) -> dict[Digest, FramedChecksums]:
        """The checksums of its contents, as the index says."""
        return {member.digest: sums for member, sums in zip(self.manifest.members, self.index.sums, strict=True)}

    @property
    def location(self) -> S3Uri:
        """Where the archive is."""
        return self.seen.location

    @property
    def folder(self) -> S3Uri:
        """The package that it belongs to."""
        return self.location.parent

    @property
    def manifest(self) -> Manifest:
        """Its members, as its index lists them."""
        return self.index.manifest

    def has_object(self, location: S3Uri) -> bool:
        """Whether it is the archive at `location`."""
        return location == self.location


@dataclass(frozen=True)
class StoredPrefix:
    """A published prefix: its files as objects.

    Attributes:
        location: the prefix, ending in `/`.
        index: its list of files; a claim, for which `binding` gives the evidence file by file.
        unverified: what binds the files that this machine knows nothing of.
        verified: what this machine knows of the objects, by key.
    """

    location: S3Uri
    index: Files
    unverified: Binding
    verified: Mapping[str, Verified]

    @property
    def folder(self) -> S3Uri:
        """The package that they belong to."""
        return self.location.parent

    @property
    def manifest(self) -> Manifest:
        """Its members, as its list of files says."""
        return self.index.manifest

    def has_object(self, location: S3Uri) -> bool:
        """Whether the object at `location` lies under the prefix."""
        return location.bucket == self.location.bucket and location.key.startswith(self.location.key)

    def binding(self, file: StoredFile) -> Binding:
        """What binds one of the files to its SHA-256."""
        known = self.verified.get(self.location.child(file.member.path).key)
        if known is None:
            return self.unverified
        return Binding.VERIFIED if known.etag == file.etag and file.member.digest in known.sums else Binding.NONE


@dataclass(frozen=True)
class Observation(ABC):
    """What S3 was seen to hold of a package, and where else its contents are.

    Attributes:
        package: the keys of the package.
        present: keys that lie in the package's folder, with their ETags.
        release: the latest release record of the package: it is written last, so that all is there; None without one.
        verified: what this machine knows of the package's own objects, by key.
        indexed: contents whose pointers need no writing, since a released package of this target wrote them.
        is_bound: whether what the index says of the package's own objects is believed. Where signatures are demanded, it needs one, or
            the memory of this machine.
        must_sign: whether the package is to be signed.
        needs_sbom: whether a bill of materials is to be beside it.
    """

    package: Package
    present: Mapping[str, str] = field(default_factory=dict)
    release: Release | None = None
    verified: Mapping[str, Verified] = field(default_factory=dict)
    indexed: frozenset[Digest] = frozenset()
    is_bound: bool = True
    must_sign: bool = False
    needs_sbom: bool = False

    @property
    @abstractmethod
    def index(self) -> Index | Files | None:
        """The index next to the model; None if there is none that fits the stored objects."""

    @property
    def archive(self) -> ObjectInfo | None:
        """What S3 says of the archive of the package; None if there is none."""
        return None

    @property
    @abstractmethod
    def model_stored(self) -> bool:
        """Whether the model is there completely, with or without the documents next to it."""

    @abstractmethod
    def without(self, *locations: S3Uri) -> Self:
        """The observation as if no package held the objects at `locations`."""

    @property
    def published(self) -> bool:
        """Whether there is nothing left to do."""
        package = self.package
        documents = {package.index_uri.key, package.manifest_uri.key, package.provenance_uri.key}
        recorded = self.release is not None and self.index is not None and self.release.lists(self.index.text())
        if self.needs_sbom:
            documents.add(package.sbom_uri.key)
            recorded = recorded and self.release is not None and SBOM in self.release.documents
        is_whole = recorded and documents <= self.present.keys() and not self.unsigned
        return self.model_stored and is_whole and not self.replaced

    @property
    def unsigned(self) -> bool:
        """Whether the package is to be signed, and is not."""
        signatures = {uri.key for uri in self.package.signature_uris}
        return self.must_sign and not signatures <= self.present.keys()

    @property
    def replaced(self) -> tuple[str, ...]:
        """Keys whose objects have another ETag than this machine verified, or than was released: they were overwritten."""
        known = {key: verified.etag for key, verified in self.verified.items()}
        if self.release is not None and self.release.etag is not None:
            known.setdefault(self.package.model_uri.key, self.release.etag)
        return tuple(key for key, etag in known.items() if self.present.get(key, etag) != etag)


@dataclass(frozen=True)
class ArchiveObservation(Observation):
    """What S3 was seen to hold of a package that is one archive.

    Attributes:
        archive: what S3 says of the archive at its key; None if there is none.
        index: the index next to it, if it fits the archive.
        sources: archives to copy from, the nearest first.
    """

    archive: ObjectInfo | None = None
    index: Index | None = None
    sources: tuple[StoredArchive, ...] = ()

    @property
    def model_stored(self) -> bool:
        """Whether there is an object at the key of the archive."""
        return self.archive is not None

    def without(self, *locations: S3Uri) -> ArchiveObservation:
        """The observation as if the archives at `locations` did not exist, be it the package's own or a source."""
        own = self.package.model_uri in locations
        return replace(
            self,
            archive=None if own else self.archive,
            index=None if own else self.index,
            sources=tuple(source for source in self.sources if not any(map(source.has_object, locations))),
        )


@dataclass(frozen=True)
class PrefixObservation(Observation):
    """What S3 was seen to hold of a package that is one object per file.

    Attributes:
        index: the list of files, if it fits the objects under the prefix.
        sources: prefixes to copy from, the nearest first.
    """

    index: Files | None = None
    sources: tuple[StoredPrefix, ...] = ()

    @property
    def model_stored(self) -> bool:
        """Whether every file is there: the list of files is written after them, and fits them."""
        return self.index is not None

    def without(self, *locations: S3Uri) -> PrefixObservation:
        """The observation as if the prefixes that hold the objects at `locations` did not exist."""
        return replace(
            self, sources=tuple(source for source in self.sources if not any(map(source.has_object, locations)))
        )
