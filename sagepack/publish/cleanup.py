"""Keeping a target tidy: uploads that nobody continues."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sagepack.publish.keys import package_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.aws.s3 import S3, MultipartHandle, S3Uri


def stale_uploads(
    store: S3, target: S3Uri, name: str, older_than: timedelta, now: datetime | None = None
) -> list[MultipartHandle]:
    """The unfinished uploads of a name under a target that are older than `older_than`: their parts are paid for.

    Only uploads to keys that publishing makes count; those of other names are for whoever may write these names.
    """
    limit = (now or datetime.now(timezone.utc)) - older_than
    found = store.uploads(target.child(f"{name}/"))
    return [
        upload
        for upload in found
        if upload.initiated is not None and upload.initiated < limit and _ours(target, upload.location)
    ]


def abort_stale(store: S3, uploads: Iterable[MultipartHandle]) -> int:
    """Abort uploads; how many."""
    count = 0
    for upload in uploads:
        store.abort(upload)
        count += 1
    return count


def _ours(target: S3Uri, location: S3Uri) -> bool:
    below = location.key.removeprefix(target.child("").key)
    parts = below.split("/")
    named = len(parts) >= 3 and package_folder(target, "/".join(parts[:2])) is not None
    return named and (parts[2:] == ["model.tar.gz"] or parts[2] == "model")
