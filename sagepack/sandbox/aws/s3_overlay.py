"""Checks of S3 that moto does not make. A model of S3, not evidence about it; it needs the pinned version of moto.

- PutObject, UploadPart: checksums and Content-MD5 are compared with the bytes; HeadObject gives the one of a PutObject.
- CompleteMultipartUpload: the checksums and order of the parts, checksum and size of the whole object, `If-Match`.
- CopyObject, UploadPartCopy: the conditions on the source; the range, and only the range is read.
- ListParts: the parts' checksums are in the response; the listing continues after a part number, not after so many parts.
- An unknown upload is an error (404), and so is a wrong `ExpectedBucketOwner` (403).
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_right
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from sagepack.sandbox.aws.s3_checks import HEADER, check_body, check_completion, checksum, declared_checksum, s3_error
from sagepack.sandbox.identity import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from moto.core.common_types import TYPE_RESPONSE
    from moto.s3.models import FakeKey, FakeMultipart
    from moto.s3.responses import S3Response

_CONDITION = "At least one of the pre-conditions you specified did not hold"
_completing = threading.Lock()
_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")


def install() -> None:
    """Replace moto's methods by ones that make these checks and then call moto's; once in a process."""
    from moto.s3.responses import S3Response

    if hasattr(S3Response, "sandbox_checks"):
        return
    checks: dict[str, Callable[..., Any]] = {
        "put_object": put_object,
        "upload_part": upload_part,
        "upload_part_copy": upload_part_copy,
        "copy_object": copy_object,
        "list_parts": list_parts,
        "_key_response": any_request,
        "_bucket_response": any_request,
        "_key_response_post": post,
    }
    setattr(S3Response, "sandbox_checks", checks)  # noqa: B010 - moto's class does not declare it
    for name, method in checks.items():
        setattr(S3Response, name, _wrap(getattr(S3Response, name), method))


def _wrap(original: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def replaced(response: S3Response, *args: Any) -> Any:
        return method(lambda: original(response, *args), response, *args)

    return replaced


def any_request(moto: Callable[[], TYPE_RESPONSE], response: S3Response, *_: Any) -> TYPE_RESPONSE:
    """Any request for a bucket or an object: the bucket must have the owner that the caller expects."""
    for header in _OWNERS:
        if response.headers.get(header, ACCOUNT) != ACCOUNT:
            raise s3_error("AccessDenied", "Access Denied")
    return moto()


def _upload(response: S3Response) -> FakeMultipart:
    upload_id = response.querystring["uploadId"][0]
    upload = response.backend.get_bucket(response.bucket_name).multiparts.get(upload_id)
    if upload is None:
        raise s3_error(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload "
            "may have been aborted or completed.",
            upload_id=upload_id,
        )
    return upload


def put_object(moto: Callable[[], TYPE_RESPONSE], response: S3Response) -> TYPE_RESPONSE:
    """PutObject: the body must match the request's checksums, and the object keeps the one that was compared."""
    given = check_body(response.headers, response.body or b"", response.raw_body or b"")
    answer = moto()
    written = response.backend.get_object(response.bucket_name, response.parse_key_name())
    if written is not None:
        name = next(iter(given), None)
        written.checksum_algorithm, written.checksum_value = name, given[name] if name else None
    return answer


def upload_part(moto: Callable[[], TYPE_RESPONSE], response: S3Response) -> TYPE_RESPONSE:
    """UploadPart: the upload must exist, the body match the request's checksums, the algorithm be that of the upload."""
    upload, body = _upload(response), response.body or b""
    given = check_body(response.headers, body, response.raw_body or b"")
    algorithm = declared_checksum(upload)[0]
    if algorithm and given and algorithm not in given:
        kinds = f"{algorithm.lower()}, actual checksum Type: {next(iter(given)).lower()}"
        raise s3_error("InvalidRequest", f"Checksum Type mismatch occurred, expected checksum Type: {kinds}")
    status, headers, content = moto()
    part = upload.parts[int(response.querystring["partNumber"][0])]
    for name in [algorithm] if algorithm else given:
        part.checksum_algorithm, part.checksum_value = name, checksum(name, body)
        headers[HEADER + name.lower()] = part.checksum_value
    return status, headers, content


def source_of(response: S3Response) -> FakeKey:
    """The source of a copy; it must exist and satisfy `CopySourceIfMatch` and `CopySourceIfNoneMatch`."""
    source = urlsplit(response.headers["x-amz-copy-source"])
    bucket, _, key = unquote(source.path).lstrip("/").partition("/")
    version = parse_qs(source.query).get("versionId", [None])[0]
    found = response.backend.get_object(bucket, key, version_id=version)
    if found is None:
        raise s3_error("NoSuchKey", "The specified key does not exist.", key=key)
    for name, equal in (("x-amz-copy-source-if-match", True), ("x-amz-copy-source-if-none-match", False)):
        etag = response.headers.get(name)
        if etag and (etag.strip('"') == found.etag.strip('"')) is not equal:
            raise s3_error("PreconditionFailed", _CONDITION, condition=name)
    return found


def upload_part_copy(_: Callable[[], TYPE_RESPONSE], response: S3Response) -> TYPE_RESPONSE:
    """UploadPartCopy: reads the range only, which the source must have."""
    from moto.core.responses import ActionResult

    upload, source = _upload(response), source_of(response)
    requested = response.headers.get("x-amz-copy-source-range")
    first, last = 0, source.contentsize - 1
    if requested:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", requested)
        if match is None:
            raise s3_error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last")
        first, last = int(match[1]), int(match[2])
    if not first <= last < max(source.contentsize, 1):
        message = f"Range specified is not valid for source object of size: {source.contentsize}"
        raise s3_error(
            "InvalidArgument", message, argument_name="x-amz-copy-source-range", argument_value=requested or ""
        )
    with source.lock:
        source._value_buffer.seek(first)  # noqa: SLF001 - `value` would read all of a large object for each part
        data = source._value_buffer.read(last + 1 - first)  # noqa: SLF001
    part = upload.set_part(int(response.querystring["partNumber"][0]), data)
    result = {"LastModified": part.last_modified_ISO8601, "ETag": part.etag}
    algorithm = declared_checksum(upload)[0]
    if algorithm:
        part.checksum_algorithm, part.checksum_value = algorithm, checksum(algorithm, part.value)
        result[f"Checksum{algorithm}"] = part.checksum_value
    response.data["Action"] = "UploadPartCopy"
    return response.serialized(ActionResult({"CopyPartResult": result}))


def copy_object(moto: Callable[[], TYPE_RESPONSE], response: S3Response) -> TYPE_RESPONSE:
    """CopyObject: source and target must satisfy its conditions."""
    source_of(response)
    existing = response.backend.get_object(response.bucket_name, response.parse_key_name())
    if response.headers.get("If-None-Match") == "*" and existing is not None:
        raise s3_error("PreconditionFailed", _CONDITION, condition="If-None-Match")
    return moto()


def _as_text(result: TYPE_RESPONSE) -> tuple[int, dict[str, Any], str]:
    """Status, headers and body of a response whose body is going to be changed: its length is no longer among the headers."""
    status, headers, body = result
    headers.pop("content-length", None)
    return status, headers, body.decode() if isinstance(body, bytes) else body


def list_parts(moto: Callable[[], TYPE_RESPONSE], response: S3Response) -> TYPE_RESPONSE:
    """ListParts: the marker is the number of a part; the checksums of the parts are added to the response."""
    upload, marker = _upload(response), response.querystring.get("part-number-marker", ["0"])[0]
    if marker.isdecimal():
        # moto takes it as how many of the parts that are there are left out.
        response.querystring["part-number-marker"] = [str(bisect_right(upload.partlist, int(marker)))]
    status, headers, text = _as_text(moto())
    text = re.sub(r"<PartNumberMarker>\d+<", f"<PartNumberMarker>{marker}<", text)
    listed = [int(number) for number in re.findall(r"<PartNumber>(\d+)<", text)]
    is_truncated = bool(listed) and upload.partlist[-1] > listed[-1]
    text = re.sub(r"<IsTruncated>\w+<", f"<IsTruncated>{str(is_truncated).lower()}<", text)
    for number, part in upload.parts.items():
        if part.checksum_value:
            element = f"Checksum{part.checksum_algorithm}"
            at = f"<PartNumber>{number}</PartNumber>"
            text = text.replace(at, f"{at}<{element}>{part.checksum_value}</{element}>")
    return status, headers, text


def post(
    moto: Callable[[], TYPE_RESPONSE],
    response: S3Response,
    request: Any,
    body: bytes,
    bucket: str,
    query: Any,
    key: str,
) -> TYPE_RESPONSE:
    """CompleteMultipartUpload: checks the request, and adds the checksum of the whole object to the response.

    One after the other: of two that complete the same upload at once, moto fails the second one with an error of its own.
    """
    del request
    if not query.get("uploadId"):
        return moto()
    with _completing:
        return _complete(moto, response, body, bucket, query, key)


def _complete(
    moto: Callable[[], TYPE_RESPONSE], response: S3Response, body: bytes, bucket: str, query: Any, key: str
) -> TYPE_RESPONSE:
    existing = response.backend.get_object(bucket, key)
    # S3 responds to a repeated completion as to the first one.
    repeated = existing is not None and existing.multipart and [existing.multipart.id] == query["uploadId"]
    if repeated:
        return moto()
    expected = response.headers.get("If-Match")
    if expected and (existing is None or existing.etag.strip('"') != expected.strip('"')):
        raise s3_error("PreconditionFailed", _CONDITION, condition="If-Match")
    sums = check_completion(_upload(response), response.headers, body)
    status, headers, text = _as_text(moto())
    elements = "".join(f"<{name}>{value}</{name}>" for name, value in sums.items())
    return status, headers, text.replace("</ETag>", f"</ETag>{elements}")
