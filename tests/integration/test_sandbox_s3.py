"""The sandbox's S3, used by the real boto3: the checks of S3 that moto does not make."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from awscrt import checksums
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Servers

MIB = 1 << 20
KEY = "models/model.tar.gz"


@pytest.fixture
def s3(client: Callable[[str], Any]) -> Any:
    return client("s3")


@pytest.fixture
def bucket(sandbox: Servers) -> str:
    return sandbox.bucket


def crc64(data: bytes) -> str:
    return base64.b64encode(int(checksums.crc64nvme(data)).to_bytes(8, "big")).decode()


def crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def code(call: Callable[..., Any], **arguments: Any) -> str:
    """The error code that a call fails with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def upload(s3: Any, bucket: str, **options: Any) -> dict[str, str]:
    options.setdefault("ChecksumAlgorithm", "CRC64NVME")
    made = s3.create_multipart_upload(Bucket=bucket, Key=KEY, **options)
    return {"Bucket": bucket, "Key": KEY, "UploadId": made["UploadId"]}


def sent(s3: Any, where: dict[str, str], *bodies: bytes, algorithm: str = "CRC64NVME") -> list[dict[str, Any]]:
    parts = []
    for number, body in enumerate(bodies, 1):
        response = s3.upload_part(**where, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        parts.append({"PartNumber": number, "ETag": response["ETag"], name: response[name]})
    return parts


def test_a_put_with_a_wrong_checksum_is_rejected(s3: Any, bucket: str) -> None:
    for wrong in (
        {"ChecksumCRC32": crc32(b"other")},
        {"ChecksumCRC64NVME": crc64(b"other")},
        {"ChecksumSHA256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()},
        {"ContentMD5": base64.b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()},
    ):
        assert code(s3.put_object, Bucket=bucket, Key="k", Body=b"this", **wrong) == "BadDigest"
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_the_checksum_of_a_put_is_stored(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"this", ChecksumAlgorithm="CRC64NVME")
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == crc64(b"this")
    sha256 = base64.b64encode(hashlib.sha256(b"this").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"this", ChecksumSHA256=sha256)
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == sha256


def test_a_checksum_within_the_bytes_is_none_of_the_object(s3: Any, bucket: str) -> None:
    claimed = b"x-amz-checksum-sha256:" + base64.b64encode(hashlib.sha256(b"other").digest()) + b"\r\n"
    s3.put_object(Bucket=bucket, Key="k", Body=claimed, ChecksumAlgorithm="SHA256")
    expected = base64.b64encode(hashlib.sha256(claimed).digest()).decode()
    assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"] == expected


def test_a_part_with_a_wrong_checksum_is_rejected(s3: Any, bucket: str) -> None:
    where = upload(s3, bucket)
    send = partial(s3.upload_part, **where, PartNumber=1, Body=b"this")
    assert code(send, ChecksumCRC64NVME=crc64(b"other")) == "BadDigest"
    assert code(send, ChecksumAlgorithm="CRC32") == "InvalidRequest"


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32"])
def test_the_checksum_of_the_whole_object_is_checked_and_stored(s3: Any, bucket: str, algorithm: str) -> None:
    count = crc64 if algorithm == "CRC64NVME" else crc32
    first, second = os.urandom(5 * MIB), os.urandom(100)
    where = upload(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = {"Parts": sent(s3, where, first, second, algorithm=algorithm)}
    complete = partial(
        s3.complete_multipart_upload, **where, MultipartUpload=parts, ChecksumType="FULL_OBJECT", IfNoneMatch="*"
    )
    whole = {f"Checksum{algorithm}": count(first + second)}
    assert code(complete, **{f"Checksum{algorithm}": count(first)}) == "BadDigest"
    assert code(complete, **whole, MpuObjectSize=1) == "InvalidRequest"
    done = complete(**whole, MpuObjectSize=len(first + second))
    assert done[f"Checksum{algorithm}"] == count(first + second)
    head = s3.head_object(Bucket=bucket, Key=KEY, ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == count(first + second)
    assert head["ChecksumType"] == "FULL_OBJECT"


def test_completing_an_upload_checks_order_and_checksums_of_the_parts(s3: Any, bucket: str) -> None:
    where = upload(s3, bucket)
    parts = sent(s3, where, os.urandom(5 * MIB), b"end")
    complete = partial(s3.complete_multipart_upload, **where)
    assert code(complete, MultipartUpload={"Parts": parts[::-1]}) == "InvalidPartOrder"
    wrong = {**parts[1], "ChecksumCRC64NVME": crc64(b"other")}
    assert code(complete, MultipartUpload={"Parts": [parts[0], wrong]}) == "InvalidPart"
    assert complete(MultipartUpload={"Parts": parts})["ETag"]


def test_a_composite_checksum_needs_the_checksum_of_every_part(s3: Any, bucket: str) -> None:
    where = upload(s3, bucket, ChecksumAlgorithm="SHA256")
    parts = sent(s3, where, b"only", algorithm="SHA256")
    bare = [{key: part[key] for key in ("PartNumber", "ETag")} for part in parts]
    complete = partial(s3.complete_multipart_upload, **where)
    assert code(complete, MultipartUpload={"Parts": bare}) == "InvalidRequest"
    assert complete(MultipartUpload={"Parts": parts})["ETag"]


def test_listed_parts_have_their_checksums(s3: Any, bucket: str) -> None:
    where = upload(s3, bucket)
    parts = sent(s3, where, b"x" * 5 * MIB, b"end")
    listed = s3.list_parts(**where)["Parts"]
    assert [(part["PartNumber"], part["ChecksumCRC64NVME"], part["Size"]) for part in listed] == [
        (part["PartNumber"], part["ChecksumCRC64NVME"], size) for part, size in zip(parts, (5 * MIB, 3), strict=True)
    ]


def test_a_listing_of_parts_continues_after_a_number_whatever_is_missing_before_it(s3: Any, bucket: str) -> None:
    where = upload(s3, bucket)
    for number in (3, 4, 9):
        s3.upload_part(**where, PartNumber=number, Body=b"x", ChecksumAlgorithm="CRC64NVME")

    def numbers(**how: int) -> tuple[list[int], bool]:
        answer = s3.list_parts(**where, **how)
        return [part["PartNumber"] for part in answer.get("Parts", ())], answer["IsTruncated"]

    assert numbers() == ([3, 4, 9], False)
    assert numbers(PartNumberMarker=2, MaxParts=2) == ([3, 4], True)
    assert numbers(PartNumberMarker=3) == ([4, 9], False)
    assert numbers(PartNumberMarker=9) == ([], False)


def test_an_upload_can_have_both_copied_and_sent_parts(s3: Any, bucket: str) -> None:
    source = os.urandom(6 * MIB)
    etag = s3.put_object(Bucket=bucket, Key="source", Body=source)["ETag"]
    where = upload(s3, bucket)
    copied = s3.upload_part_copy(
        **where,
        PartNumber=1,
        CopySource=f"{bucket}/source",
        CopySourceRange=f"bytes=100-{5 * MIB + 199}",
        CopySourceIfMatch=etag,
    )["CopyPartResult"]
    body = source[100 : 5 * MIB + 200]
    assert copied["ChecksumCRC64NVME"] == crc64(body)
    last = s3.upload_part(**where, PartNumber=2, Body=b"end", ChecksumAlgorithm="CRC64NVME")
    names = ("ETag", "ChecksumCRC64NVME")
    parts = [{"PartNumber": n, **{key: part[key] for key in names}} for n, part in ((1, copied), (2, last))]
    s3.complete_multipart_upload(
        **where, MultipartUpload={"Parts": parts}, ChecksumCRC64NVME=crc64(body + b"end"), IfNoneMatch="*"
    )
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == body + b"end"


def test_a_copy_checks_the_conditions_on_its_source(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    where = upload(s3, bucket)
    copy = partial(s3.upload_part_copy, **where, PartNumber=1)
    assert code(copy, CopySource=f"{bucket}/source", CopySourceIfMatch='"0"') == "PreconditionFailed"
    assert code(copy, CopySource=f"{bucket}/source", CopySourceRange="bytes=0-10") == "InvalidArgument"
    assert code(copy, CopySource=f"{bucket}/nothing") == "NoSuchKey"
    whole = {"Bucket": bucket, "Key": "t", "CopySource": f"{bucket}/source"}
    assert code(s3.copy_object, **whole, CopySourceIfMatch='"0"') == "PreconditionFailed"


def test_a_write_whose_condition_on_the_target_is_not_met_changes_nothing(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"old")
    assert code(s3.put_object, Bucket=bucket, Key=KEY, Body=b"new", IfNoneMatch="*") == "PreconditionFailed"
    where = upload(s3, bucket)
    parts = {"Parts": sent(s3, where, b"new")}
    for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
        complete = partial(s3.complete_multipart_upload, **where, MultipartUpload=parts)
        assert code(complete, **condition) == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"old"


def test_an_unknown_upload_and_a_wrong_bucket_owner_are_rejected(s3: Any, bucket: str) -> None:
    gone = {"Bucket": bucket, "Key": KEY, "UploadId": "gone"}
    part = {"PartNumber": 1, "ETag": "x"}
    assert code(s3.upload_part, **gone, PartNumber=1, Body=b"x") == "NoSuchUpload"
    assert code(s3.complete_multipart_upload, **gone, MultipartUpload={"Parts": [part]}) == "NoSuchUpload"
    assert code(s3.list_parts, **gone) == "NoSuchUpload"
    put = partial(s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    assert code(put, ExpectedBucketOwner="111111111111") == "AccessDenied"
    assert put(ExpectedBucketOwner="123456789012")["ETag"]


def test_injected_statuses_and_the_bytes_of_requests_are_in_the_log(sandbox: Servers, s3: Any, bucket: str) -> None:
    sandbox.aws.faults.status(f"/{bucket}/k", 503, method="PUT")
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000)  # the client retries
    puts = [request for request in sandbox.aws.faults.log if request.method == "PUT"]
    assert [request.status for request in puts] == [503, 200]
    assert puts[-1].received >= 1000
