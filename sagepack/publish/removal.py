"""Takes packages out of S3, in an order that neither a kill nor another publisher can spoil.

First the release records go: from then on the package is not whole, and nobody copies from it or deploys it. Then the pointers
of its contents, then the model, and the manifest last, since it names the contents whose pointers are left. So whatever a kill
leaves is a folder without a release record, which the next removal finds, and which an upload of the package completes.

What is deleted is what was seen: each deletion carries the ETag as its condition.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ChangedError, ObjectRef
from sagepack.errors import UserError
from sagepack.package.manifest import Manifest
from sagepack.publish.delta.parts import Limits
from sagepack.publish.documents import Files, Index, Pointer
from sagepack.publish.keys import PackageFormat, pointer_uri
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.aws.s3 import S3, ObjectSummary, S3Uri
    from sagepack.digest import Digest
    from sagepack.publish.stored import StoredFolder

_THREADS = 16


@dataclass(frozen=True)
class Withdrawn:
    """A package without its release records.

    Attributes:
        folder: the package.
        records: the records that it had.
    """

    folder: StoredFolder
    records: tuple[tuple[S3Uri, bytes], ...]


def withdraw(store: S3, folder: StoredFolder) -> Withdrawn:
    """Delete the release records of a package; `restore` puts them back.

    Raises:
        ChangedError: one was replaced since it was seen; the others are back.
    """
    records = [(each, data) for each in folder.releases if (data := store.read(each.location)) is not None]
    gone: list[tuple[S3Uri, bytes]] = []
    try:
        for each, data in records:
            store.delete(each.location, each.etag)
            gone.append((each.location, data))
    except ChangedError:
        restore(store, Withdrawn(folder, tuple(gone)))
        raise
    return Withdrawn(folder, tuple(gone))


def restore(store: S3, withdrawn: Withdrawn) -> None:
    """Put the release records of a package back that is still there."""
    for location, data in withdrawn.records:
        store.put(location, data, if_absent=True)


@dataclass(frozen=True)
class Remaining:
    """The packages of the same name that stay, to which pointers may lead instead.

    Attributes:
        store: S3.
        folders: the packages.
    """

    store: S3
    folders: Sequence[StoredFolder]

    @cached_property
    def _holders(self) -> dict[tuple[PackageFormat, Digest], str]:
        """Which package has a content, the newest of several."""
        found: dict[tuple[PackageFormat, Digest], str] = {}
        whole = [(each.published, each) for each in self.folders if each.published]
        for _, folder in sorted(whole, key=lambda pair: pair[0]):
            manifest = _indexed(self.store, folder)
            if manifest:
                found |= {(folder.format, member.digest): folder.path for member in manifest.members}
        return found

    def holder(self, format_: PackageFormat, content: Digest) -> str | None:
        """The path of a package that has a content; None if none has it."""
        return self._holders.get((format_, content))


def erase(store: S3, target: S3Uri, folder: StoredFolder, remaining: Remaining) -> bool:
    """Delete a package whose release records were deleted, and the pointers that lead to it.

    Args:
        store: S3.
        target: the target that it lies under.
        folder: the package.
        remaining: the packages that stay.

    Returns:
        Whether S3 keeps earlier versions of what was deleted.

    Raises:
        ChangedError: something of it was replaced since it was seen: somebody publishes the package again.
    """
    manifest = _indexed(store, folder) or _listed(store, folder)
    large = {member.digest for member in manifest.members if member.size >= Limits().minimum} if manifest else set()
    with worker_pool(_THREADS, "pointers") as pool:
        list(pool.map(lambda content: _lead_away(store, target, folder, content, remaining), sorted(large)))
    end = folder.location.child("manifest.json")
    first = [each for each in folder.objects if each.location != end]
    last = [each for each in folder.objects if each.location == end]
    kept = [_delete_all(store, first), _delete_all(store, last)]
    return any(kept)


def _delete_all(store: S3, objects: Iterable[ObjectSummary]) -> bool:
    with worker_pool(_THREADS, "delete") as pool:
        return any(list(pool.map(lambda each: store.delete(each.location, each.etag), objects)))


def _lead_away(store: S3, target: S3Uri, folder: StoredFolder, content: Digest, remaining: Remaining) -> None:
    """Let the pointer of a content lead to another package that has it; delete it if there is none.

    One that somebody else changes at the same time is theirs.
    """
    location = pointer_uri(target, content, folder.format)
    head = store.head(location)
    pointer = Pointer.parse(store.read(location)) if head else None
    if head is None or pointer is None or pointer.package != folder.path:
        return
    other = remaining.holder(folder.format, content)
    if other:
        store.replace(ObjectRef(location, head.etag), Pointer(content, other).text())
    else:
        with suppress(ChangedError):
            store.delete(location, head.etag)


def _indexed(store: S3, folder: StoredFolder) -> Manifest | None:
    """The members of a package by its index or its list of files."""
    data = store.read(folder.location.child(folder.format.index_name))
    found = Index.parse(data) if folder.format is PackageFormat.ARCHIVE else Files.parse(data)
    return found.manifest if found else None


def _listed(store: S3, folder: StoredFolder) -> Manifest | None:
    """The members of a package by its manifest."""
    data = store.read(folder.location.child("manifest.json"))
    try:
        return Manifest.parse(data) if data else None
    except UserError:
        return None
