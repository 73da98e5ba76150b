"""Reads a file of the Hub from any offset: from Xet storage, or by signed URLs of the CDN; range requests, retries."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from sagepack.errors import IntegrityError
from sagepack.hub.http import CHUNK
from sagepack.hub.ranges import Range, RangeQueue
from sagepack.hub.responses import content_extent
from sagepack.hub.xet import SMALLEST, XetFile, XetReader, XetUnavailableError
from sagepack.retry import RetryableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator

    import urllib3

    from sagepack.hub.http import HttpPool
    from sagepack.hub.refusals import HubRequest
    from sagepack.retry import RetryPolicy


class FileReader:
    """Reads the files of one Hub. Threads may share it.

    Args:
        pool: connections.
        retry: how often a request is sent again.
    """

    def __init__(self, pool: HttpPool, retry: RetryPolicy) -> None:
        self._pool, self._retry = pool, retry
        self._signed_urls: dict[HubRequest, str] = {}
        self._without_ranges: set[HubRequest] = set()
        self._xet = XetReader(pool, retry)
        self._xet_files: dict[HubRequest, XetFile | None] = {}

    def open(
        self, request: HubRequest, offset: int, length: int | None, stop: threading.Event | None = None
    ) -> Iterator[bytes]:
        """The bytes from `offset` on; arguments and errors are those of `Hub.open`."""
        if length is None:
            yield from self._from_cdn(request, offset, None, stop)
            return
        self.in_xet(request, length, stop)
        for _, chunk in self.ranges(request, [Range(offset, offset + length)], stop):
            yield chunk

    def in_xet(self, request: HubRequest, length: int, stop: threading.Event | None = None) -> bool:
        """Whether a file of which so many bytes are wanted comes from Xet storage; it is asked once for each large file."""
        return (
            self._xet.is_usable
            and (request in self._xet_files or length >= SMALLEST)
            and self._xet_file(request, stop) is not None
        )

    def ranges(
        self, request: HubRequest, ranges: Iterable[Range], stop: threading.Event | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Chunks of several ranges with their offsets; from Xet storage if `in_xet` has found the file there."""
        queue = RangeQueue(ranges)
        file = self._xet_files.get(request) if self._xet.is_usable else None
        if file:
            with suppress(XetUnavailableError):
                yield from self._xet.read(request, file, queue, stop)
        while span := queue.take():
            position = span.start
            for chunk in self._from_cdn(request, position, span.end, stop):
                yield position, chunk
                position += len(chunk)

    def _from_cdn(
        self, request: HubRequest, position: int, end: int | None, stop: threading.Event | None
    ) -> Iterator[bytes]:
        retries = self._retry.begin(request.where, stop)
        while end is None or position < end:
            with retries:
                for chunk in self._attempt(request, position, end):
                    position += len(chunk)
                    retries.progressed(len(chunk))
                    yield chunk
                if end is None:
                    return

    def ranged(self, request: HubRequest) -> bool:
        """Whether the server has respected `Range` in every request for this file so far."""
        return request not in self._without_ranges

    def _xet_file(self, request: HubRequest, stop: threading.Event | None) -> XetFile | None:
        """What Xet storage has for a file: what the redirect of its address says, which leads to the CDN otherwise."""
        retries = self._retry.begin(request.where, stop)
        while request not in self._xet_files:
            with (
                retries,
                self._pool.get(self._resolve_url(request), request, "bytes=0-0", leave=False) as (url, response),
            ):
                if not self._pool.is_endpoint(url):
                    self._signed_urls[request] = url
                self._xet_files[request] = XetFile.of(response.headers)
        return self._xet_files[request]

    def _attempt(self, request: HubRequest, start: int, end: int | None) -> Iterator[bytes]:
        """The bytes from `start` on that one request gives. After a failure the next attempt gets a new URL from the Hub."""
        position = start
        byte_range = f"bytes={start}-{'' if end is None else end - 1}" if start or end is not None else None
        try:
            with self._pool.get(self._signed_urls.get(request) or self._resolve_url(request), request, byte_range) as (
                url,
                response,
            ):
                self._check_range(response, request, start, end)
                if not self._pool.is_endpoint(url):
                    self._signed_urls[request] = url
                for chunk in _body(response, start, end):
                    position += len(chunk)
                    yield chunk
        except RetryableError:
            self._signed_urls.pop(request, None)
            raise
        if end is not None and position < end:
            raise RetryableError(f"the response ended {end - position} bytes early")

    def _resolve_url(self, request: HubRequest) -> str:
        revision, path = quote(request.revision or "main", safe=""), quote(request.path or "")
        return f"{self._pool.endpoint}/{quote(request.repo)}/resolve/{revision}/{path}"

    def _check_range(
        self, response: urllib3.BaseHTTPResponse, request: HubRequest, start: int, end: int | None
    ) -> None:
        first, size = content_extent(response.status, response.headers)
        if response.status == 416 or (size is not None and size < (end or 0)):
            raise IntegrityError(
                f"the file has {'fewer' if size is None else size} bytes on the Hub, {end or start} were expected",
                where=request.where,
                fix="the repository was changed at this commit: inspect it, then run `invoke lock --update`",
            )
        if response.status == 200 and (start or (end is not None and size != end)):
            self._without_ranges.add(request)
        if response.status == 206 and first != start:
            raise RetryableError("the server sent another range than the requested one")


def _body(response: urllib3.BaseHTTPResponse, start: int, end: int | None) -> Iterator[bytes]:
    """The bytes from `start` to `end` of the file, from a response that begins at `start`, or at 0 if `Range` was ignored."""
    skip = start if response.status == 200 else 0
    left = None if end is None else end - start
    while left is None or left > 0:
        chunk = response.read(CHUNK, decode_content=False)
        if not chunk:
            return
        if skip:
            skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
        if left is not None:
            chunk = chunk[:left]
            left -= len(chunk)
        if chunk:
            yield chunk
