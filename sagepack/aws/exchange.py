"""The S3 objects through which an asynchronous endpoint is spoken to: small inputs, answers and failures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sagepack.aws.session import answered, error_code
from sagepack.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws

_MISSING = {"NoSuchKey", "404", "NotFound"}
_DENIED = {"403", "AccessDenied"}


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an S3 URI.

    Raises:
        UserError: it is none.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UserError("not an S3 URI", where=uri, fix="write s3://bucket/prefix/")
    return bucket, key


def put(aws: Aws, uri: str, content: bytes | Path, content_type: str) -> None:
    """Write an object: these bytes, or those of a file."""
    bucket, key = split(uri)
    with (
        answered("uploading the request", uri),
        io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as body,
    ):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)


def get(aws: Aws, uri: str, limit: int) -> bytes | None:
    """The content of an object, or its first `limit` + 1 bytes if there are more than `limit`; None while it is not there.

    S3 answers 403 for a missing key to those who may not list the bucket, so that too means "not there" (API reference,
    GetObject, Permissions); `forbidden` tells which of the two it was.
    """
    import botocore.exceptions

    bucket, key = split(uri)
    with answered("fetching the answer", uri):
        try:
            body: bytes = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read(limit + 1)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in _MISSING | _DENIED:
                return None
            raise
    return body


def forbidden(aws: Aws, uri: str) -> bool:
    """Whether S3 refuses to say if an object is there."""
    import botocore.exceptions

    bucket, key = split(uri)
    with answered("looking for the answer", uri):
        try:
            aws.client("s3").head_object(Bucket=bucket, Key=key)
        except botocore.exceptions.ClientError as error:
            return error_code(error) in _DENIED
    return False


def delete(aws: Aws, uri: str) -> None:
    """Delete an object; one that is not there is no error."""
    bucket, key = split(uri)
    with answered("deleting the request", uri):
        aws.client("s3").delete_object(Bucket=bucket, Key=key)
