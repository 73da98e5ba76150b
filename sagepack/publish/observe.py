"""What S3 holds: the package itself, and archives that hold some of its contents. Reads only, remembers nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from sagepack.aws.s3 import ObjectRef
from sagepack.errors import UserError
from sagepack.publish.delta.parts import Limits
from sagepack.publish.documents import Files, Index, Pointer
from sagepack.publish.keys import ARCHIVE, Package, index_name, package_folder, pointer, released, releases
from sagepack.publish.release import Release
from sagepack.publish.verified import Verified, VerifiedObjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.documents import StoredFile

_T = TypeVar("_T")
_R = TypeVar("_R")
_NEAREST = 4  # releases of the same name whose archives are looked at: an edit resembles the last few
_THREADS = 16


class Binding(Enum):
    """What binds the bytes of an object in S3 to the SHA-256 of the contents that its index lists, the strongest first.

    A signed release will be one more.
    """

    VERIFIED = "verified by this machine"
    NAME = "released under the same name and target"
    NONE = "read and hashed first"


@dataclass(frozen=True)
class StoredArchive:
    """An archive that is in S3 as its index says.

    Attributes:
        seen: the archive, as copies are conditioned on.
        index: what lies where in it: a claim, as far as nothing binds it.
        binding: what makes it more than a claim.
        verified: what this machine knows of the archive; with binding NONE it may be a part.
    """

    seen: ObjectRef
    index: Index
    binding: Binding
    verified: Verified

    @cached_property
    def sums(self) -> dict[Digest, FramedChecksums]:
        """The sums of its contents, as the index says."""
        return {m.digest: sums for m, sums in zip(self.index.manifest.members, self.index.sums, strict=True)}

    @property
    def location(self) -> S3Uri:
        """Where the archive is."""
        return self.seen.location

    @property
    def folder(self) -> S3Uri:
        """The package that it belongs to."""
        return self.location.parent


@dataclass(frozen=True)
class StoredPrefix:
    """A published prefix: its files as objects.

    Attributes:
        location: the prefix, ending in `/`.
        files: what its list says: a claim, as far as nothing binds it.
        released: whether it is a release of the same name under the same target.
        verified: what this machine knows of the objects, by key.
    """

    location: S3Uri
    files: Files
    released: bool
    verified: Mapping[str, Verified]

    @property
    def folder(self) -> S3Uri:
        """The package that they belong to."""
        return self.location.parent

    def binding(self, file: StoredFile) -> Binding:
        """What binds one of the files to its SHA-256."""
        known = self.verified.get(self.location.child(file.member.path).key)
        if known is None:
            return Binding.NAME if self.released else Binding.NONE
        return Binding.VERIFIED if known.etag == file.etag and file.member.digest in known.sums else Binding.NONE


@dataclass(frozen=True)
class Observation:
    """What was found.

    Attributes:
        package: what was asked about.
        head: the archive at its key, or None. With layout `prefix` always None.
        index: the index beside it, if it fits the archive; or the list of files, if it fits the objects.
        present: keys that lie in the package's folder, with their ETags.
        release: the latest release record of the package: it is written last, so that all is there; None without one.
        held: archives to copy from, the nearest first.
        files: prefixes to copy from.
        verified: what this machine knows of the package's own objects, by key.
        pointed: contents whose pointers need no writing, since a released package of this target wrote them.
    """

    package: Package
    head: ObjectInfo | None = None
    index: Index | Files | None = None
    present: Mapping[str, str] = field(default_factory=dict)
    release: Release | None = None
    held: tuple[StoredArchive, ...] = ()
    files: tuple[StoredPrefix, ...] = ()
    verified: Mapping[str, Verified] = field(default_factory=dict)
    pointed: frozenset[Digest] = frozenset()

    @property
    def published(self) -> bool:
        """Whether there is nothing left to do."""
        documents = {self.package.index.key, self.package.manifest.key, self.package.provenance.key}
        there = self.head is not None or self.package.layout != ARCHIVE
        recorded = self.release is not None and self.index is not None and self.release.lists(self.index.text())
        return there and recorded and documents <= self.present.keys() and not self.replaced

    @property
    def replaced(self) -> tuple[str, ...]:
        """Keys whose objects have another ETag than this machine verified, or than was released: somebody wrote them since."""
        known = {key: verified.etag for key, verified in self.verified.items()}
        if self.release is not None and self.release.etag is not None:
            known.setdefault(self.package.model.key, self.release.etag)
        return tuple(key for key, etag in known.items() if self.present.get(key, etag) != etag)

    def without(self, location: S3Uri) -> Observation:
        """The observation as if the archive or prefix at `location` were not there."""
        own = location == self.package.model
        return replace(
            self,
            head=None if own else self.head,
            index=None if own else self.index,
            held=tuple(held for held in self.held if held.location != location),
            files=tuple(held for held in self.files if not location.key.startswith(held.location.key)),
        )


def check_bucket(store: S3, target: S3Uri, region: str) -> None:
    """Refuse a bucket that SageMaker could not read from.

    Raises:
        UserError: there is no such bucket, it is another account's, or in another region (CreateModel wants the model
            data in the region of the endpoint).
    """
    found = store.region(target.bucket)
    if found != region:
        raise UserError(
            f"the bucket is in {found}, the endpoint in {region}; SageMaker reads model data in its own region only",
            where=str(target),
            fix=f"set artifact.target to a bucket in {region}, or aws.region to {found}; contents can still be copied "
            f"from {target} when it is named under artifact.reuse_from",
        )


def observe(
    store: S3,
    package: Package,
    manifest: Manifest,
    reuse_from: Sequence[S3Uri] = (),
    limits: Limits | None = None,
    verified: VerifiedObjects | None = None,
) -> Observation:
    """Ask S3 what it holds of `package`, and where else its contents are.

    A published package costs six small requests, whatever the size of its archive.

    Args:
        store: S3, as the spec wants it used.
        package: the keys of the package.
        manifest: its members.
        reuse_from: further targets to look for contents in.
        limits: sizes of parts; contents below the minimum are not looked for one by one.
        verified: what this machine knows of objects in S3.
    """
    verified = verified or VerifiedObjects(None)
    present = {listed.location.key: listed.etag for listed in store.list(package.folder.child(""))}
    recent = _recent(store, package.target, package)
    record = recent.get(package.digest.short)
    search = _Search(
        store,
        package.layout,
        [member.digest for member in _large(manifest, limits or Limits())],
        verified,
        frozenset(package.target.child(f"{package.name}/{short}") for short in recent),
    )
    own = search.look(package.folder) if package.index.key in present else None
    seen = Observation(
        package,
        store.head(package.model) if package.model.key in present else None,
        own.index if isinstance(own, StoredArchive) else own.files if own and _lists(own, present) else None,
        present,
        Release.parse(store.read(record)) if record else None,
        verified=verified.of(package.folder),
    )
    if seen.published:
        return seen
    for target in (package.target, *reuse_from):
        folders = recent if target == package.target else _recent(store, target, package)
        search.releases(target, [target.child(f"{package.name}/{short}") for short in list(folders)[:_NEAREST]])
        search.pointers(target)
    return replace(
        seen,
        held=tuple(held for held in search.found if isinstance(held, StoredArchive)),
        files=tuple(held for held in search.found if isinstance(held, StoredPrefix)),
        pointed=search.pointed.get(package.target, frozenset()),
    )


class _Search:
    """Looks for contents, target by target, and keeps what it found in that order."""

    def __init__(
        self,
        store: S3,
        layout: str,
        wanted: Sequence[Digest],
        verified: VerifiedObjects,
        released: frozenset[S3Uri],
    ) -> None:
        self.found: list[StoredArchive | StoredPrefix] = []
        self.pointed: dict[S3Uri, frozenset[Digest]] = {}
        self._store = store
        self._layout = layout
        self._missing = set(wanted)
        self._verified = verified
        self._released = released
        self._looked: set[S3Uri] = set()

    def releases(self, target: S3Uri, folders: Sequence[S3Uri]) -> None:
        """Look into packages that were released."""
        held = self._add(folders)
        self.pointed[target] = frozenset(digest for one in held for digest in _contents(one))

    def pointers(self, target: S3Uri) -> None:
        """Look where the pointers of the contents lead that are still missing."""
        wanted = sorted(self._missing)
        documents = _parallel(lambda digest: self._store.read(pointer(target, digest, self._layout)), wanted)
        led: dict[Digest, S3Uri] = {}
        for digest, data in zip(wanted, documents, strict=True):
            parsed = Pointer.parse(data)
            folder = package_folder(target, parsed.package) if parsed and parsed.digest == digest else None
            if folder is not None:
                led[digest] = folder
        self._add(sorted(set(led.values())))
        self.pointed[target] |= frozenset(led) - self._missing

    def _add(self, folders: Sequence[S3Uri]) -> list[StoredArchive | StoredPrefix]:
        new = [folder for folder in folders if folder not in self._looked]
        self._looked.update(new)
        held = [one for one in _parallel(self.look, new) if one]
        self.found.extend(held)
        self._missing.difference_update(digest for one in held for digest in _contents(one))
        return held

    def look(self, folder: S3Uri) -> StoredArchive | StoredPrefix | None:
        """The package at `folder`, if its index is there and fits what lies beside it; and what binds it."""
        data = self._store.read(folder.child(index_name(self._layout)))
        if self._layout != ARCHIVE:
            files = Files.parse(data)
            known = self._verified.of(folder)
            return StoredPrefix(folder.child("model/"), files, folder in self._released, known) if files else None
        index = Index.parse(data)
        location = folder.child("model.tar.gz")
        head = self._store.head(location) if index else None
        if index is None or head is None or not _fits(index, head):
            return None
        nothing = Verified(head.etag, index.manifest.digest)
        archive = self._verified.of(folder).get(location.key)
        if archive is None:
            # A machine that remembers nothing of it relies on who may write under the name.
            binding = Binding.NAME if folder in self._released else Binding.NONE
            return StoredArchive(ObjectRef(location, head.etag), index, binding, nothing)
        same = (archive.etag, archive.manifest) == (nothing.etag, nothing.manifest)
        archive = archive if same else nothing
        binding = Binding.NONE if archive.lacks(0, head.size) else Binding.VERIFIED
        return StoredArchive(ObjectRef(location, head.etag), index, binding, archive)


def _fits(index: Index, head: ObjectInfo) -> bool:
    """Whether the object is the one that the index was written for: by ETag, or by a full checksum."""
    sums = [index.whole.value(name) == value for name, value in head.checksums.items()]
    return head.size == index.whole.length and (all(sums) if sums else head.etag == index.etag)


def _lists(held: StoredPrefix, present: Mapping[str, str]) -> bool:
    """Whether the objects of a prefix are the ones that its list was written for, by their ETags."""
    return all(present.get(held.location.child(file.member.path).key) == file.etag for file in held.files.files)


def _contents(held: StoredArchive | StoredPrefix) -> Iterable[Digest]:
    manifest = held.index.manifest if isinstance(held, StoredArchive) else held.files.manifest
    return (member.digest for member in manifest.members)


def _large(manifest: Manifest, limits: Limits) -> Iterable[Member]:
    return {member.digest: member for member in manifest.members if member.size >= limits.minimum}.values()


def _recent(store: S3, target: S3Uri, package: Package) -> dict[str, S3Uri]:
    """The packages of the same name and layout that were released: 16 hex digits -> latest record, the latest first."""
    keys = [listed.location for listed in store.list(releases(target, package.name).child(""))]
    found: dict[str, S3Uri] = {}
    for key in reversed(keys):
        short = released(key, package.layout)
        if short is not None:
            found.setdefault(short, key)
    return found


def _parallel(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_THREADS, len(items))) as pool:
        return list(pool.map(function, items))
