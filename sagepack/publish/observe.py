"""Looking at what S3 holds: the package itself, and packages that hold some of its contents. Only reads; stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from sagepack.aws.s3 import ObjectRef
from sagepack.publish import pointers
from sagepack.publish.delta.parts import Limits
from sagepack.publish.documents import Files, Index, Pointer
from sagepack.publish.keys import (
    RELEASE_SIGNATURE,
    Package,
    PackageFormat,
    package_folder,
    pointer_uri,
    released_package,
    releases_uri,
)
from sagepack.publish.observation import (
    ArchiveObservation,
    Binding,
    Observation,
    PrefixObservation,
    StoredArchive,
    StoredPackage,
    StoredPrefix,
)
from sagepack.publish.release import Release
from sagepack.publish.verified import Verified, VerifiedObjects
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest
    from sagepack.publish.signatures import SignedRelease

    Signed = Callable[[bytes | None], SignedRelease | None]

_T = TypeVar("_T")
_R = TypeVar("_R")
_Stored = TypeVar("_Stored", bound=StoredPackage)
_PROVED = frozenset({Binding.VERIFIED, Binding.SIGNED})
_NEAREST = 4  # releases of the same name whose packages are looked at: an edit resembles the last few
_THREADS = 16


def observe(
    store: S3,
    package: Package,
    manifest: Manifest,
    reuse_from: Sequence[S3Uri] = (),
    limits: Limits | None = None,
    verified: VerifiedObjects | None = None,
    promoted: S3Uri | None = None,
    signed: Signed | None = None,
    *,
    must_sign: bool = False,
    needs_sbom: bool = False,
) -> Observation:
    """Look at what S3 holds of `package`, and where else its contents are.

    A published package costs five small requests in two round trips, whatever its size. An edited one costs one round trip where
    this machine published the one before it: that is read at once, as what is most like it.

    Args:
        store: S3, with the write options of the spec.
        package: the keys of the package.
        manifest: its members.
        reuse_from: further targets to look for contents in.
        limits: sizes of parts; contents below the minimum are not looked for one by one.
        verified: what this machine knows of objects in S3.
        promoted: the package that is to be copied: its contents are looked for there and nowhere else.
        signed: if it is given, a package that contents are copied from must be signed by whom it knows, unless this machine knows
            its bytes.
        must_sign: whether the package is to be signed.
        needs_sbom: whether a bill of materials is to be beside it.
    """
    minimum = (limits or Limits()).minimum
    verified = verified or VerifiedObjects(None)
    is_archive = package.format is PackageFormat.ARCHIVE
    newest = None if promoted else _newest(package, verified)
    with worker_pool(4, "look") as pool:
        before = pool.submit(_known_archive, store, verified, newest) if newest else None
        releases = pool.submit(_recent_releases, store, package.target, package)
        present = {listed.location.key: listed.etag for listed in store.list(package.folder.child(""))}
        recent = releases.result()
        record = recent.get(package.digest.short)
        recorded = pool.submit(store.read, record) if record else None
        head = pool.submit(store.head, package.model_uri) if is_archive and package.model_uri.key in present else None
        released = frozenset(package.target.child(f"{package.name}/{short}") for short in recent)
        reader = _Reader(store, verified, released, promoted, signed)
        indexed = package.index_uri.key in present
        archive = reader.archive(package.folder, head) if is_archive and indexed else None
        prefix = reader.prefix(package.folder) if indexed and not is_archive else None
    large = {member.digest for member in manifest.members if member.size >= minimum}
    places = _Places(store, package, reuse_from, recent, promoted)
    release = Release.parse(recorded.result()) if recorded else None
    own = _Own(package, present, release, verified.of(package.folder), must_sign=must_sign, needs_sbom=needs_sbom)
    if is_archive:
        seen = own.archive(head.result() if head else None, archive, must_bind=signed is not None)
        if seen.published:
            return seen
        archives, written = _Search(places, large, reader.archive).run(before.result() if before else None)
        return replace(seen, sources=archives, indexed=written)
    files = own.prefix(prefix, must_bind=signed is not None)
    if files.published:
        return files
    prefixes, written = _Search(places, large, reader.prefix).run()
    return replace(files, sources=prefixes, indexed=written)


@dataclass(frozen=True)
class _Own:
    """What was seen of the package itself, whatever its format. The attributes are those of `Observation`."""

    package: Package
    present: Mapping[str, str]
    release: Release | None
    verified: Mapping[str, Verified]
    must_sign: bool
    needs_sbom: bool

    def archive(self, head: ObjectInfo | None, stored: StoredArchive | None, *, must_bind: bool) -> ArchiveObservation:
        """The observation of an archive.

        Args:
            head: what S3 says of the object.
            stored: the archive, if its index fits.
            must_bind: whether an index is believed only where something proves it.
        """
        return ArchiveObservation(
            self.package,
            self.present,
            self.release,
            self.verified,
            is_bound=not must_bind or (stored is not None and stored.binding in _PROVED),
            must_sign=self.must_sign,
            needs_sbom=self.needs_sbom,
            archive=head,
            index=stored.index if stored else None,
        )

    def prefix(self, stored: StoredPrefix | None, *, must_bind: bool) -> PrefixObservation:
        """The observation of the files of a prefix; the arguments are those of `archive`."""
        proved = stored is not None and all(stored.binding(each) in _PROVED for each in stored.index.files)
        return PrefixObservation(
            self.package,
            self.present,
            self.release,
            self.verified,
            is_bound=not must_bind or proved,
            must_sign=self.must_sign,
            needs_sbom=self.needs_sbom,
            index=stored.index if stored and _fits_objects(stored, self.present) else None,
        )


@dataclass(frozen=True)
class _Reader:
    """Reads published packages, and finds out what binds their bytes.

    Attributes:
        store: S3.
        verified: what this machine knows of objects in S3.
        released: the packages that are releases of the same name under the same target.
        promoted: the package that a promotion copies.
        signed: knows whose signatures bind; without it, who may write to a bucket is relied on.
    """

    store: S3
    verified: VerifiedObjects
    released: frozenset[S3Uri] = frozenset()
    promoted: S3Uri | None = None
    signed: Signed | None = None

    def archive(self, folder: S3Uri, asked: Future[ObjectInfo | None] | None = None) -> StoredArchive | None:
        """The archive in `folder`; None if there is no index of it, or one of another object.

        Args:
            folder: of the package.
            asked: what is being asked about the archive already.
        """
        location = folder.child(PackageFormat.ARCHIVE.model_name)
        with worker_pool(2, "head") as pool:
            asked = asked or pool.submit(self.store.head, location)
            signature = pool.submit(self.store.read, folder.child(RELEASE_SIGNATURE)) if self.signed else None
            data = self.store.read(folder.child(PackageFormat.ARCHIVE.index_name))
            index, head = Index.parse(data), asked.result()
            signed = signature.result() if signature else None
        if data is None or index is None or head is None or not _fits(index, head):
            return None
        seen, nothing = ObjectRef(location, head.etag), Verified(head.etag, index.manifest.digest)
        known = self.verified.of(folder).get(location.key)
        unverified = self._unverified(folder, signed, PackageFormat.ARCHIVE, data, index.manifest.digest, head.etag)
        if known is None:
            return StoredArchive(seen, index, unverified, nothing)
        if (known.etag, known.manifest_digest) != (nothing.etag, nothing.manifest_digest):
            known = nothing  # what is known is about an object that was replaced
        binding = Binding.VERIFIED
        if known.missing(0, head.size):
            binding = Binding.SIGNED if unverified is Binding.SIGNED else Binding.NONE
        return StoredArchive(seen, index, binding, known)

    def prefix(self, folder: S3Uri) -> StoredPrefix | None:
        """The files of the package in `folder`; None if there is no list of them."""
        with worker_pool(1, "signature") as pool:
            signature = pool.submit(self.store.read, folder.child(RELEASE_SIGNATURE)) if self.signed else None
            data = self.store.read(folder.child(PackageFormat.PREFIX.index_name))
            files, signed = Files.parse(data), signature.result() if signature else None
        if data is None or files is None:
            return None
        location = folder.child(PackageFormat.PREFIX.model_name)
        unverified = self._unverified(folder, signed, PackageFormat.PREFIX, data, files.manifest.digest)
        return StoredPrefix(location, files, unverified, self.verified.of(folder))

    def _unverified(
        self,
        folder: S3Uri,
        signature: bytes | None,
        format_: PackageFormat,
        index: bytes,
        manifest_digest: Digest,
        etag: str | None = None,
    ) -> Binding:
        """What binds a package of which this machine remembers nothing: a signature, or else who may write there.

        Args:
            folder: of the package.
            signature: of its release.
            format_: in which it is stored.
            index: its index, or list of files.
            manifest_digest: of the manifest that the index has.
            etag: of its archive; for a prefix the list has those of the files.
        """
        if self.signed:
            found = self.signed(signature)
            if found is None:
                return Binding.NONE
            release = found.release
            said = release.uri, release.format, release.manifest_digest, release.etag
            seen = str(folder.child(format_.model_name)), format_, manifest_digest, etag
            return Binding.SIGNED if said == seen and release.lists(index) else Binding.NONE
        if folder in self.released:
            return Binding.NAME
        return Binding.PROMOTED if folder == self.promoted else Binding.NONE


def _newest(package: Package, verified: VerifiedObjects) -> S3Uri | None:
    """The archive of the same name of which this machine learned something last, unless it is the package's own."""
    if package.format is not PackageFormat.ARCHIVE:
        return None
    newest = verified.newest(package.target.child(package.name))
    return None if newest == package.folder else newest


def _known_archive(store: S3, verified: VerifiedObjects, folder: S3Uri) -> StoredArchive | None:
    """The archive in `folder`, if this machine itself knows what it holds."""
    stored = _Reader(store, verified).archive(folder)
    return stored if stored and stored.binding is Binding.VERIFIED else None


def _fits(index: Index, head: ObjectInfo) -> bool:
    """Whether the object is the one that the index was written for: by ETag, or by a checksum of the full object."""
    sums = [index.whole.value(name) == value for name, value in head.checksums.items()]
    return head.size == index.whole.length and (all(sums) if sums else head.etag == index.etag)


def _fits_objects(prefix: StoredPrefix, present: Mapping[str, str]) -> bool:
    """Whether the objects of a prefix are the ones that its list was written for, by their ETags."""
    return all(present.get(prefix.location.child(file.member.path).key) == file.etag for file in prefix.index.files)


@dataclass(frozen=True)
class _Places:
    """Where contents of a package are looked for.

    Attributes:
        store: S3.
        package: the package; its own target comes first.
        reuse_from: further targets.
        recent: releases of the name under the own target, as `_recent_releases` gives them.
        promoted: the only package to look at.
    """

    store: S3
    package: Package
    reuse_from: Sequence[S3Uri]
    recent: Mapping[str, S3Uri]
    promoted: S3Uri | None


class _Search(Generic[_Stored]):
    """Looks for the contents of a package in other packages, target by target."""

    def __init__(self, places: _Places, contents: Iterable[Digest], read: Callable[[S3Uri], _Stored | None]) -> None:
        self._places = places
        self._store, self._package = places.store, places.package
        self._missing = set(contents)
        self._read = read
        self._found: list[_Stored] = []
        self._seen: set[S3Uri] = set()

    def run(self, known: _Stored | None = None) -> tuple[tuple[_Stored, ...], frozenset[Digest]]:
        """The packages that hold some of the contents, in the order found, and the contents whose own pointers need no writing.

        Looks under the package's own target, then under the others: latest releases first, then pointers. It ends when no large
        content is missing.

        Args:
            known: a package that was read already, and of which this machine itself knows what it holds.
        """
        if self._places.promoted is not None:
            self._add([self._places.promoted])
            return tuple(self._found), frozenset()
        written = self._own_target(known)
        self._other_targets()
        return tuple(self._found), written

    def _own_target(self, known: _Stored | None) -> frozenset[Digest]:
        """Look under the package's own target; the contents whose pointers need no writing there."""
        folders = self._nearest(self._package.target, self._places.recent)
        if known is not None:
            self._take(known)
        if known is None or self._missing or known.folder not in folders[:1]:
            self._add(folders)
        released = (stored for stored in self._found if stored.folder in folders)
        written = frozenset(member.digest for stored in released for member in stored.manifest.members)
        return written | self._follow_pointers(self._package.target)

    def _other_targets(self) -> None:
        for target in self._places.reuse_from:
            if not self._missing:
                return
            self._add(self._nearest(target, _recent_releases(self._store, target, self._package)))
            self._follow_pointers(target)

    def _nearest(self, target: S3Uri, releases: Iterable[str]) -> list[S3Uri]:
        """The packages of the latest releases."""
        return [target.child(f"{self._package.name}/{short}") for short in list(releases)[:_NEAREST]]

    def _follow_pointers(self, target: S3Uri) -> frozenset[Digest]:
        """Look where the pointers of the contents lead that are still missing; the contents that were found by their own.

        A few are read first, and then more and more: the package to which one of them leads holds most of the others as a rule.
        """
        store, format_ = self._store, self._package.format
        folders: dict[Digest, S3Uri] = {}
        missing, count = pointers.that_may_be_there(store, target, self._missing, format_), _THREADS
        while missing:
            some, rest = missing[:count], missing[count:]
            uris = [pointer_uri(target, digest, format_) for digest in some]
            for digest, data in zip(some, _parallel(store.read, uris), strict=True):
                pointer = Pointer.parse(data)
                folder = package_folder(target, pointer.package) if pointer and pointer.digest == digest else None
                if folder is not None:
                    folders[digest] = folder
            self._add(sorted(set(folders.values())))
            missing, count = [digest for digest in rest if digest in self._missing], 4 * count
        return frozenset(folders) - self._missing

    def _add(self, folders: Sequence[S3Uri]) -> None:
        """Read the packages in `folders` that were not read before."""
        new = [folder for folder in folders if folder not in self._seen]
        self._seen.update(new)
        for stored in _parallel(self._read, new):
            if stored:
                self._take(stored)

    def _take(self, stored: _Stored) -> None:
        self._seen.add(stored.folder)
        self._found.append(stored)
        self._missing.difference_update(member.digest for member in stored.manifest.members)


def _recent_releases(store: S3, target: S3Uri, package: Package) -> dict[str, S3Uri]:
    """The released packages of the same name and format: 16 hex digits -> latest record, the latest first."""
    records = [listed.location for listed in store.list(releases_uri(target, package.name).child(""))]
    found: dict[str, S3Uri] = {}
    for record in reversed(records):
        short = released_package(record, package.format)
        if short is not None:
            found.setdefault(short, record)
    return found


def _parallel(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) < 2:
        return [function(item) for item in items]
    with worker_pool(min(_THREADS, len(items)), "observe") as pool:
        return list(pool.map(function, items))
