"""The bytes of a file on the Hub from any offset: signed addresses, ranges and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from sagepack.errors import IntegrityError
from sagepack.hub.http import CHUNK
from sagepack.hub.responses import extent
from sagepack.retry import RetryableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import urllib3

    from sagepack.hub.http import HttpPool
    from sagepack.hub.refusals import HubRequest
    from sagepack.retry import RetryPolicy


class FileReader:
    """Reads files of one Hub; threads may share it.

    Args:
        wire: connections.
        retry: how often a request is sent again.
    """

    def __init__(self, wire: HttpPool, retry: RetryPolicy) -> None:
        self._wire, self._retry = wire, retry
        self._signed: dict[HubRequest, str] = {}
        self._unranged: set[HubRequest] = set()

    def open(
        self, asked: HubRequest, offset: int, length: int | None, stop: threading.Event | None = None
    ) -> Iterator[bytes]:
        """The bytes from `offset` on; see `Hub.open`."""
        retries = self._retry.begin(asked.where, stop)
        position, end = offset, None if length is None else offset + length
        while end is None or position < end:
            with retries:
                for chunk in self._attempt(asked, position, end):
                    position += len(chunk)
                    retries.progressed(len(chunk))
                    yield chunk
                if end is None:
                    return

    def ranged(self, asked: HubRequest) -> bool:
        """Whether the server has honoured every `Range` asked of this file so far."""
        return asked not in self._unranged

    def _attempt(self, asked: HubRequest, start: int, end: int | None) -> Iterator[bytes]:
        """The bytes from `start` on, as far as they come; after a failure the Hub is asked for the address anew."""
        position = start
        byte_range = f"bytes={start}-{'' if end is None else end - 1}" if start or end is not None else None
        try:
            with self._wire.get(self._signed.get(asked) or self._address(asked), asked, byte_range) as (url, response):
                self._check_range(response, asked, start, end)
                if not self._wire.at_home(url):
                    self._signed[asked] = url
                for chunk in _body(response, start, end):
                    position += len(chunk)
                    yield chunk
        except RetryableError:
            self._signed.pop(asked, None)
            raise
        if end is not None and position < end:
            raise RetryableError(f"the answer ended {end - position} bytes early")

    def _address(self, asked: HubRequest) -> str:
        revision, path = quote(asked.revision or "main", safe=""), quote(asked.path or "")
        return f"{self._wire.endpoint}/{quote(asked.repo)}/resolve/{revision}/{path}"

    def _check_range(self, response: urllib3.BaseHTTPResponse, asked: HubRequest, start: int, end: int | None) -> None:
        first, size = extent(response.status, response.headers)
        if response.status == 416 or (size is not None and size < (end or 0)):
            raise IntegrityError(
                f"the Hub's file has {'fewer' if size is None else size} bytes, not the {end or start} that were expected",
                where=asked.where,
                fix="the content behind the commit changed: look at the repository, then `invoke lock --update`",
            )
        if response.status == 200 and (start or (end is not None and size != end)):
            self._unranged.add(asked)
        if response.status == 206 and first != start:
            raise RetryableError("the server sent another range than asked for")


def _body(response: urllib3.BaseHTTPResponse, start: int, end: int | None) -> Iterator[bytes]:
    """The bytes from `start` to `end` of an answer that begins at `start`, or at 0 if the range was ignored."""
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
