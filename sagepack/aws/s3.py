"""S3, in the low-level calls that publishing is made of.

boto3's own transfer manager is not used: it cannot mix copied and sent parts, refuses conditional writes, and its CRT
variant ignores the endpoint URL. botocore retries single requests (standard mode). Failures that a retry cannot fix are
distinguished here: `ChangedError` means that a source was deleted or replaced, None that a condition did not hold.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3_body import Body
from sagepack.aws.s3_types import (
    Bucket,
    ChangedError,
    MultipartHandle,
    ObjectInfo,
    ObjectRef,
    ObjectSummary,
    RefusedError,
    S3Uri,
    StalePartError,
    UploadedPart,
    UploadGoneError,
    WriteOptions,
)
from sagepack.aws.session import AccessDeniedError, aws_call, error_code
from sagepack.decoding import LIMIT
from sagepack.digest import Digest
from sagepack.errors import RemoteError, UserError
from sagepack.retry import RetryableError, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from botocore.exceptions import ClientError

__all__ = [
    "CRC32",
    "CRC64NVME",
    "S3",
    "Bucket",
    "ChangedError",
    "MultipartHandle",
    "ObjectInfo",
    "ObjectRef",
    "ObjectSummary",
    "RefusedError",
    "S3Uri",
    "StalePartError",
    "UploadGoneError",
    "UploadedPart",
    "WriteOptions",
]

CRC64NVME, CRC32, SHA256 = "CRC64NVME", "CRC32", "SHA256"
_GONE = {"404", "NoSuchKey", "NoSuchVersion", "NotFound"}
_DIFFERS = {"NoSuchBucket", "412", "PreconditionFailed", "InvalidRange", "416"}
_TAKEN = {"412", "PreconditionFailed"}
_DENIED = {"403", "AccessDenied"}
_UNSUPPORTED = {"NotImplemented", "InvalidRequest", "InvalidArgument", "501"}
_REFUSED = {
    "BadDigest",
    "EntityTooSmall",
    "InvalidPart",
    "InvalidPartOrder",
    "InvalidRequest",
    "XAmzContentChecksumMismatch",
}
# botocore retries a request until its response begins; this is for a body that breaks off.
_READS = RetryPolicy(attempts=5, fix="run the same command again")
_READ_SIZE = 1 << 20
_PAGE = 1000  # parts in an answer of ListParts, where no other number is asked for


class S3:
    """The calls, with the write options and owner conditions of one spec. Safe to share between threads."""

    def __init__(self, client: Any, options: WriteOptions | None = None) -> None:
        self._client = client
        self.options = options or WriteOptions()
        for operation in ("UploadPart", "PutObject"):
            client.meta.events.register(f"before-call.s3.{operation}", _trust_tls, unique_id=f"trust-tls-{operation}")

    @contextmanager
    def _explained(self, doing: str, where: str, bucket: str) -> Iterator[None]:
        """`aws_call` that knows a missing bucket, and whose fix also names the owner condition.

        S3 answers 403 to a wrong owner without saying why.
        """
        import botocore.exceptions

        try:
            with aws_call(doing, where):
                try:
                    yield
                except botocore.exceptions.ClientError as error:
                    if error_code(error) == "NoSuchBucket":
                        raise self._no_bucket(bucket) from error
                    raise
        except AccessDeniedError as error:
            if not self.options.owners(bucket):
                raise
            fix = f"{error.fix}; or the bucket is not account {self.options.owner}'s (artifact.expected_bucket_owner)"
            raise error.with_context(fix=fix) from error.__cause__

    def _no_bucket(self, bucket: str) -> UserError:
        key = "artifact.target" if bucket == self.options.bucket else "the key of the spec that names it"
        fix = f"`aws s3 mb s3://{bucket} --region {self._client.meta.region_name}` creates it; or correct {key}"
        return UserError("there is no such bucket", where=f"s3://{bucket}", fix=fix)

    def _call(
        self,
        operation: str,
        location: S3Uri,
        doing: str,
        *,
        miss: Collection[str] = (),
        changed: Collection[str] = (),
        source: S3Uri | None = None,
        **arguments: Any,
    ) -> Any:
        """One request on an object; None for an error code in `miss`, `ChangedError` for one in `changed`.

        Args:
            operation: name of the client's method.
            location: the object.
            doing: what is being done, for messages, as in "sending part 3".
            miss: error codes that are an answer, not a failure.
            changed: error codes which mean that `source`, or else the object, is not the one that was seen.
            source: what a copy is made from.
            arguments: of the operation.
        """
        import botocore.exceptions

        arguments |= self.options.owners(location.bucket, source.bucket if source else None)
        if source:
            arguments["CopySource"] = {"Bucket": source.bucket, "Key": source.key}
        with self._explained(doing, str(location), location.bucket):
            try:
                return getattr(self._client, operation)(Bucket=location.bucket, Key=location.key, **arguments)
            except botocore.exceptions.ClientError as error:
                code = error_code(error)
                if code in miss:
                    return None
                if operation == "complete_multipart_upload" and code in _REFUSED:
                    kind = StalePartError if code == "InvalidPart" else RefusedError
                    raise kind(f"S3 refuses to complete the upload: {error}", where=str(location)) from error
                if code == "NoSuchUpload":
                    raise UploadGoneError(
                        f"{doing} failed: somebody else has completed or aborted the upload",
                        where=str(location),
                        fix="run the command again: it looks again at what is there",
                    ) from error
                if code in changed:
                    raise ChangedError(
                        f"{doing} failed: {code}: the object was deleted or replaced", source or location
                    ) from error
                raise

    def look_at(self, below: S3Uri, account: str) -> Bucket:
        """The region of a bucket, and whether `account` owns it.

        HeadBucket and a listing below a prefix are allowed by the same permission, which may be given for the prefix alone. S3
        refuses a wrong owner and a missing permission in the same way, so only a refusal that the same request without the
        condition does not meet means another owner.

        Args:
            below: the bucket, and a prefix that the caller may list.
            account: who should own it.

        Raises:
            UserError: there is no such bucket.
        """
        with self._explained("looking for the bucket", f"s3://{below.bucket}", below.bucket):
            region, refusal = self._head_bucket(below.bucket, ExpectedBucketOwner=account)
            owned: bool | None = True
            if refusal and not self._lists(below, ExpectedBucketOwner=account):
                owned = False if self._lists(below) else None
            if owned is None and region is None and refusal:
                raise refusal
        return Bucket(region or str(self._client.meta.region_name), owned)

    def _lists(self, prefix: S3Uri, **condition: str) -> bool:
        """Whether the caller may list what is below a prefix."""
        import botocore.exceptions

        try:
            self._client.list_objects_v2(Bucket=prefix.bucket, Prefix=prefix.key, MaxKeys=1, **condition)
        except botocore.exceptions.ClientError as error:
            if error_code(error) not in _DENIED:
                raise
            return False
        return True

    def _head_bucket(self, bucket: str, **condition: str) -> tuple[str | None, ClientError | None]:
        """The region of a bucket if S3 says it, and its refusal if it refuses.

        Raises:
            UserError: there is no such bucket.
            ClientError: S3 answers something else than that, without the region.
        """
        import botocore.exceptions

        try:
            answer = self._client.head_bucket(Bucket=bucket, **condition)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in _GONE | {"NoSuchBucket"}:
                raise self._no_bucket(bucket) from error
            # S3 names the region even in its refusal to callers who may not list the bucket, or only below a prefix.
            region = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
            if region is None and error_code(error) not in _DENIED:
                raise
            return region, error
        return answer.get("BucketRegion"), None

    def aborts_unfinished_uploads(self, below: S3Uri) -> bool:
        """Whether a lifecycle rule of the bucket aborts unfinished uploads to all keys that begin with the key of `below`.

        Raises:
            AccessDeniedError: the caller may not read the rules.
        """
        import botocore.exceptions

        with self._explained("reading the lifecycle rules", f"s3://{below.bucket}", below.bucket):
            try:
                answer = self._client.get_bucket_lifecycle_configuration(
                    Bucket=below.bucket, **self.options.owners(below.bucket)
                )
            except botocore.exceptions.ClientError as error:
                if error_code(error) == "NoSuchLifecycleConfiguration":
                    return False
                raise
            return any(_aborts(rule, below.key) for rule in answer["Rules"])

    def head(self, location: S3Uri) -> ObjectInfo | None:
        """Size, ETag and checksums of an object; None if there is none."""
        answer = self._call("head_object", location, "looking for the object", miss=_GONE, ChecksumMode="ENABLED")
        if answer is None:
            return None
        sums = {name: answer[f"Checksum{name}"] for name in (CRC64NVME, CRC32, SHA256) if answer.get(f"Checksum{name}")}
        if answer.get("ChecksumType") == "COMPOSITE":
            sums = {}
        # Some stores do not name the type: then the number of parts at the end of a composite checksum shows it.
        sums = {name: value for name, value in sums.items() if "-" not in value}
        sha256 = _sha256(sums.pop(SHA256, ""))
        # In a bucket that got versioning later, or has it suspended, S3 names the version "null" of what has none.
        version = answer.get("VersionId")
        return ObjectInfo(answer["ContentLength"], answer["ETag"], None if version == "null" else version, sums, sha256)

    def read(self, location: S3Uri) -> bytes | None:
        """The content of a document; None if there is none, or one larger than any document of this program."""
        try:
            answer = self._call("get_object", location, "reading the object", miss=_GONE)
            if answer is None:
                return None
            if answer["ContentLength"] > LIMIT:
                answer["Body"].close()
                return None
            return b"".join(self._body(ObjectRef(location, answer["ETag"]), 0, answer["ContentLength"], answer))
        except ChangedError:
            return None

    def get(self, location: S3Uri, limit: int) -> bytes | None:
        """The content of an object, or its first `limit` + 1 bytes if it has more than `limit`; None if there is none.

        Raises:
            AccessDeniedError: S3 does not say whether there is one, or does not give it to this caller.
        """
        answer = self._call("get_object", location, "reading the object", miss=_GONE)
        if answer is None:
            return None
        with aws_call("reading the object", str(location)), closing(answer["Body"]) as body:
            return bytes(body.read(limit + 1))

    def open(self, seen: ObjectRef, offset: int, length: int) -> Iterator[bytes]:
        """A range of an object, in pieces; after a broken connection the next request continues where it stopped.

        Raises:
            ChangedError: the object was deleted or replaced.
            RemoteError: the connection broke five times, with less than 64 KiB between two of them.
        """
        return self._body(seen, offset, length)

    def _body(self, seen: ObjectRef, offset: int, length: int, answer: Any = None) -> Iterator[bytes]:
        import botocore.exceptions
        from urllib3.exceptions import HTTPError

        end, retries = offset + length, _READS.begin(str(seen.location))
        while offset < end:
            with retries:
                answer = answer or self._call(
                    "get_object",
                    seen.location,
                    "reading the object",
                    changed=_GONE | _DIFFERS,
                    IfMatch=seen.etag,
                    Range=f"bytes={offset}-{end - 1}",
                )
                body, answer = answer["Body"], None
                try:
                    while offset < end and (piece := body.read(min(_READ_SIZE, end - offset))):
                        offset += len(piece)
                        retries.progressed(len(piece))
                        yield piece
                except (
                    botocore.exceptions.HTTPClientError,
                    botocore.exceptions.IncompleteReadError,
                    HTTPError,
                    OSError,
                ) as error:
                    raise RetryableError(f"the response broke off at byte {offset:,}") from error
                if offset < end:
                    raise RetryableError(f"the response broke off at byte {offset:,}")

    def put(
        self,
        location: S3Uri,
        data: bytes | Path,
        *,
        content_type: str = "application/json",
        if_absent: bool = False,
        checksum: tuple[str, str] | None = None,
        options: WriteOptions | None = None,
    ) -> str | None:
        """Write an object in one request; its ETag, or None if `if_absent` and there is one.

        A conflict with another conditional write of the same key (409) counts as being there.

        Args:
            location: the object.
            data: its bytes, or the file that holds them.
            content_type: its media type.
            if_absent: whether to leave what is there.
            checksum: algorithm and base64 value. None takes the SHA-256 of bytes, which `head` then tells of the object without reading
                it, and botocore's default checksum of a file.
            options: what the object gets, if not what every object gets; the owner conditions stay those of every object.
        """
        arguments = dict((options or self.options).arguments)
        if checksum is None and isinstance(data, bytes):
            checksum = SHA256, base64.b64encode(hashlib.sha256(data).digest()).decode()
        if checksum:
            arguments[f"Checksum{checksum[0]}"] = checksum[1]
        if if_absent:
            arguments["IfNoneMatch"] = "*"
        with data.open("rb") if isinstance(data, Path) else nullcontext(data) as body:
            answer = self._call(
                "put_object",
                location,
                "writing the object",
                miss=_TAKEN | {"ConditionalRequestConflict"} if if_absent else (),
                Body=body,
                ContentType=content_type,
                **arguments,
            )
        return None if answer is None else str(answer["ETag"])

    def copy(self, seen: ObjectRef, target: S3Uri, algorithm: str) -> str | None:
        """Let S3 copy a whole object of at most 5 GiB; the ETag of the copy, or None if there is an object at `target`.

        Raises:
            ChangedError: the source was deleted or replaced.
        """
        try:
            return self._copy(seen, target, algorithm, IfNoneMatch="*")
        except ChangedError:
            # 412 does not say which of the conditions failed, and some stores apply IfNoneMatch to the source.
            return self._copy(seen, target, algorithm) if self.head(target) is None else None

    def _copy(self, seen: ObjectRef, target: S3Uri, algorithm: str, **condition: str) -> str:
        answer = self._call(
            "copy_object",
            target,
            f"copying from {seen.location}",
            changed=_GONE | _DIFFERS,
            source=seen.location,
            CopySourceIfMatch=seen.etag,
            MetadataDirective="REPLACE",
            TaggingDirective="REPLACE",
            ContentType="application/octet-stream",
            ChecksumAlgorithm=algorithm,
            **dict[str, Any](condition),
            **self.options.arguments,
        )
        return str(answer["CopyObjectResult"]["ETag"])

    def begin(self, location: S3Uri, algorithm: str) -> MultipartHandle | None:
        """Begin a multipart upload; None if the store does not know the checksum algorithm."""
        answer = self._call(
            "create_multipart_upload",
            location,
            "beginning the upload",
            miss=_UNSUPPORTED if algorithm != CRC32 else (),
            ChecksumAlgorithm=algorithm,
            ChecksumType="FULL_OBJECT",
            ContentType="application/octet-stream",
            **self.options.arguments,
        )
        return None if answer is None else MultipartHandle(location, answer["UploadId"])

    def send(
        self, upload: MultipartHandle, number: int, data: bytearray, algorithm: str, checksum: str
    ) -> UploadedPart:
        """Send a part; S3 verifies its checksum.

        Raises:
            RemoteError: S3 computed another checksum than `checksum`.
            UploadGoneError: there is no such upload any more.
        """
        answer = self._call(
            "upload_part",
            upload.location,
            f"sending part {number}",
            UploadId=upload.id,
            PartNumber=number,
            Body=Body(data),
            **dict[str, Any]({f"Checksum{algorithm}": checksum}),
        )
        if answer.get(f"Checksum{algorithm}") not in (None, checksum):
            raise RemoteError(f"S3 received other bytes for part {number} than were sent", where=str(upload.location))
        return UploadedPart(number, answer["ETag"], len(data), checksum)

    def send_copy(
        self, upload: MultipartHandle, number: int, seen: ObjectRef, offset: int, length: int
    ) -> UploadedPart:
        """Let S3 copy a range of an object as a part.

        Raises:
            ChangedError: the source was deleted or replaced.
            UploadGoneError: there is no such upload any more.
        """
        result = self._call(
            "upload_part_copy",
            upload.location,
            f"copying part {number} from {seen.location}",
            # InvalidArgument: if a shorter object replaced the source, S3 may check the range before the condition.
            changed=_GONE | _DIFFERS | {"InvalidArgument"},
            source=seen.location,
            UploadId=upload.id,
            PartNumber=number,
            CopySourceRange=f"bytes={offset}-{offset + length - 1}",
            CopySourceIfMatch=seen.etag,
        )["CopyPartResult"]
        checksum = result.get(f"Checksum{CRC64NVME}") or result.get(f"Checksum{CRC32}")
        return UploadedPart(number, result["ETag"], length, checksum)

    def parts(self, upload: MultipartHandle, first: int = 1, count: int = 10_000) -> list[UploadedPart] | None:
        """The parts that S3 has of an upload, in order, or None if it has no such upload.

        Args:
            upload: the upload.
            first: the number from which on they are listed.
            count: how many numbers from there are of interest.
        """
        parts: list[UploadedPart] = []
        marker: dict[str, Any] = {"PartNumberMarker": first - 1} if first > 1 else {}
        page: dict[str, Any] = {"MaxParts": count} if count < _PAGE else {}
        while True:
            answer = self._call(
                "list_parts",
                upload.location,
                "listing parts",
                miss=_GONE | {"NoSuchUpload"},
                UploadId=upload.id,
                **page,
                **marker,
            )
            if answer is None:
                return None
            for part in answer.get("Parts", ()):
                if part["PartNumber"] >= first + count:
                    return parts
                checksum = part.get(f"Checksum{CRC64NVME}") or part.get(f"Checksum{CRC32}")
                parts.append(UploadedPart(part["PartNumber"], part["ETag"], part["Size"], checksum))
            if not answer.get("IsTruncated") or len(parts) >= count:
                return parts
            marker = {"PartNumberMarker": answer["NextPartNumberMarker"]}

    def try_upload(self, location: S3Uri) -> None:
        """Check that the caller may send parts of an object, and list them. Nothing is written: there is no such upload.

        S3 looks at permissions before it looks for the upload.

        Raises:
            UserError: there is no such bucket, there are no credentials, or a permission is missing.
            RemoteError: S3 does not answer.
        """
        upload = MultipartHandle(location, "none")
        self.parts(upload)
        data = bytearray(1)
        self._call(
            "upload_part",
            location,
            "trying to send a part",
            miss=_GONE | {"NoSuchUpload"},
            UploadId=upload.id,
            PartNumber=1,
            Body=Body(data),
        )

    def complete(
        self, upload: MultipartHandle, parts: Sequence[UploadedPart], size: int, algorithm: str, checksum: str
    ) -> str | None:
        """Make the object from its parts, unless there is one at the key.

        Returns:
            The ETag of the object; None if there was one already, or if the upload does not exist any more.

        Raises:
            RefusedError: the parts are not there, or do not make `size` bytes with the full-object `checksum`.
            StalePartError: S3 has a part of that number with another ETag.
        """
        listed = [
            {"PartNumber": part.number, "ETag": part.etag}
            | ({f"Checksum{algorithm}": part.checksum} if part.checksum else {})
            for part in parts
        ]
        answer = self._call(
            "complete_multipart_upload",
            upload.location,
            "completing the upload",
            miss=_TAKEN | {"ConditionalRequestConflict", "NoSuchUpload"},
            UploadId=upload.id,
            MultipartUpload={"Parts": listed},
            IfNoneMatch="*",
            ChecksumType="FULL_OBJECT",
            MpuObjectSize=size,
            **dict[str, Any]({f"Checksum{algorithm}": checksum}),
        )
        return None if answer is None else str(answer["ETag"])

    def abort(self, upload: MultipartHandle) -> None:
        """Delete an upload and its parts; one that does not exist is no error."""
        self._call(
            "abort_multipart_upload",
            upload.location,
            "aborting the upload",
            miss={"NoSuchUpload"} | _GONE,
            UploadId=upload.id,
        )

    def delete(self, location: S3Uri, etag: str | None = None) -> bool:
        """Delete an object; one that does not exist is no error.

        Args:
            location: the object.
            etag: the one that it was seen with; None deletes whatever is there.

        Returns:
            Whether S3 keeps it as an earlier version: the bucket has versioning.

        Raises:
            ChangedError: it was replaced since it was seen.
        """
        condition = {"IfMatch": etag} if etag else {}
        answer = self._call(
            "delete_object", location, "deleting the object", miss=_GONE, changed=_TAKEN, **dict[str, Any](condition)
        )
        return bool(answer and answer.get("DeleteMarker"))

    def replace(self, seen: ObjectRef, data: bytes) -> bool:
        """Write a document over one that was seen; False if that was deleted or replaced meanwhile."""
        answer = self._call(
            "put_object",
            seen.location,
            "writing the object",
            miss=_GONE | _TAKEN | {"ConditionalRequestConflict"},
            Body=data,
            ContentType="application/json",
            IfMatch=seen.etag,
            **self.options.arguments,
        )
        return answer is not None

    def list(self, prefix: S3Uri) -> Iterator[ObjectSummary]:
        """The objects whose keys begin with the key of `prefix`, in key order."""
        for page in self._pages("list_objects_v2", prefix):
            for entry in page.get("Contents", ()):
                location = S3Uri(prefix.bucket, entry["Key"])
                yield ObjectSummary(location, entry["Size"], entry["ETag"], entry["LastModified"])

    def uploads(self, prefix: S3Uri) -> Iterator[MultipartHandle]:
        """The unfinished multipart uploads whose keys begin with the key of `prefix`."""
        for page in self._pages("list_multipart_uploads", prefix):
            for entry in page.get("Uploads", ()):
                yield MultipartHandle(S3Uri(prefix.bucket, entry["Key"]), entry["UploadId"], entry["Initiated"])

    def _pages(self, operation: str, prefix: S3Uri) -> Iterator[Any]:
        pages = self._client.get_paginator(operation).paginate(
            Bucket=prefix.bucket, Prefix=prefix.key, **self.options.owners(prefix.bucket)
        )
        with self._explained("listing", str(prefix), prefix.bucket):
            yield from pages


def _aborts(rule: Mapping[str, Any], key: str) -> bool:
    """Whether a lifecycle rule aborts the unfinished uploads to all keys that begin with `key`."""
    # `And` and the conditions on tags and sizes do not apply to uploads; `Prefix` alone is the form of older rules.
    prefix = rule.get("Prefix", rule.get("Filter", {}).get("Prefix", ""))
    applies = rule["Status"] == "Enabled" and "And" not in rule.get("Filter", {}) and key.startswith(prefix)
    return applies and "AbortIncompleteMultipartUpload" in rule


def _sha256(value: str) -> Digest | None:
    """The SHA-256 that S3 gives in base64; None if it gives none."""
    try:
        found = base64.b64decode(value, validate=True)
    except ValueError:
        return None
    return Digest("sha256", found.hex()) if len(found) == hashlib.sha256().digest_size else None


def _trust_tls(params: Mapping[str, Any], **_event: Any) -> None:
    """Let the checksum header replace the hash of the body, as botocore itself does with a checksum that it computed.

    Over HTTPS the payload then is sent unsigned and in one piece. Otherwise botocore would hash the body for the signature,
    or cut it into chunks to append a checksum, and either halves what one core can send. Over plain HTTP nothing
    changes: there the body is signed. A later botocore that ignores this key signs the body, too.
    """
    for name in params["headers"]:
        if name.lower().startswith(("x-amz-checksum-crc", "x-amz-checksum-sha")):
            algorithm = {"algorithm": name.rpartition("-")[2].lower(), "in": "header", "name": name}
            params["context"].setdefault("checksum", {})["request_algorithm"] = algorithm
            return
