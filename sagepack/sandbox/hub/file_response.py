"""Sending a file over HTTP: ranges, the fast path through the kernel, and the faults of a body."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.hub.repositories import Entry
    from sagepack.sandbox.hub.server import Handler

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` (exclusive) of a file of `size` bytes; `partial` if a range was asked for."""

    start: int
    end: int
    size: int
    partial: bool = False

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    @classmethod
    def parse(cls, header: str | None, size: int) -> Span | None:
        """The span that a `Range` header asks for.

        Several ranges and units other than bytes are answered with everything, as RFC 9110 allows.

        Returns:
            None if no byte of the range exists (status 416).
        """
        match = _RANGE.fullmatch(header or "")
        if not match or not (match[1] or match[2]):
            return cls(0, size, size)
        if not match[1]:
            count = min(int(match[2]), size)
            return cls(size - count, size, size, partial=True) if count else None
        start, end = int(match[1]), min(int(match[2] or size), size - 1) + 1
        return cls(start, end, size, partial=True) if start < end else None


def send_file(handler: Handler, entry: Entry, headers: dict[str, str], faults: Faults, path: str) -> None:
    """Answer with the content of `entry`, or the range of it that was asked for.

    Args:
        handler: the request.
        entry: the file.
        headers: headers beside those of the length and range.
        faults: what goes wrong.
        path: the request's path, which faults match.
    """
    header = handler.headers.get("Range")
    if header and faults.happen("ignore_range", path, handler.command):
        header = None
    span = Span.parse(header, entry.size)
    if span is None:
        handler.start(416, {"Content-Range": f"bytes */{entry.size}", "Content-Length": "0"}, 0)
        return
    shortened = faults.find("truncate", path, handler.command)
    if shortened and span.length > shortened.value and handler.command == "GET":
        faults.happen("truncate", path, handler.command)
        span = Span(span.start, span.start + int(shortened.value), span.size, span.partial)
    if span.partial:
        headers = {**headers, "Content-Range": f"bytes {span.start}-{span.end - 1}/{entry.size}"}
    headers = {"Content-Type": "application/octet-stream", **headers, "Content-Length": str(span.length)}
    length = 0 if handler.command == "HEAD" else span.length
    handler.start(206 if span.partial else 200, headers, length)
    if length:
        _send_body(handler, entry, span, faults, path)


def _send_body(handler: Handler, entry: Entry, span: Span, faults: Faults, path: str) -> None:
    cut = faults.find("cut", path, handler.command)
    end = span.end
    if cut and span.length > cut.value:
        faults.happen("cut", path, handler.command)
        end = span.start + int(cut.value)
    flipped = faults.find("corrupt", path, handler.command)
    damaged = flipped is not None and span.start <= flipped.value < end
    rate = faults.find("rate", path, handler.command)
    last = max(span.start, end - 1)
    at = int(flipped.value) if flipped and damaged else None
    if damaged or rate:
        for chunk in _chunks(entry, span.start, last, at, rate.value if rate else 0):
            handler.wfile.write(chunk)
    elif last > span.start:
        with entry.file.open("rb") as file:
            handler.connection.sendfile(file, span.start, last - span.start)
    if damaged:
        faults.happen("corrupt", path, handler.command)
    handler.answered(end - span.start)
    for chunk in _chunks(entry, last, end, at, 0):
        handler.wfile.write(chunk)
    if end < span.end:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)


def _chunks(entry: Entry, start: int, end: int, flip_at: int | None, rate: float) -> Iterator[bytes]:
    size = max(1, min(_CHUNK, int(rate / 50))) if rate else _CHUNK
    began = time.monotonic()
    with entry.file.open("rb") as file:
        file.seek(start)
        position = start
        while position < end:
            chunk = bytearray(file.read(min(size, end - position)))
            if flip_at is not None and position <= flip_at < position + len(chunk):
                chunk[flip_at - position] ^= 0xFF
            position += len(chunk)
            yield bytes(chunk)
            if rate:
                time.sleep(max(0.0, (position - start) / rate - (time.monotonic() - began)))
