"""The end of an upload that many made: it is completed on the parts that S3 lists last, whoever sent them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.s3 import RefusedError, StalePartError, UploadGoneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.aws.s3 import S3, MultipartHandle, UploadedPart
    from sagepack.publish.checksums import Checksums

_ATTEMPTS = 3


def complete(
    store: S3, upload: MultipartHandle, algorithm: str, lengths: Sequence[int], whole: Checksums
) -> tuple[str | None, list[UploadedPart]]:
    """Make the object from the parts that S3 has.

    A worker that was thought dead may send a part again, which then may get another ETag: so an answer that a part is not the
    one that was listed is followed by another look.

    Args:
        store: S3.
        upload: the upload.
        algorithm: of its checksums.
        lengths: of the parts, as planned.
        whole: checksums of the object.

    Returns:
        The ETag of the object, None if there is one at the key already; and the parts.

    Raises:
        RefusedError: S3 does not have the parts that were reported, or they do not make the object.
        UploadGoneError: there is no such upload any more.
    """
    attempt = 1
    while True:
        listed = store.parts(upload)
        if listed is None:
            raise UploadGoneError("the upload was completed or aborted", where=str(upload.location))
        if [(part.number, part.size) for part in listed] != list(enumerate(lengths, 1)):
            raise RefusedError("S3 does not have the parts that were reported", where=str(upload.location))
        try:
            return store.complete(upload, listed, sum(lengths), algorithm, whole.value(algorithm)), listed
        except StalePartError:
            attempt += 1
            if attempt > _ATTEMPTS:
                raise
