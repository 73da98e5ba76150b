"""What lies under a target for one name: folders of packages, whole or not, and records. Pure but for `look`.

A folder without a release record is a package that is being published, or whose publishing or removal was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sagepack.publish.keys import UPLOAD_NOTES, PackageFormat, package_folder, release_time, released_package

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.aws.s3 import S3, MultipartHandle, ObjectSummary, S3Uri


@dataclass(frozen=True)
class StoredFolder:
    """The folder of a package.

    Attributes:
        path: `name/digest`, relative to the target.
        location: what its keys begin with, without a slash at the end.
        objects: what lies in it.
        releases: its release records, the oldest first.
        uploads: unfinished uploads into it.
    """

    path: str
    location: S3Uri
    objects: tuple[ObjectSummary, ...] = ()
    releases: tuple[ObjectSummary, ...] = ()
    uploads: tuple[MultipartHandle, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of its objects and records."""
        return sum(each.size for each in (*self.objects, *self.releases))

    @property
    def changed(self) -> datetime:
        """When anything of it was written last, by S3's clock."""
        written = [each.modified for each in (*self.objects, *self.releases)]
        begun = [each.initiated for each in self.uploads if each.initiated]
        return max((*written, *begun), default=datetime.min.replace(tzinfo=timezone.utc))

    @property
    def published(self) -> datetime | None:
        """When it was released last; None if there is no record of that."""
        return max((time for each in self.releases if (time := release_time(each.location))), default=None)

    @property
    def format(self) -> PackageFormat:
        """In which its model is stored."""
        archive = PackageFormat.ARCHIVE
        names = {each.location.key.removeprefix(self.location.child("").key) for each in self.objects}
        return archive if {archive.index_name, archive.model_name} & names else PackageFormat.PREFIX

    @property
    def has_model(self) -> bool:
        """Whether the archive, or any file of the prefix, is there."""
        model = self.location.child(self.format.model_name).key
        return any(each.location.key.startswith(model) for each in self.objects)

    @property
    def notes(self) -> tuple[ObjectSummary, ...]:
        """The notes of uploads that workers made."""
        below = self.location.child(f"{UPLOAD_NOTES}/").key
        return tuple(each for each in self.objects if each.location.key.startswith(below))

    def overlaps(self, uri: str) -> bool:
        """Whether model data at `uri`, an object or a prefix, is in this folder or contains it.

        ModelDataUrl also takes HTTPS addresses of S3, whose form depends on region and partition: there the key decides alone.
        """
        folder = f"{self.location}/"
        if uri.startswith("s3://"):
            return uri.startswith(folder) or folder.startswith(uri)
        return f"/{self.location.key}/" in unquote(uri)


@dataclass
class _Found:
    objects: list[ObjectSummary] = field(default_factory=list)
    releases: list[ObjectSummary] = field(default_factory=list)
    uploads: list[MultipartHandle] = field(default_factory=list)


def look(store: S3, target: S3Uri, name: str) -> tuple[StoredFolder, ...]:
    """The folders of all packages of a name under a target, in the order of their keys."""
    below = target.child(f"{name}/")
    return folders(target, name, store.list(below), store.uploads(below))


def folders(
    target: S3Uri, name: str, listed: Iterable[ObjectSummary], uploads: Iterable[MultipartHandle]
) -> tuple[StoredFolder, ...]:
    """The folders of the packages in a listing of what is below `<target>/<name>/`."""
    found: dict[str, _Found] = {}
    below = target.child("").key
    for each in listed:
        path = "/".join(each.location.key.removeprefix(below).split("/")[:2])
        if each.location.parent == target.child(f"{name}/releases"):
            short = next((s for format_ in PackageFormat if (s := released_package(each.location, format_))), None)
            if short:
                found.setdefault(f"{name}/{short}", _Found()).releases.append(each)
        elif package_folder(target, path):
            found.setdefault(path, _Found()).objects.append(each)
    for upload in uploads:
        path = "/".join(upload.location.key.removeprefix(below).split("/")[:2])
        if package_folder(target, path):
            found.setdefault(path, _Found()).uploads.append(upload)
    return tuple(
        StoredFolder(path, target.child(path), tuple(each.objects), tuple(each.releases), tuple(each.uploads))
        for path, each in sorted(found.items())
    )
