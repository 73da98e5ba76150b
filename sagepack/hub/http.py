"""HTTP to the Hub and to where it sends its clients.

urllib3 (which botocore brings) and not huggingface_hub's client: on loopback it reads 2,000 MB/s with 0.3 s of CPU for each
GiB, where httpx2 reads 460 MB/s with 2.3 s, and slows down with the number of threads. Nor does that client bound what it
reads, or keep the token from the address that a page of a listing names.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sagepack import __version__
from sagepack.decoding import MalformedError
from sagepack.errors import RemoteError
from sagepack.hub.refusals import malformed, refusal
from sagepack.hub.responses import absolute, origin, retry_after
from sagepack.retry import RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import urllib3

    from sagepack.hub.refusals import HubRequest

CHUNK = 1 << 18
CONNECT_SECONDS = 10.0
# What is left of a body is read if it is shorter: that is cheaper than to open another connection.
_SHORT_REST = 1 << 14
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# What CDNs answer when a signed address is too old.
_EXPIRED = frozenset({400, 401, 403, 404, 410})
_HOPS = 5


class HttpPool:
    """Connections that are kept and shared by threads.

    The token goes to the origin of the endpoint only. Redirects are followed to http and https, never from https to http.
    Nothing is tried again. Proxies and certificates are found as huggingface_hub finds them: from the environment.

    Args:
        endpoint: address of the Hub.
        token: access token.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint, self._token = endpoint, token
        self._home = origin(endpoint)

    def at_home(self, url: str) -> bool:
        """Whether an address is of the endpoint's origin."""
        return origin(url) == self._home

    @contextmanager
    def get(
        self, url: str, asked: HubRequest, byte_range: str | None = None
    ) -> Iterator[tuple[str, urllib3.BaseHTTPResponse]]:
        """The address that answers in the end and its answer, the body unread: status 200, for a range 206 or 416 too.

        Raises:
            Transient: it may go better next time; also while the body is read.
            UserError: gated, missing, bad token.
            RemoteError: the server's certificate is not trusted, or what it answers makes no sense.
        """
        for _ in range(_HOPS):
            with self._request(url, byte_range) as response:
                if response.status not in _REDIRECTS:
                    self._judge(response, asked, url, {200, 206, 416} if byte_range else {200})
                    yield url, response
                    return
                target = response.headers.get("Location", "")
            try:
                url = absolute(target, url)
            except MalformedError as error:
                raise malformed("a redirect", error, asked) from error
        raise RemoteError("too many redirects", where=asked.where)

    def _judge(self, response: urllib3.BaseHTTPResponse, asked: HubRequest, url: str, wanted: set[int]) -> None:
        status = response.status
        if status in wanted:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                fix = "the Hub, or a proxy on the way, must send bytes as they are"
                raise RemoteError("the answer is compressed, which was not asked for", where=asked.where, fix=fix)
            return
        if status in _RETRYABLE:
            raise RetryableError(f"the server answered {status}", retry_after(response.headers))
        if status in _EXPIRED and not self.at_home(url):
            raise RetryableError(f"the CDN refused the file's address with status {status}", 0)
        raise refusal(status, response.headers, asked)

    @contextmanager
    def _request(self, url: str, byte_range: str | None) -> Iterator[urllib3.BaseHTTPResponse]:
        import urllib3

        # No compression: offsets, lengths and limits are those of the content.
        headers = {"User-Agent": f"sagepack/{__version__}", "Accept-Encoding": "identity"}
        if byte_range:
            headers["Range"] = byte_range
        if self._token and self.at_home(url):
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
                response.close()  # unless the whole body was read: then the connection is kept already
        except urllib3.exceptions.HTTPError as error:
            host = urlsplit(url).hostname
            if "certificate verify failed" in str(error):
                fix = "name your proxy's certificates in SSL_CERT_FILE, or mend the clock of this machine"
                raise RemoteError(f"no trusted connection: {_reason(error)}", where=host, fix=fix) from error
            raise RetryableError(f"the connection to {urlsplit(url).netloc} failed: {_reason(error)}") from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        import urllib.request

        import urllib3

        from sagepack.hub import sockets

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
            made = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            made.pool_classes_by_scheme = sockets.POOLS
            self._pools.setdefault(proxy, made)
        return self._pools[proxy]

    @cached_property
    def _pools(self) -> dict[str | None, urllib3.PoolManager]:
        return {}

    @cached_property
    def _certificates(self) -> object:
        import httpx2  # huggingface_hub's own client

        return httpx2.create_ssl_context()


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words and without its address, which may be signed."""
    import http.client

    from urllib3.exceptions import TimeoutError as NotInTime

    causes: list[BaseException] = [error]
    for cause in causes:
        further = [*cause.args, cause.__cause__, cause.__context__]
        causes += [each for each in further if isinstance(each, BaseException) and each not in causes]
    texts = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if texts:
        return texts[0]
    if any(isinstance(cause, NotInTime) for cause in causes):
        return "too little came in time"
    if any(isinstance(cause, http.client.IncompleteRead | http.client.RemoteDisconnected) for cause in causes):
        return "it was closed too early"
    return "what came is not HTTP as it should be"
