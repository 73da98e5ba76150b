"""Xet storage: how the content-addressed store of the Hub describes a file, and the bytes that it serves.

A file is a sequence of terms, runs of chunks that lie in xorbs. Here the chunks of a file are cut every 64 KiB, and its xorbs
hold them in order; they are made from the file while they are sent. Formats and limits are those that hf_xet 1.8.0 reads. It
compares no hash with the content, so that any name that depends on the content will do.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sagepack.sandbox.hub.repositories import sha256_of_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sagepack.sandbox.hub.file_response import ByteRange
    from sagepack.sandbox.hub.repositories import RepoFile

CHUNK = 1 << 16
CHUNKS = 1023  # of a xorb, which has at most 64 MiB
_HEADER = 8  # bytes before each chunk
_STEP = CHUNK + _HEADER

Version = Literal["v1", "v2"]


@dataclass(frozen=True)
class Xorb:
    """The chunks of a file from number `CHUNKS * number` on; a `Content` of `file_response`."""

    file: RepoFile
    number: int

    @property
    def size(self) -> int:
        """Bytes of its chunks with their headers; 0 or less if the file has no such xorb."""
        content = min(self.file.size - self.number * CHUNKS * CHUNK, CHUNKS * CHUNK)
        return content + -(-content // CHUNK) * _HEADER

    @property
    def hash(self) -> str:
        """Its name."""
        return sha256_of_text(f"{self.file.xet_hash} {self.number}")

    def open(self) -> io.RawIOBase:
        """The bytes."""
        return _XorbStream(self)

    def position(self, offset: int) -> int:
        """Where the byte at `offset` of the file lies; not a position of this xorb if another one has it."""
        chunk, rest = divmod(offset, CHUNK)
        return (chunk - self.number * CHUNKS) * _STEP + _HEADER + rest


class _XorbStream(io.RawIOBase):
    """Reads a xorb, which exists nowhere as a whole."""

    def __init__(self, xorb: Xorb) -> None:
        self._xorb, self._position = xorb, 0
        self._content = xorb.file.open()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, _whence: int = io.SEEK_SET) -> int:
        self._position = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        start, rest = self._position, max(0, self._xorb.size - self._position)
        end = start + (rest if size < 0 else min(size, rest))
        first = start // _STEP
        self._content.seek((self._xorb.number * CHUNKS + first) * CHUNK)
        data = memoryview(self._content.read((-(-end // _STEP) - first) * CHUNK) or b"")
        parts: list[memoryview] = []
        for at in range(0, len(data), CHUNK):
            chunk = data[at : at + CHUNK]
            parts += [memoryview(_chunk_header(len(chunk))), chunk]
        self._position = end
        return b"".join(_between(parts, start - first * _STEP, end - first * _STEP))

    def close(self) -> None:
        self._content.close()
        super().close()


def _between(parts: Iterable[memoryview], start: int, end: int) -> Iterator[memoryview]:
    """The bytes `start` to `end` of all parts together."""
    position = 0
    for part in parts:
        yield part[max(0, start - position) : max(0, end - position)]
        position += len(part)


def _chunk_header(length: int) -> bytes:
    """Version 0, length of the data, scheme 0 (not compressed), length of the content."""
    size = length.to_bytes(3, "little")
    return b"\0" + size + b"\0" + size


def reconstruction(file: RepoFile, span: ByteRange, version: Version, link: Callable[[Xorb], str]) -> dict[str, Any]:
    """The document from which a client rebuilds a range of a file: which chunks to take, and where they lie.

    Args:
        file: the file.
        span: the range.
        version: of the API, whose documents differ in where the URLs are.
        link: the URL of a xorb.
    """
    first, last = span.start // CHUNK, -(-span.end // CHUNK)
    terms: list[dict[str, Any]] = []
    places: dict[str, list[dict[str, Any]]] = {}
    for number in range(first // CHUNKS, -(-last // CHUNKS)):
        xorb, base = Xorb(file, number), number * CHUNKS
        start, end = max(first, base), min(last, base + CHUNKS)
        content = min(end * CHUNK, file.size) - start * CHUNK
        chunks = {"start": start - base, "end": end - base}
        begin = chunks["start"] * _STEP
        inclusive = {"start": begin, "end": begin + content + (end - start) * _HEADER - 1}
        terms.append({"hash": xorb.hash, "unpacked_length": content, "range": chunks})
        if version == "v2":
            places[xorb.hash] = [{"url": link(xorb), "ranges": [{"chunks": chunks, "bytes": inclusive}]}]
        else:
            places[xorb.hash] = [{"range": chunks, "url": link(xorb), "url_range": inclusive}]
    key = "xorbs" if version == "v2" else "fetch_info"
    return {"offset_into_first_range": span.start - first * CHUNK, "terms": terms, key: places}
