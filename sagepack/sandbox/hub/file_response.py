"""Sending a file over HTTP: byte ranges (RFC 9110, section 14), sendfile, and the faults of a body."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sagepack.sandbox.hub.repositories import RepoFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from email.message import Message
    from io import BufferedIOBase, RawIOBase

    from sagepack.sandbox.faults import Fault, Faults, Kind

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = 1 << 20


class Content(Protocol):
    """What a response sends."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def open(self) -> RawIOBase:
        """The bytes."""

    def position(self, offset: int) -> int:
        """Where the byte at `offset` of a repository's file lies in it; if nowhere, less than 0, or `size` or more."""


class Exchange(Protocol):
    """One request and the connection that its response goes to; `http.server`'s handlers have most of this.

    Attributes:
        command: HTTP method.
        headers: headers of the request.
        wfile: writes to the connection.
        connection: the socket.
        close_connection: whether the connection is closed after the response.
    """

    command: str
    headers: Message
    wfile: BufferedIOBase
    connection: Any
    close_connection: bool

    def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Send status and headers; if `length` is 0, the response is complete."""

    def log_request_once(self, sent: int) -> None:
        """Add the request to the log, with the number of bytes of the body; only the first call counts."""


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` to `end` (exclusive) of a file of `size` bytes; `partial` if the request had a valid `Range`."""

    start: int
    end: int
    size: int
    partial: bool = False

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    @classmethod
    def parse(cls, header: str | None, size: int) -> ByteRange | None:
        """The bytes that a `Range` header requests from a file of `size` bytes.

        Several ranges and units other than bytes are ignored: the response is the whole file, as RFC 9110 allows.

        Returns:
            None if no requested byte exists (status 416).
        """
        match = _RANGE.fullmatch(header or "")
        if not match or not (match[1] or match[2]):
            return cls(0, size, size)
        if not match[1]:  # the last n bytes
            count = min(int(match[2]), size)
            return cls(size - count, size, size, partial=True) if count else None
        start, end = int(match[1]), min(int(match[2] or size), size - 1) + 1
        return cls(start, end, size, partial=True) if start < end else None


@dataclass(frozen=True)
class FileResponse:
    """The response to one request for a file.

    Attributes:
        exchange: the request and its connection.
        file: what is sent.
        path: path of the request, without the query; the patterns of faults are compared with it.
        faults: what goes wrong.
    """

    exchange: Exchange
    file: Content
    path: str
    faults: Faults

    def send(self, headers: Mapping[str, str]) -> None:
        """Send the file, or the range of it that the request names.

        Args:
            headers: headers in addition to those of type, length and range.
        """
        exchange, size = self.exchange, self.file.size
        requested = exchange.headers.get("Range")
        if requested and self._happen("ignore_range"):
            requested = None
        span = ByteRange.parse(requested, size)
        if span is None:
            exchange.start(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}, 0)
            return
        shortened = self._find("truncate")
        if shortened and span.length > shortened.value and exchange.command == "GET":
            self._happen("truncate")
            span = ByteRange(span.start, span.start + int(shortened.value), size, span.partial)
        all_headers = {"Content-Type": "application/octet-stream", **headers, "Content-Length": str(span.length)}
        if span.partial:
            all_headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{size}"
        length = 0 if exchange.command == "HEAD" else span.length
        exchange.start(206 if span.partial else 200, all_headers, length)
        if length:
            self._send_body(span)

    def _send_body(self, span: ByteRange) -> None:
        exchange, end = self.exchange, span.end
        cut, corrupt, rate = self._find("cut"), self._find("corrupt"), self._find("rate")
        if cut and span.length > cut.value:
            self._happen("cut")
            end = span.start + int(cut.value)
        flip_at = self.file.position(int(corrupt.value)) if corrupt else None
        if flip_at is not None and not span.start <= flip_at < end:
            flip_at = None
        # The last byte leaves after the request was logged: a client that has all of the body finds itself in the log.
        last = max(span.start, end - 1)
        if flip_at is not None or rate or not isinstance(self.file, RepoFile):
            for chunk in self._chunks(span.start, last, flip_at, rate.value if rate else 0):
                exchange.wfile.write(chunk)
        elif last > span.start:
            with self.file.open() as file:
                exchange.connection.sendfile(file, span.start, last - span.start)
        if flip_at is not None:
            self._happen("corrupt")
        exchange.log_request_once(end - span.start)
        for chunk in self._chunks(last, end, flip_at, 0):
            exchange.wfile.write(chunk)
        if end < span.end:
            exchange.close_connection = True
            exchange.connection.shutdown(socket.SHUT_RDWR)

    def _chunks(self, start: int, end: int, flip_at: int | None, rate: float) -> Iterator[bytes]:
        """Bytes `start` to `end`, with the bits of byte `flip_at` flipped, at most `rate` bytes per second (0: unlimited)."""
        size = max(1, min(_CHUNK, int(rate / 50))) if rate else _CHUNK
        began = time.monotonic()
        with self.file.open() as file:
            file.seek(start)
            position = start
            while position < end:
                chunk = file.read(min(size, end - position)) or b""
                if flip_at is not None and position <= flip_at < position + len(chunk):
                    flipped = bytearray(chunk)
                    flipped[flip_at - position] ^= 0xFF
                    chunk = bytes(flipped)
                position += len(chunk)
                yield chunk
                if rate:
                    time.sleep(max(0.0, (position - start) / rate - (time.monotonic() - began)))

    def _find(self, kind: Kind) -> Fault | None:
        return self.faults.find(kind, self.path, self.exchange.command)

    def _happen(self, kind: Kind) -> Fault | None:
        return self.faults.happen(kind, self.path, self.exchange.command)
