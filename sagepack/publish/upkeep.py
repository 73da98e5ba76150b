"""Keeping a target tidy: uploads that nobody continues, and pointers to a package that is to be deleted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sagepack.publish.index import Files, Index, Pointer
from sagepack.publish.keys import ARCHIVE, index_name, package_folder, pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.digest import Digest
    from sagepack.remote.s3 import S3, Location, Upload


def stale_uploads(store: S3, target: Location, older_than: timedelta, now: datetime | None = None) -> list[Upload]:
    """The unfinished uploads under a target that are older than `older_than`: their parts are paid for.

    Only uploads to keys that publishing makes are ours; a bucket may hold those of others under the same prefix.
    """
    limit = (now or datetime.now(timezone.utc)) - older_than
    found = store.uploads(target.child("") if target.key else target)
    return [
        upload
        for upload in found
        if upload.initiated is not None and upload.initiated < limit and _ours(target, upload.location)
    ]


def abort_stale(store: S3, uploads: Iterable[Upload]) -> int:
    """Abort uploads; how many."""
    count = 0
    for upload in uploads:
        store.abort(upload)
        count += 1
    return count


def repoint(store: S3, target: Location, doomed: str, kept: Sequence[str], layout: str = ARCHIVE) -> int:
    """Make the pointers to a package that is to be deleted lead to another that is kept; how many were changed.

    Pointers whose content no kept package holds are deleted. Do this before the package itself is deleted.

    Args:
        store: S3.
        target: the target.
        doomed: path of the package (`name/digest`), relative to the target.
        kept: paths of packages that stay, the best first.
        layout: whose pointers.
    """
    contents = [_contents(store, target, path, layout) for path in kept]
    changed = 0
    for digest in _contents(store, target, doomed, layout):
        location = pointer(target, digest, layout)
        found = Pointer.parse(store.read(location))
        if found is None or found.package != doomed:
            continue
        holder = next((path for path, held in zip(kept, contents, strict=True) if digest in held), None)
        if holder is None:
            store.delete(location)
        else:
            store.put(location, Pointer(digest, holder).text())
        changed += 1
    return changed


def _contents(store: S3, target: Location, path: str, layout: str) -> set[Digest]:
    folder = package_folder(target, path)
    data = store.read(folder.child(index_name(layout))) if folder else None
    parsed = Index.parse(data) if layout == ARCHIVE else Files.parse(data)
    return {member.digest for member in parsed.manifest.members} if parsed else set()


def _ours(target: Location, location: Location) -> bool:
    below = location.key.removeprefix(f"{target.key}/" if target.key else "")
    parts = below.split("/")
    named = len(parts) >= 3 and package_folder(target, "/".join(parts[:2])) is not None
    return named and (parts[2:] == ["model.tar.gz"] or parts[2] == "model")
