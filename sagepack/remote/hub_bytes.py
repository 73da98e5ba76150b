"""The bytes of a file on the Hub from any offset: redirects, ranges, retries, and a token that stays at its origin."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

from sagepack import __version__
from sagepack.errors import IntegrityError, RemoteError
from sagepack.remote.hub_errors import refusal
from sagepack.remote.hub_http import CHUNK, RETRYABLE, Patience, Transient, Wire, origin, retry_after

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

    import urllib3

    from sagepack.remote.hub_errors import Asked

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What CDNs answer when a signed address is too old; the next one is fetched from the Hub.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_HOPS = 5


@dataclass(frozen=True)
class Location:
    """What the Hub says of a file before its bytes.

    Attributes:
        etag: name of the content: SHA-256 of an LFS file, git's SHA-1 of others.
        xet: whether the content lies in Xet storage.
    """

    etag: str
    xet: bool


class FileReader:
    """Reads files of one Hub; threads may share it.

    Args:
        endpoint: address of the Hub.
        token: access token, sent to the origin of `endpoint` only.
        backoff: seconds before the second attempt, about.
        tell: told of waits that a person would notice.
    """

    def __init__(
        self, endpoint: str, token: str | None, backoff: float, tell: Callable[[str], None] | None = None
    ) -> None:
        self._endpoint, self._token, self._backoff, self._tell = endpoint, token, backoff, tell
        self._wire = Wire()
        self._signed: dict[Asked, str] = {}
        self._unranged: set[Asked] = set()

    def locate(self, asked: Asked) -> Location:
        """Ask for a file without its bytes; see `Hub.locate`."""
        patience = Patience(self._backoff, asked.where, tell=self._tell)
        while True:
            with patience:
                return self._head(asked)

    def open(
        self, asked: Asked, offset: int, length: int | None, stop: threading.Event | None = None
    ) -> Iterator[bytes]:
        """The bytes from `offset` on; see `Hub.open`."""
        patience = Patience(self._backoff, asked.where, stop, tell=self._tell)
        position, end = offset, None if length is None else offset + length
        while end is None or position < end:
            with patience:
                for chunk in self._attempt(asked, position, end):
                    position += len(chunk)
                    patience.progressed(len(chunk))
                    yield chunk
                if end is None:
                    return

    def ranged(self, asked: Asked) -> bool:
        """Whether the server has honoured every `Range` asked of this file so far."""
        return asked not in self._unranged

    def _attempt(self, asked: Asked, start: int, end: int | None) -> Iterator[bytes]:
        position = start
        with self._answer(asked, start, end) as response:
            for chunk in _body(response, start, end):
                position += len(chunk)
                yield chunk
        if end is not None and position < end:
            raise Transient(f"the answer ended {end - position} bytes early")

    def _headers(self, url: str) -> dict[str, str]:
        headers = {"User-Agent": f"sagepack/{__version__}"}
        if self._token and self._at_home(url):
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _at_home(self, url: str) -> bool:
        return origin(url) == origin(self._endpoint)

    def _address(self, asked: Asked) -> str:
        return (
            f"{self._endpoint}/{quote(asked.repo)}/resolve/{quote(asked.revision or 'main')}/{quote(asked.path or '')}"
        )

    def _head(self, asked: Asked) -> Location:
        url = self._address(asked)
        for _ in range(_HOPS):
            with self._wire.request("HEAD", url, self._headers(url)) as response:
                self._judge(response, asked, url)
                headers, moved = response.headers, response.status in _REDIRECTS
                url = urljoin(url, headers.get("Location", url))
                if not moved or not self._at_home(url):
                    if moved:
                        self._signed[asked] = url
                    etag = headers.get("X-Linked-ETag") or headers.get("ETag") or ""
                    return Location(etag.removeprefix("W/").strip('"'), "X-Xet-Hash" in headers)
        raise RemoteError("too many redirects", where=asked.where)

    @contextmanager
    def _answer(self, asked: Asked, start: int, end: int | None) -> Iterator[urllib3.BaseHTTPResponse]:
        """The answer that carries the bytes from `start` on, after redirects."""
        url = self._signed.get(asked) or self._address(asked)
        wanted = {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        for _ in range(_HOPS):
            with self._wire.request("GET", url, {**self._headers(url), **wanted}) as response:
                self._judge(response, asked, url)
                if response.status not in _REDIRECTS:
                    self._check_range(response, asked, start, end)
                    yield response
                    return
                url = urljoin(url, response.headers.get("Location", url))
                if not self._at_home(url):
                    self._signed[asked] = url
        raise RemoteError("too many redirects", where=asked.where)

    def _judge(self, response: urllib3.BaseHTTPResponse, asked: Asked, url: str) -> None:
        status = response.status
        if status < 400 or status == 416:
            return
        if status in _EXPIRED and not self._at_home(url):
            # The next attempt asks the Hub for a new address; a CDN that refuses those too runs out of attempts.
            self._signed.pop(asked, None)
            raise Transient(f"the CDN refused the file's address with status {status}", 0)
        if status in RETRYABLE:
            raise Transient(f"the server answered {status}", retry_after(response.headers))
        raise refusal(status, response.headers, asked)

    def _check_range(self, response: urllib3.BaseHTTPResponse, asked: Asked, start: int, end: int | None) -> None:
        size = _size(response)
        if response.status == 416 or (size is not None and size < (end or 0)):
            raise IntegrityError(
                f"the Hub's file has {'fewer' if size is None else size} bytes, not the {end or start} that were expected",
                where=asked.where,
                fix="the content behind the commit changed: look at the repository, then `invoke lock --update`",
            )
        if response.status == 200 and (start or (end is not None and size != end)):
            self._unranged.add(asked)
        if response.status == 206 and _first(response.headers) != start:
            raise Transient("the server sent another range than asked for")


def _first(headers: Mapping[str, str]) -> int:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def _size(response: urllib3.BaseHTTPResponse) -> int | None:
    """Bytes of the whole file, as far as an answer tells."""
    if response.status == 200:
        text = response.headers.get("Content-Length", "")
    else:
        text = response.headers.get("Content-Range", "").rpartition("/")[2]
    return int(text) if text.isdigit() else None


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
