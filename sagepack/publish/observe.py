"""What S3 holds: the package itself, and archives that hold some of its contents. Reads only, remembers nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from sagepack.errors import UserError
from sagepack.publish.index import Files, Index, Pointer
from sagepack.publish.keys import ARCHIVE, Package, index_name, package_folder, pointer, released, releases
from sagepack.publish.planner import Limits
from sagepack.remote.s3 import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sagepack.digest import Digest
    from sagepack.manifest import Manifest, Member
    from sagepack.remote.s3 import S3, Head, Location

_T = TypeVar("_T")
_R = TypeVar("_R")
_NEAREST = 4  # releases of the same name whose archives are looked at: an edit resembles the last few
_THREADS = 16


@dataclass(frozen=True)
class Held:
    """An archive that is in S3 as its index says.

    Attributes:
        seen: the archive, as copies are conditioned on.
        index: what lies where in it.
    """

    seen: Seen
    index: Index

    @property
    def location(self) -> Location:
        """Where the archive is."""
        return self.seen.location


@dataclass(frozen=True)
class HeldFiles:
    """A published prefix: its files as objects. `location` is the prefix, ending in `/`."""

    location: Location
    files: Files


@dataclass(frozen=True)
class Observation:
    """What was found.

    Attributes:
        package: what was asked about.
        head: the archive at its key, or None. With layout `prefix` always None.
        index: the index beside it, if it fits the archive; or the list of files.
        present: keys that lie in the package's folder.
        released: whether a release record names the package: it is written last, so all is there.
        held: archives to copy from, the nearest first.
        files: prefixes to copy from.
        pointed: contents whose pointers need no writing, since a released package of this target wrote them.
    """

    package: Package
    head: Head | None = None
    index: Index | Files | None = None
    present: frozenset[str] = frozenset()
    released: bool = False
    held: tuple[Held, ...] = ()
    files: tuple[HeldFiles, ...] = ()
    pointed: frozenset[Digest] = frozenset()

    @property
    def published(self) -> bool:
        """Whether there is nothing left to do."""
        documents = {self.package.index.key, self.package.manifest.key, self.package.provenance.key}
        there = self.head is not None or self.package.layout != ARCHIVE
        return self.released and there and self.index is not None and documents <= self.present

    def without(self, location: Location) -> Observation:
        """The observation as if the archive or prefix at `location` were not there."""
        own = location == self.package.model
        return replace(
            self,
            head=None if own else self.head,
            index=None if own else self.index,
            held=tuple(held for held in self.held if held.location != location),
            files=tuple(held for held in self.files if not location.key.startswith(held.location.key)),
        )


def check_bucket(store: S3, target: Location, region: str) -> None:
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
    store: S3, package: Package, manifest: Manifest, reuse_from: Sequence[Location] = (), limits: Limits | None = None
) -> Observation:
    """Ask S3 what it holds of `package`, and where else its contents are.

    A published package costs four requests, whatever the size of its archive.

    Args:
        store: S3, as the spec wants it used.
        package: the keys of the package.
        manifest: its members.
        reuse_from: further targets to look for contents in.
        limits: sizes of parts; contents below the minimum are not looked for one by one.
    """
    present = frozenset(listed.location.key for listed in store.list(package.folder.child("")))
    recent = _recent(store, package.target, package)
    own = _look(store, package.folder, package.layout) if package.index.key in present else None
    seen = Observation(
        package,
        store.head(package.model) if package.model.key in present else None,
        own.index if isinstance(own, Held) else own.files if own else None,
        present,
        package.digest.short in recent,
    )
    if seen.published:
        return seen
    search = _Search(store, package.layout, [member.digest for member in _large(manifest, limits or Limits())])
    for target in (package.target, *reuse_from):
        folders = recent if target == package.target else _recent(store, target, package)
        search.releases(target, [target.child(f"{package.name}/{short}") for short in folders[:_NEAREST]])
        search.pointers(target)
    return replace(
        seen,
        held=tuple(held for held in search.found if isinstance(held, Held)),
        files=tuple(held for held in search.found if isinstance(held, HeldFiles)),
        pointed=search.pointed.get(package.target, frozenset()),
    )


class _Search:
    """Looks for contents, target by target, and keeps what it found in that order."""

    def __init__(self, store: S3, layout: str, wanted: Sequence[Digest]) -> None:
        self.found: list[Held | HeldFiles] = []
        self.pointed: dict[Location, frozenset[Digest]] = {}
        self._store = store
        self._layout = layout
        self._missing = set(wanted)
        self._looked: set[Location] = set()

    def releases(self, target: Location, folders: Sequence[Location]) -> None:
        """Look into packages that were released."""
        held = self._look(folders)
        self.pointed[target] = frozenset(digest for one in held for digest in _contents(one))

    def pointers(self, target: Location) -> None:
        """Look where the pointers of the contents lead that are still missing."""
        wanted = sorted(self._missing)
        documents = _parallel(lambda digest: self._store.read(pointer(target, digest, self._layout)), wanted)
        led: dict[Digest, Location] = {}
        for digest, data in zip(wanted, documents, strict=True):
            parsed = Pointer.parse(data)
            folder = package_folder(target, parsed.package) if parsed and parsed.digest == digest else None
            if folder is not None:
                led[digest] = folder
        self._look(sorted(set(led.values())))
        self.pointed[target] |= frozenset(led) - self._missing

    def _look(self, folders: Sequence[Location]) -> list[Held | HeldFiles]:
        new = [folder for folder in folders if folder not in self._looked]
        self._looked.update(new)
        held = [one for one in _parallel(lambda folder: _look(self._store, folder, self._layout), new) if one]
        self.found.extend(held)
        self._missing.difference_update(digest for one in held for digest in _contents(one))
        return held


def _look(store: S3, folder: Location, layout: str) -> Held | HeldFiles | None:
    """The package at `folder`, if its index is there and fits what lies beside it."""
    data = store.read(folder.child(index_name(layout)))
    if layout != ARCHIVE:
        files = Files.parse(data)
        return HeldFiles(folder.child("model/"), files) if files else None
    index = Index.parse(data)
    location = folder.child("model.tar.gz")
    head = store.head(location) if index else None
    return Held(Seen(location, head.etag), index) if index and head and _fits(index, head) else None


def _fits(index: Index, head: Head) -> bool:
    """Whether the object is the one that the index was written for: by ETag, or by a full checksum."""
    sums = [index.whole.value(name) == value for name, value in head.checksums.items()]
    return head.size == index.whole.length and (all(sums) if sums else head.etag == index.etag)


def _contents(held: Held | HeldFiles) -> Iterable[Digest]:
    manifest = held.index.manifest if isinstance(held, Held) else held.files.manifest
    return (member.digest for member in manifest.members)


def _large(manifest: Manifest, limits: Limits) -> Iterable[Member]:
    return {member.digest: member for member in manifest.members if member.size >= limits.minimum}.values()


def _recent(store: S3, target: Location, package: Package) -> list[str]:
    """The packages of the same name and layout that were released, by their 16 hex digits, the latest first."""
    keys = [listed.location for listed in store.list(releases(target, package.name).child(""))]
    found = [short for key in reversed(keys) if (short := released(key, package.layout))]
    return list(dict.fromkeys(found))


def _parallel(function: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    if len(items) < 2:
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_THREADS, len(items))) as pool:
        return list(pool.map(function, items))
