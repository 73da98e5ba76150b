"""What this machine itself knows of objects in S3: that the bytes of an object, under one ETag, are those of a manifest.

S3 may copy from an object on this evidence, because it comes from only two sources: this machine wrote the object, hashed
every byte while it was sent, and got that ETag in the response; or it read the bytes once, under that ETag, and hashed them.
The documents next to an object (an index, checksums) are no such evidence: who can write the object can write them too.

<folder>/<16 hex of the SHA-256 of the package's URI>.json, one file per package. If one is lost, the package is read again.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec import Struct

from sagepack.aws.s3_types import S3Uri
from sagepack.decoding import Crc32, DigestText, Sha256Hex, Size, Text, seal, unseal
from sagepack.digest import Digest, fingerprint
from sagepack.files import write_atomically
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.sealed import Crc64Hex

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1
_LOOKED_AT = 4  # files of packages that may be those of other specs
Range = tuple[int, int]


@dataclass(frozen=True)
class Verified:
    """Bytes of one object that were verified against a manifest.

    Attributes:
        etag: of the object; another ETag is another object.
        manifest_digest: of the manifest whose archive the object is; None for a file of a prefix.
        ranges: half-open ranges of bytes, sorted, that do not touch each other.
        sums: checksums of each content that lies in the ranges, computed by this machine.
    """

    etag: str
    manifest_digest: Digest | None = None
    ranges: tuple[Range, ...] = ()
    sums: Mapping[Digest, FramedChecksums] = field(default_factory=dict)

    def missing(self, start: int, end: int) -> list[Range]:
        """The parts of `[start, end)` that are not verified."""
        found = []
        for index in range(bisect_right(self.ranges, start, key=itemgetter(1)), len(self.ranges)):
            low, high = self.ranges[index]
            if low >= end:
                break
            if start < low:
                found.append((start, low))
            start = high
        return [*found, (start, end)] if start < end else found

    def joined(self, other: Verified | None) -> Verified:
        """What both say, if they are about the same object; otherwise this one."""
        if other is None or (other.etag, other.manifest_digest) != (self.etag, self.manifest_digest):
            return self
        ranges: list[Range] = []
        for low, high in sorted((*self.ranges, *other.ranges)):
            if ranges and low <= ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
            else:
                ranges.append((low, high))
        return Verified(self.etag, self.manifest_digest, tuple(ranges), {**other.sums, **self.sums})


class VerifiedObjects:
    """The files in which this knowledge is stored. Reading never fails: a missing or damaged file means that nothing is known.

    Args:
        folder: of the files; None stores nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def of(self, package: S3Uri) -> dict[str, Verified]:
        """What is known of the objects of the package at `package`, by key."""
        if self._folder is None:
            return {}
        try:
            document = unseal(_path(self._folder, package).read_bytes(), VERSION, _Document)
        except OSError:
            return {}
        if document is None or document.package != str(package):
            return {}
        return {known.key: known.value() for known in document.objects}

    def newest(self, below: S3Uri) -> S3Uri | None:
        """The package under `below` of which this machine learned something last."""
        files = sorted(self._folder.glob("*.json"), key=_modified, reverse=True) if self._folder else []
        for path in files[:_LOOKED_AT]:
            with suppress(OSError):
                document = unseal(path.read_bytes(), VERSION, _Document)
                if document and document.package.startswith(str(below.child(""))):
                    return S3Uri.parse(document.package)
        return None

    def add(self, package: S3Uri, objects: Mapping[str, Verified]) -> None:
        """Add to what is known of a package.

        Raises:
            UserError: the disk is full, or the file may not be written.
        """
        if self._folder is None:
            return
        known = self.of(package)
        merged = {**known, **{key: value.joined(known.get(key)) for key, value in objects.items()}}
        entries = tuple(_Object.of(key, value) for key, value in sorted(merged.items()))
        write_atomically(_path(self._folder, package), seal(_Document(str(package), entries), VERSION))


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another command has just removed it
        return 0.0


def _path(folder: Path, package: S3Uri) -> Path:
    return folder / f"{fingerprint(str(package)).short}.json"


class _Object(Struct, forbid_unknown_fields=True):
    key: Text
    etag: Text
    manifest: DigestText | None
    ranges: tuple[tuple[Size, Size], ...]
    # CRC-64/NVME in hex (JSON's integers end at 2^63), CRC-32 and length framed, CRC-32 and length plain.
    sums: dict[Sha256Hex, tuple[Crc64Hex, Crc32, Size, Crc32, Size]]

    @classmethod
    def of(cls, key: str, value: Verified) -> _Object:
        sums = {
            digest.value: (f"{s.framed.crc64:016x}", s.framed.crc32, s.framed.length, s.plain.crc32, s.plain.length)
            for digest, s in value.sums.items()
        }
        return cls(key, value.etag, str(value.manifest_digest) if value.manifest_digest else None, value.ranges, sums)

    def value(self) -> Verified:
        sums = {
            Digest("sha256", digest): FramedChecksums(
                Checksums(int(crc64, 16), framed, length), ContentChecksum(plain, size)
            )
            for digest, (crc64, framed, length, plain, size) in self.sums.items()
        }
        return Verified(self.etag, Digest.parse(self.manifest) if self.manifest else None, self.ranges, sums)


class _Document(Struct, forbid_unknown_fields=True):
    package: Text
    objects: tuple[_Object, ...]


def verified_file(etag: str, content: Digest, sums: Checksums) -> Verified:
    """An object that is one file of a prefix."""
    return Verified(etag, None, ((0, sums.length),), {content: FramedChecksums(sums, ContentChecksum())})
