"""Checksums of ranges of an archive, and their combination. Pure.

S3 keeps a checksum of the full object, in CRC-64/NVME or CRC-32, and computes it over copied and sent parts alike. That of
an archive follows from those of its pieces without reading it: the checksums of contents are in an index, or are computed
while the contents are sent; the rest are known bytes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import CRC64NVME
from sagepack.package.archive.crc32 import combine, crc32
from sagepack.package.archive.layout import Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.archive.layout import Layout


@cache
def _awscrt() -> Any:
    # It takes a tenth of a second to import, which a run that publishes nothing does not need.
    from awscrt import checksums  # noqa: PLC0415

    return checksums


@dataclass(frozen=True)
class Checksums:
    """CRC-64/NVME and CRC-32 of `length` bytes; `a + b` are those of the bytes of `a` followed by the bytes of `b`."""

    crc64: int = 0
    crc32: int = 0
    length: int = 0

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Checksums:
        """The checksums of `data`."""
        return cls(_awscrt().crc64nvme(data), crc32(data), len(data))  # type: ignore[arg-type]

    def __add__(self, other: Checksums) -> Checksums:
        return Checksums(
            _awscrt().combine_crc64nvme(self.crc64, other.crc64, other.length),
            combine(self.crc32, other.crc32, other.length),
            self.length + other.length,
        )

    def value(self, algorithm: str) -> str:
        """The checksum as S3 writes it: base64 of its big-endian bytes."""
        raw = self.crc64.to_bytes(8, "big") if algorithm == CRC64NVME else self.crc32.to_bytes(4, "big")
        return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class ContentChecksum:
    """CRC-32 of `length` bytes of a content as they are in the file; the trailer of an archive is computed from it."""

    crc32: int = 0
    length: int = 0

    def __add__(self, other: ContentChecksum) -> ContentChecksum:
        return ContentChecksum(combine(self.crc32, other.crc32, other.length), self.length + other.length)


@dataclass(frozen=True)
class FramedChecksums:
    """The checksums of a content, or a range of it: framed as in an archive, and plain. They add up as `Checksums` do."""

    framed: Checksums = Checksums()
    plain: ContentChecksum = ContentChecksum()

    def __add__(self, other: FramedChecksums) -> FramedChecksums:
        return FramedChecksums(self.framed + other.framed, self.plain + other.plain)


def archive_sums(layout: Layout, contents: Sequence[FramedChecksums], crc: int) -> Checksums:
    """The checksums of a whole archive.

    Args:
        layout: the archive.
        contents: checksums of each member's content, in archive order.
        crc: CRC-32 of the tar stream, for the trailer.
    """
    total = Checksums()
    for piece in layout.pieces(0, layout.size, crc):
        total += Checksums.of(piece.data) if isinstance(piece, Literal) else contents[piece.index].framed
    return total
