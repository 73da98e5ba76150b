"""What moto's S3 lets pass and the real one does not. A model of S3, not evidence about it; moto is pinned for it.

Checksums and Content-MD5 of puts and parts are compared with the bytes; completion checks the parts' checksums, the order
of parts, the checksum and size of the whole object, and `If-Match`; copies check `If-Match` and their range and read no
more than it; unknown uploads are 404; a wrong `ExpectedBucketOwner` is 403. Stored checksums come back with parts.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from sagepack.sandbox.aws.s3_checks import HEADER, check_body, check_completion, checksum, declared, refusal
from sagepack.sandbox.process import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable

_CONDITION = "At least one of the pre-conditions you specified did not hold"
_OWNERS = ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner")


def install() -> None:
    """Put these checks in front of moto's methods, once in a process."""
    from moto.s3.responses import S3Response

    if hasattr(S3Response, "sandbox_checks"):
        return
    checks: dict[str, Callable[..., Any]] = {
        "put_object": put_object,
        "upload_part": upload_part,
        "upload_part_copy": upload_part_copy,
        "copy_object": copy_object,
        "list_parts": list_parts,
        "_key_response": any_key,
        "_key_response_post": post,
    }
    setattr(S3Response, "sandbox_checks", checks)  # noqa: B010 - moto's class does not know it
    for name, method in checks.items():
        setattr(S3Response, name, _before(getattr(S3Response, name), method))


def _before(original: Callable[..., Any], method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def replaced(response: Any, *args: Any) -> Any:
        return method(lambda: original(response, *args), response, *args)

    return replaced


def any_key(moto: Callable[[], Any], response: Any, *_: Any) -> Any:
    """Any request for an object, of the owner that the caller expects."""
    for header in _OWNERS:
        if response.headers.get(header, ACCOUNT) != ACCOUNT:
            raise refusal("AccessDenied", "Access Denied")
    return moto()


def _upload(response: Any) -> Any:
    upload_id = response.querystring["uploadId"][0]
    upload = response.backend.get_bucket(response.bucket_name).multiparts.get(upload_id)
    if upload is None:
        raise refusal(
            "NoSuchUpload",
            "The specified upload does not exist. The upload ID may be invalid, or the upload "
            "may have been aborted or completed.",
            upload_id=upload_id,
        )
    return upload


def put_object(moto: Callable[[], Any], response: Any) -> Any:
    """PutObject of bytes that are what the request says."""
    check_body(response.headers, response.body or b"", response.raw_body or b"")
    return moto()


def upload_part(moto: Callable[[], Any], response: Any) -> Any:
    """UploadPart of bytes that are what the request says, to an upload that exists, by the algorithm it declared."""
    upload, body = _upload(response), response.body or b""
    given = check_body(response.headers, body, response.raw_body or b"")
    algorithm = declared(upload)[0]
    if algorithm and given and algorithm not in given:
        kinds = f"{algorithm.lower()}, actual checksum Type: {next(iter(given)).lower()}"
        raise refusal("InvalidRequest", f"Checksum Type mismatch occurred, expected checksum Type: {kinds}")
    status, headers, content = moto()
    part = upload.parts[int(response.querystring["partNumber"][0])]
    for name in [algorithm] if algorithm else given:
        part.checksum_algorithm, part.checksum_value = name, checksum(name, body)
        headers[HEADER + name.lower()] = part.checksum_value
    return status, headers, content


def source_of(response: Any) -> Any:
    """The object that a copy reads, if it is there and as `CopySourceIfMatch` wants it."""
    source = urlsplit(response.headers["x-amz-copy-source"])
    bucket, _, key = unquote(source.path).lstrip("/").partition("/")
    version = parse_qs(source.query).get("versionId", [None])[0]
    found = response.backend.get_object(bucket, key, version_id=version)
    if found is None:
        raise refusal("NoSuchKey", "The specified key does not exist.", key=key)
    for name, wanted in (("x-amz-copy-source-if-match", True), ("x-amz-copy-source-if-none-match", False)):
        etag = response.headers.get(name)
        if etag and (etag.strip('"') == found.etag.strip('"')) is not wanted:
            raise refusal("PreconditionFailed", _CONDITION, condition=name)
    return found


def upload_part_copy(_: Callable[[], Any], response: Any) -> Any:
    """UploadPartCopy that reads the range only, and refuses one that the source does not have."""
    from moto.core.responses import ActionResult

    upload, source = _upload(response), source_of(response)
    asked = response.headers.get("x-amz-copy-source-range")
    first, last = 0, source.contentsize - 1
    if asked:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        if match is None:
            raise refusal("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last")
        first, last = int(match[1]), int(match[2])
    if not first <= last < max(source.contentsize, 1):
        message = f"Range specified is not valid for source object of size: {source.contentsize}"
        raise refusal("InvalidArgument", message, argument_name="x-amz-copy-source-range", argument_value=asked or "")
    part = upload.set_part(int(response.querystring["partNumber"][0]), _slice(source, first, last + 1 - first))
    result = {"LastModified": part.last_modified_ISO8601, "ETag": part.etag}
    algorithm = declared(upload)[0]
    if algorithm:
        part.checksum_algorithm, part.checksum_value = algorithm, checksum(algorithm, part.value)
        result[f"Checksum{algorithm}"] = part.checksum_value
    response.data["Action"] = "UploadPartCopy"
    return response.serialized(ActionResult({"CopyPartResult": result}))


def _slice(key: Any, start: int, length: int) -> bytes:
    with key.lock:
        key._value_buffer.seek(start)  # noqa: SLF001 - reading it whole for every part takes minutes of a large object
        return bytes(key._value_buffer.read(length))  # noqa: SLF001


def copy_object(moto: Callable[[], Any], response: Any) -> Any:
    """CopyObject under its conditions on source and target."""
    source_of(response)
    held = response.backend.get_object(response.bucket_name, response.parse_key_name())
    if response.headers.get("If-None-Match") == "*" and held is not None:
        raise refusal("PreconditionFailed", _CONDITION, condition="If-None-Match")
    return moto()


def list_parts(moto: Callable[[], Any], response: Any) -> Any:
    """ListParts with the checksums of the parts."""
    upload = _upload(response)
    status, headers, body = moto()
    text = body.decode() if isinstance(body, bytes) else body
    for number, part in upload.parts.items():
        if part.checksum_value:
            element = f"Checksum{part.checksum_algorithm}"
            at = f"<PartNumber>{number}</PartNumber>"
            text = text.replace(at, f"{at}<{element}>{part.checksum_value}</{element}>")
    headers.pop("content-length", None)
    return status, headers, text


def post(moto: Callable[[], Any], response: Any, request: Any, body: bytes, bucket: str, query: Any, key: str) -> Any:
    """CompleteMultipartUpload that checks what it is told, and says the checksum of the whole object."""
    del request
    existing = response.backend.get_object(bucket, key)
    again = existing is not None and existing.multipart and [existing.multipart.id] == query.get("uploadId")
    if not query.get("uploadId") or again:
        return moto()
    wanted = response.headers.get("If-Match")
    if wanted and (existing is None or existing.etag.strip('"') != wanted.strip('"')):
        raise refusal("PreconditionFailed", _CONDITION, condition="If-Match")
    sums = check_completion(_upload(response), response.headers, body)
    status, headers, text = moto()
    told = "".join(f"<{name}>{value}</{name}>" for name, value in sums.items())
    headers.pop("content-length", None)
    return status, headers, text.replace("</ETag>", f"</ETag>{told}")
