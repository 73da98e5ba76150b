"""Connections of urllib3 with limits on slow and endless responses.

The timeout of a socket starts again with each byte, so a server could hold a connection for ever by sending a byte every few
seconds, or headers or chunk framing without end. Here a connection also fails when too few bytes arrive over a longer time,
or when too many arrive outside the content.
"""

from __future__ import annotations

import http.client
import io
import time
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

    from typing_extensions import Buffer
    from urllib3 import HTTPConnectionPool

# A connection fails if nothing arrives for `READ_SECONDS`, or less than `PROGRESS` bytes in `STALL_SECONDS` of waiting. The
# time that the caller takes between two reads does not count.
READ_SECONDS, STALL_SECONDS, PROGRESS = 30.0, 60.0, 1 << 16
HEAD_BYTES = 1 << 16


class _LimitedReader(io.RawIOBase):
    """Reads a socket within the limits of time and size.

    Attributes:
        left: number of bytes that may still arrive.
    """

    def __init__(self, connection: socket.socket, raw: io.RawIOBase) -> None:
        self._connection, self._raw = connection, raw
        self._waited, self._gained = 0.0, 0
        self.left = HEAD_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int | None:
        if self.left <= 0:
            raise http.client.HTTPException("too many bytes outside the content")
        if self._waited >= STALL_SECONDS:
            raise TimeoutError
        self._connection.settimeout(min(READ_SECONDS, STALL_SECONDS - self._waited))
        began = time.monotonic()
        count = self._raw.readinto(buffer) or 0
        self._waited += time.monotonic() - began
        self._gained += count
        self.left -= count
        if self._gained >= PROGRESS:
            self._waited, self._gained = 0.0, 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self._source = _LimitedReader(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._source)

    def read(self, amt: int | None = None) -> bytes:
        # With chunks of a few bytes, a chunked body takes several times the bytes of its content.
        self._source.left = HEAD_BYTES + 8 * (amt or 0)
        return super().read(amt)


@cache
def pool_classes() -> dict[str, type[HTTPConnectionPool]]:
    """Scheme -> urllib3's class of connection pools, with connections that keep the limits."""
    from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Connection(HTTPConnection):
        response_class = _Response

    class SecureConnection(HTTPSConnection):
        response_class = _Response

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": Pool, "https": SecurePool}
