"""CRC-32 of an archive's tar stream, combined from those of its contents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isal import isal_zlib

from sagepack.package.archive.tar_header import END, padding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.archive.layout import Layout


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """CRC-32 of `data` after bytes whose CRC-32 is `value`; the value of `zlib.crc32`, at the speed of memory."""
    result: int = isal_zlib.crc32(data, value)
    return result


def combine(first: int, second: int, length: int) -> int:
    """CRC-32 of the concatenation of two byte strings, from the CRC-32 of each and the length of the second."""
    result: int = isal_zlib.crc32_combine(first, second, length)
    return result


def tar_crc(layout: Layout, contents: Sequence[int]) -> int:
    """CRC-32 of the whole tar stream, as in the trailer of the archive.

    Args:
        layout: the archive.
        contents: CRC-32 of each member's content, in archive order.
    """
    value = 0
    for entry, content in zip(layout.entries, contents, strict=True):
        value = crc32(entry.raw_header, value)
        value = combine(value, content, entry.size)
        value = crc32(bytes(padding(entry.size)), value)
    return crc32(END, value)
