"""Uploads that were not completed and that nobody continues: S3 charges for their parts until they are aborted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sagepack.publish.keys import package_folder

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3, MultipartHandle, S3Uri


def stale_uploads(
    store: S3, target: S3Uri, name: str, older_than: timedelta, now: datetime | None = None
) -> list[MultipartHandle]:
    """The unfinished uploads of a name under a target that are older than `older_than`.

    Only uploads to keys that publishing writes count; those of other names are left to who may write to those names.

    Args:
        store: S3.
        target: `artifact.target`.
        name: of the spec.
        older_than: minimum age.
        now: to compare with S3's clock (UTC); None for the current time.
    """
    latest = (now or datetime.now(timezone.utc)) - older_than
    found = store.uploads(target.child(f"{name}/"))
    return [
        upload
        for upload in found
        if upload.initiated is not None and upload.initiated < latest and _is_model_key(target, upload.location)
    ]


def _is_model_key(target: S3Uri, location: S3Uri) -> bool:
    """Whether a key under a target is that of an archive, or of a file of a prefix."""
    below = location.key.removeprefix(target.child("").key)
    parts = below.split("/")
    named = len(parts) >= 3 and package_folder(target, "/".join(parts[:2])) is not None
    return named and (parts[2:] == ["model.tar.gz"] or parts[2] == "model")
