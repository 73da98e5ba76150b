"""HTTP requests to the Hub and to the addresses that it redirects to.

They are made with urllib3 (a dependency of botocore) and not with huggingface_hub's client: on loopback urllib3 reads 2,000
MB/s with 0.3 s of CPU for each GiB, httpx2 reads 460 MB/s with 2.3 s, and slows down with the number of threads. Nor does
that client limit the size of a response, or withhold the token from the URL that the page of a listing names.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sagepack.decoding import MalformedError
from sagepack.errors import RemoteError
from sagepack.hub import sockets
from sagepack.hub.refusals import malformed, refusal
from sagepack.hub.responses import absolute, origin, retry_after
from sagepack.retry import RetryableError
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

    from sagepack.hub.address import HubAddress
    from sagepack.hub.refusals import HubRequest

CHUNK = 1 << 18
CONNECT_SECONDS = 10.0
# The rest of a body that is not needed is read if it has at most so many bytes: cheaper than another connection.
_SHORT_REST = 1 << 14
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# The status codes of CDNs for a signed URL that has expired.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_MAX_REDIRECTS = 5


class HttpPool:
    """Persistent connections, shared by threads.

    The token is sent to the origin of the endpoint only. Redirects to http and https are followed, but not from https to
    http. No request is sent twice. Proxies and certificates come from the environment, as with huggingface_hub.

    Args:
        address: of the Hub.
        token: access token.
    """

    def __init__(self, address: HubAddress, token: str | None) -> None:
        self.endpoint, self._address, self._token = address.url, address, token
        self._origin = origin(address.url)

    def is_endpoint(self, url: str) -> bool:
        """Whether a URL has the origin (scheme, host and port) of the endpoint."""
        return origin(url) == self._origin

    @contextmanager
    def get(
        self, url: str, request: HubRequest, byte_range: str | None = None, *, leave: bool = True
    ) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
        """The response, its body not read yet, and its URL after redirects.

        Args:
            url: where to.
            request: what it is about, for messages.
            byte_range: value of the header `Range`. With it the status is 200, 206 or 416, without it 200.
            leave: follow redirects away from the endpoint; otherwise such a redirect is the response, with where it leads.

        Raises:
            RetryableError: a failure that may not occur again; also while the body is read.
            UserError: the repository is gated or missing, or the token is bad.
            RemoteError: the server's certificate is not trusted, or its response is not valid.
        """
        for _ in range(_MAX_REDIRECTS):
            with self._request(url, byte_range) as response:
                if response.status not in _REDIRECTS:
                    self._check(response, request, url, {200, 206, 416} if byte_range else {200})
                    yield url, response
                    return
                try:
                    url = absolute(response.headers.get("Location", ""), url)
                except MalformedError as error:
                    raise malformed("a redirect", error, request) from error
                if not (leave or self.is_endpoint(url)):
                    yield url, response
                    return
        raise RemoteError("too many redirects", where=request.where)

    def _check(self, response: urllib3.BaseHTTPResponse, request: HubRequest, url: str, expected: set[int]) -> None:
        status = response.status
        if status in expected:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                fix = "the Hub, or a proxy on the way, must send the bytes without Content-Encoding"
                message = "the response is compressed, although the request does not allow it"
                raise RemoteError(message, where=request.where, fix=fix)
            return
        if status in _RETRYABLE:
            raise RetryableError(f"the server returned status {status}", retry_after(response.headers))
        if status in _EXPIRED and not self.is_endpoint(url):
            raise RetryableError(f"the CDN refused the file's URL with status {status}", 0)
        raise refusal(status, response.headers, request)

    @contextmanager
    def _request(self, url: str, byte_range: str | None) -> Iterator[urllib3.BaseHTTPResponse]:
        import urllib3

        # Without compression offsets, lengths and limits are those of the content.
        headers = {"User-Agent": f"sagepack/{__version__}", "Accept-Encoding": "identity"}
        if byte_range:
            headers["Range"] = byte_range
        if self._token and self.is_endpoint(url):
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            response = self._pool(url).request("GET", url, headers=headers, preload_content=False, redirect=False)
            try:
                yield response
            finally:
                rest = response.length_remaining
                if rest is not None and rest <= _SHORT_REST:
                    with suppress(urllib3.exceptions.HTTPError):
                        response.read(rest, decode_content=False)
                response.close()  # has no effect after the whole body was read: the connection is back in the pool
        except urllib3.exceptions.HTTPError as error:
            host = urlsplit(url).hostname
            if "certificate verify failed" in str(error):
                fix = "set SSL_CERT_FILE to your proxy's certificates, or correct the clock of this machine"
                raise RemoteError(f"no trusted connection: {_reason(error)}", where=host, fix=fix) from error
            message = f"the connection to {urlsplit(url).netloc} failed: {_reason(error)}"
            unreached = (urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ProxyError)
            advice = self._connection_fix(url) if isinstance(error, unreached) else None
            raise RetryableError(message, fix=advice) from error

    def _connection_fix(self, url: str) -> str | None:
        """What the user can look at when no connection works: the settings that it depends on, by their names."""
        import urllib.request

        scheme, host, _ = origin(url)
        names = () if urllib.request.proxy_bypass(host) else (f"{scheme}_proxy", "all_proxy")
        proxies = [name for name in os.environ if name.lower() in names and os.environ[name]]
        checks = [f"that {self._address} can be reached from here"] if self.is_endpoint(url) else []
        checks += [f"that the proxy in {name} works" for name in proxies]
        return f"check {' and '.join(checks)}; the same command continues where this one stopped" if checks else None

    def _pool(self, url: str) -> urllib3.PoolManager:
        import urllib.request

        import urllib3

        scheme, host, _ = origin(url)
        bypass = urllib.request.proxy_bypass(host)
        proxies = {} if bypass else urllib.request.getproxies()
        proxy = proxies.get(scheme, proxies.get("all"))
        if proxy not in self._pools:
            options: Any = {
                "maxsize": 64,
                "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=sockets.READ_SECONDS),
                "retries": False,
                "ssl_context": self._certificates,
            }
            manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            manager.pool_classes_by_scheme = sockets.pool_classes()
            self._pools.setdefault(proxy, manager)
        return self._pools[proxy]

    @cached_property
    def _pools(self) -> dict[str | None, urllib3.PoolManager]:
        return {}

    @cached_property
    def _certificates(self) -> object:
        import httpx2  # huggingface_hub's own client

        return httpx2.create_ssl_context()


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words and without the URL, which may be signed."""
    import http.client

    from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

    causes: list[BaseException] = [error]
    for cause in causes:
        further = [*cause.args, cause.__cause__, cause.__context__]
        causes += [each for each in further if isinstance(each, BaseException) and each not in causes]
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if texts:
        return texts[0]
    if any(isinstance(cause, Urllib3TimeoutError) for cause in causes):
        return "timed out, too few bytes arrived"
    if any(isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected) for cause in causes):
        return "the server closed it too early"
    return "the response is not valid HTTP"
