"""Documents in S3 in which damage can be detected.

Such a document contains the SHA-256 of the rest of itself, and is accepted only if it is, byte for byte, what this program
writes for the same values. So a flipped bit, an incomplete write or an unknown field is noticed, and the document counts as
missing. It proves no more than that: whoever can write the object can also compute a new SHA-256. The release record
(`release`) binds the documents of a package together, and only their SHA-256 binds the bytes of a model.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from sagepack.decoding import MalformedError, decode_json
from sagepack.digest import fingerprint
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums

Crc32Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]
Crc64Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]
# With its quotes, as conditions take it. Any printable characters: S3 documents it as opaque.
ETag = Annotated[str, Meta(pattern=r"\A[!-~]{1,128}\Z")]
# No store has objects of a PiB, and the combination of checksums works up to that size.
ObjectSize = Annotated[int, Meta(ge=0, le=1 << 50)]
# The values of S3's `ChecksumCRC64NVME` and `ChecksumCRC32`: base64 of 8 or 4 bytes.
Checksum = Annotated[str, Meta(pattern=r"\A(?:[A-Za-z0-9+/]{11}=|[A-Za-z0-9+/]{6}==)\Z")]
Algorithm = Annotated[str, Meta(pattern=r"\A(?:CRC64NVME|CRC32)\Z")]
# As the spec's schema has it.
PackageName = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:-*[a-z0-9])*\Z", max_length=40)]
SMALL = 64 << 10  # bytes of the largest release record or pointer that is read


class SumsDocument(Struct):
    """The checksums of `length` bytes."""

    length: ObjectSize
    crc64nvme: Crc64Hex
    crc32: Crc32Hex

    @property
    def sums(self) -> Checksums:
        """The checksums as a value."""
        return Checksums(int(self.crc64nvme, 16), int(self.crc32, 16), self.length)


class FramedSums(Struct, array_like=True):
    """The checksums of a content, framed and plain, in five fields without names: documents hold thousands of them."""

    crc64: Crc64Hex
    crc32: Crc32Hex
    length: ObjectSize
    plain: Crc32Hex
    plain_length: ObjectSize

    @classmethod
    def of(cls, sums: FramedChecksums) -> FramedSums:
        """The fields of a value."""
        framed, plain = sums.framed, sums.plain
        return cls(f"{framed.crc64:016x}", f"{framed.crc32:08x}", framed.length, f"{plain.crc32:08x}", plain.length)

    @property
    def value(self) -> FramedChecksums:
        """The checksums as a value."""
        framed = Checksums(int(self.crc64, 16), int(self.crc32, 16), self.length)
        return FramedChecksums(framed, ContentChecksum(int(self.plain, 16), self.plain_length))


class _Versioned(Struct):
    version: int


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """`document` with the SHA-256 of its canonical JSON (`digest.canonical_json`) under `sha256`."""
    return {**document, "sha256": fingerprint(document).value}


def version_of(data: bytes | None) -> int | None:
    """The version that a document names; None if it is no such document."""
    try:
        return decode_json(data or b"", _Versioned).version
    except MalformedError:
        return None
