"""HTTP to the Hub and its CDN: connections, what may be tried again, and patience for trying.

urllib3 (which botocore brings) and not huggingface_hub's client: on loopback it reads 2,000 MB/s with 0.3 s of CPU for each
GiB, where httpx2 reads 460 MB/s with 2.3 s, and slows down with the number of threads.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import urllib3

CHUNK = 1 << 18
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
# The Hub's rate limits count in windows of five minutes: waiting longer than one is never asked for.
LONGEST_WAIT = 300.0
NOTICED = 3.0
# Progress that shows the server to be well again, so that earlier failures are forgiven.
FORGIVEN_AFTER = 1 << 16
# `"api";r=0;t=55`: how many requests remain, and seconds until there are more (draft-ietf-httpapi-ratelimit-headers-09).
_RATE_LIMIT = re.compile(r"\br=(\d+)\s*;\s*t=(\d+)")


class Transient(Exception):  # noqa: N818 - not a failure yet
    """Something that may go better next time.

    Attributes:
        retry_after: seconds the server asks to wait; None leaves it to `Patience`.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stopped(Exception):  # noqa: N818 - the caller asked for it
    """The caller does not want the rest any more."""


class Patience:
    """How often and how long one piece of work is tried again: exponential back-off with jitter.

    Args:
        base: seconds before the second attempt, about; doubles up to 20.
        where: what is worked at, for the error in the end.
        stop: set by the caller to end the waiting.
        attempts: failures in a row after which it ends.
        tell: told of waits that a person would notice.
    """

    def __init__(
        self,
        base: float,
        where: str,
        stop: threading.Event | None = None,
        attempts: int = 6,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._base, self._where, self._attempts, self._tell = base, where, attempts, tell
        self._stop = stop or threading.Event()
        self._failures = self._gained = 0

    def __enter__(self) -> None:
        """Begin an attempt; `while True: with patience: return work()` tries until it goes well or patience ends."""

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> bool:
        if isinstance(error, Transient):
            self.failed(error)
            return True
        return False

    def progressed(self, count: int) -> None:
        """Bytes arrived.

        Raises:
            Stopped: the caller does not want more.
        """
        if self._stop.is_set():
            raise Stopped
        self._gained += count
        if self._gained >= FORGIVEN_AFTER:
            self._failures = 0

    def failed(self, cause: Transient) -> None:
        """Wait until it makes sense to try again.

        Raises:
            RemoteError: that was the last attempt.
            Stopped: the caller does not want more.
        """
        self._failures += 1
        self._gained = 0
        if self._failures >= self._attempts:
            fix = "run the same command again: it continues where this one stopped"
            raise RemoteError(f"{cause} ({self._failures} times)", where=self._where, fix=fix) from cause
        delay = self.delay(cause)
        if self._tell and delay > NOTICED:
            self._tell(f"{self._where}: {cause}; trying again in {delay:.0f} s")
        if self._stop.wait(delay):
            raise Stopped

    def delay(self, cause: Transient) -> float:
        """Seconds to wait after a failure; the jitter keeps many connections from coming back at once."""
        import random

        if cause.retry_after is not None:
            return min(cause.retry_after, LONGEST_WAIT) + random.uniform(0, self._base)  # noqa: S311 - no secret
        return min(20.0, self._base * float(1 << (self._failures - 1))) * random.uniform(0.5, 1)  # noqa: S311


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` (RFC 9110, 10.2.3: seconds or a date) or the Hub's `RateLimit` asks to wait."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
    limit = _RATE_LIMIT.search(headers.get("RateLimit", ""))
    return float(limit[2]) if limit and limit[1] == "0" else None


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port: what a token is bound to."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class Wire:
    """Connections that are kept and shared by threads.

    It follows no redirect, retries nothing and adds no credentials. Proxies and certificates are found as the client
    finds them: from the environment.
    """

    @cached_property
    def _certificates(self) -> object:
        import httpx2  # huggingface_hub's own client

        return httpx2.create_ssl_context()

    @cached_property
    def _pools(self) -> dict[str | None, urllib3.PoolManager]:
        return {}

    def _pool(self, url: str) -> urllib3.PoolManager:
        import urllib.request

        import urllib3

        scheme, host, _ = origin(url)
        bypass = urllib.request.proxy_bypass(host or "")
        proxies = {} if bypass else urllib.request.getproxies()
        proxy = proxies.get(scheme, proxies.get("all"))
        if proxy not in self._pools:
            options: Any = {
                "maxsize": 64,
                "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                "retries": False,
                "ssl_context": self._certificates,
            }
            made = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            self._pools.setdefault(proxy, made)
        return self._pools[proxy]

    @contextmanager
    def request(self, method: str, url: str, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """One answer, its body unread. The connection is kept unless much of the body is left.

        Raises:
            Transient: the network failed, then or while the body was read.
            RemoteError: the server's certificate is not trusted.
        """
        import urllib3

        try:
            # No compression: offsets and lengths are those of the file.
            sent = {"Accept-Encoding": "identity", **headers}
            response = self._pool(url).request(method, url, headers=sent, preload_content=False, redirect=False)
            try:
                yield response
            finally:
                # A short rest is cheaper to read than a connection is to open.
                if response.length_remaining is not None and response.length_remaining <= FORGIVEN_AFTER:
                    response.drain_conn()
                    response.release_conn()
                else:
                    response.close()
        except urllib3.exceptions.HTTPError as error:
            if "certificate verify failed" in str(error):
                fix = "name your proxy's certificates in SSL_CERT_FILE, or mend the clock of this machine"
                raise RemoteError(f"no trusted connection: {_plain(error)}", where=origin(url)[1], fix=fix) from error
            raise Transient(f"the connection to {urlsplit(url).netloc} failed: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """What failed, without objects and addresses with signatures in them."""
    text = str(error).rpartition(">: ")[2]
    return f"{type(error).__name__}: {text}".partition("(url=")[0][:200]
