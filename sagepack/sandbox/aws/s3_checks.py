"""Checksums as S3 computes and compares them, and the checks of CompleteMultipartUpload."""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moto.s3.models import FakeMultipart

HEADER = "x-amz-checksum-"
"""The common start of the names of checksum headers."""


def _crc64nvme(data: bytes) -> bytes:
    from awscrt import checksums

    return int(checksums.crc64nvme(data)).to_bytes(8, "big")


def _crc32c(data: bytes) -> bytes:
    from awscrt import checksums

    return int(checksums.crc32c(data)).to_bytes(4, "big")


_ALGORITHMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": _crc32c,
    "CRC64NVME": _crc64nvme,
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}


def checksum(algorithm: str, data: bytes) -> str:
    """A checksum in S3's format: base64 of the bytes, most significant first."""
    return base64.b64encode(_ALGORITHMS[algorithm](data)).decode()


def s3_error(code: str, message: str, **details: str) -> Exception:
    """The exception that moto turns into an S3 error response; `details` become elements of its XML."""
    from moto.s3.exceptions import S3ClientError

    error = S3ClientError(code, message)
    for name, value in details.items():
        setattr(error, name, value)
    return error


def given_checksums(headers: Mapping[str, str], raw_body: bytes) -> dict[str, str]:
    """Algorithm -> checksum, from the headers or the trailer of a chunked body."""
    found = {name: headers[HEADER + name.lower()] for name in _ALGORITHMS if headers.get(HEADER + name.lower())}
    trailer = headers.get("x-amz-trailer", "").lower()
    if trailer.startswith(HEADER) and trailer.removeprefix(HEADER).upper() in _ALGORITHMS:
        match = re.search(re.escape(trailer.encode()) + rb":\s*([A-Za-z0-9+/=]+)", raw_body[-300:])
        if match:
            found[trailer.removeprefix(HEADER).upper()] = match[1].decode()
    return found


def check_body(headers: Mapping[str, str], body: bytes, raw_body: bytes) -> dict[str, str]:
    """Compare the checksums and the Content-MD5 of a request with its body.

    Args:
        headers: headers of the request.
        body: the decoded body.
        raw_body: the body with its chunk headers and trailer, as it was sent.

    Returns:
        Algorithm -> checksum of the request.

    Raises:
        moto's S3ClientError: one of them differs (`BadDigest`).
    """
    given = given_checksums(headers, raw_body)
    for algorithm, value in given.items():
        if value != checksum(algorithm, body):
            raise s3_error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")
    md5 = headers.get("Content-MD5")
    if md5 and md5 != base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode():
        raise s3_error("BadDigest", "The Content-MD5 you specified did not match what we received.")
    return given


def declared_checksum(upload: FakeMultipart) -> tuple[str | None, str]:
    """Algorithm and checksum type that an upload was created with.

    Without an algorithm, S3 adds a CRC64NVME of the full object.
    """
    algorithm = upload.metadata.get("x-amz-checksum-algorithm")
    default = "FULL_OBJECT" if algorithm in {None, "CRC64NVME"} else "COMPOSITE"
    return algorithm, upload.metadata.get("x-amz-checksum-type") or default


def check_completion(upload: FakeMultipart, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Check parts, sizes and checksums as CompleteMultipartUpload does.

    Args:
        upload: moto's upload.
        headers: headers of the request.
        body: the XML document with the list of parts.

    Returns:
        Elements of the response: the checksum of the full object and its type; empty for a composite checksum.

    Raises:
        moto's S3ClientError: a check fails.
    """
    algorithm, checksum_type = declared_checksum(upload)
    parts = _parts(body)
    numbers = [number for number, _ in parts]
    if numbers != sorted(set(numbers)):
        raise s3_error("InvalidPartOrder", "The list of parts was not in ascending order.")
    _check_parts(upload, parts, algorithm, checksum_type)
    whole = b"".join(upload.parts[number].value for number in numbers if number in upload.parts)
    size = headers.get("x-amz-mp-object-size")
    if size and int(size) != len(whole):
        problem = (
            f"The provided 'x-amz-mp-object-size' header value {size} does not match what was computed: {len(whole)}"
        )
        raise s3_error("InvalidRequest", problem)
    if checksum_type != "FULL_OBJECT":
        return {}
    name, computed = algorithm or "CRC64NVME", checksum(algorithm or "CRC64NVME", whole)
    for given, value in given_checksums(headers, b"").items():
        if given != name or value != computed:
            raise s3_error("BadDigest", f"The {given} you specified did not match the calculated checksum.")
    return {f"Checksum{name}": computed, "ChecksumType": checksum_type}


def _parts(body: bytes) -> list[tuple[int, dict[str, str]]]:
    """Number and other elements of each part in the request."""
    root = ET.fromstring(body)  # noqa: S314 - loopback, and moto parses it again
    found = []
    for part in root.iter():
        if part.tag.rpartition("}")[2] == "Part":
            values = {child.tag.rpartition("}")[2]: child.text or "" for child in part}
            found.append((int(values.pop("PartNumber")), values))
    return found


def _check_parts(
    upload: FakeMultipart, parts: list[tuple[int, dict[str, str]]], algorithm: str | None, checksum_type: str
) -> None:
    for number, values in parts:
        stored = upload.parts.get(number)
        sums = {name.removeprefix("Checksum"): value for name, value in values.items() if name.startswith("Checksum")}
        if algorithm and checksum_type == "COMPOSITE" and algorithm not in sums:
            message = (
                f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the "
                f"checksum for each part. It was missing for part {number} in the request."
            )
            raise s3_error("InvalidRequest", message)
        for name, value in sums.items():
            if (
                stored is None
                or algorithm is None
                or (stored.checksum_algorithm, stored.checksum_value) != (name, value)
            ):
                raise s3_error(
                    "InvalidPart",
                    "One or more of the specified parts could not be found. The part may not have "
                    "been uploaded, or the specified entity tag may not match the part's entity tag.",
                )
