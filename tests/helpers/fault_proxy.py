"""A proxy on loopback that counts bytes and does harm to chosen requests.

One request a connection: it forwards with `Connection: close`, so that every request is seen and can be cut at any byte.
"""

from __future__ import annotations

import re
import socket
import socketserver
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

HOSTS: dict[str, set[str]] = {}
"""By the URL of a server, the values of `Host` that it answers: those of proxies before it are added."""

_CHUNK = 1 << 16
_ERRORS = {
    "InternalError": (500, "Internal Server Error"),
    "SlowDown": (503, "Slow Down"),
    "ExpiredToken": (403, "Forbidden"),
    "AccessDenied": (403, "Forbidden"),
    "NotImplemented": (501, "Not Implemented"),
}


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: `cut` closes after `value` bytes of the request's body; `lost` lets the server do it and drops the answer;
            `delay` waits `value` seconds; `truncate` ends the answer after `value` bytes of its body; any other kind is
            an error code that is answered in place of the server.
        match: regular expression, searched in "METHOD /path?query".
        times: how often.
        after: how many matching requests are let through before.
        value: bytes or seconds.
    """

    kind: str
    match: str = ""
    times: int = 1
    after: int = 0
    value: float = 0


@dataclass
class Exchange:
    """A request that came: its line, the bytes up and down (heads included), and the fault that met it."""

    line: str
    up: int = 0
    down: int = 0
    fault: str | None = None


class FaultProxy:
    """A context manager; `url` is to be used in place of the upstream's.

    Attributes:
        exchanges: what came.
        faults: what goes wrong; the first that matches does.
        on_request: called with the number of a request, from 1, before it is passed on.
    """

    def __init__(self, upstream: str, rate: float | None = None) -> None:
        parts = urlsplit(upstream)
        self._hosts = HOSTS.get(upstream, set())
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.exchanges: list[Exchange] = []
        self.faults: list[Fault] = []
        self.on_request: Callable[[int], None] = lambda _number: None
        self._lock = threading.Lock()
        self._rate = rate
        self._free_at = time.monotonic()
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # either side went away: that is what this is for
                    proxy.serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def up(self) -> int:
        """Bytes that clients sent."""
        return sum(exchange.up for exchange in self.exchanges)

    @property
    def down(self) -> int:
        """Bytes that clients got."""
        return sum(exchange.down for exchange in self.exchanges)

    def lines(self, match: str = "") -> list[str]:
        """The requests that came, as "METHOD /path?query"."""
        return [exchange.line for exchange in self.exchanges if re.search(match, exchange.line)]

    def forget(self) -> None:
        """Begin to count anew, without faults."""
        self.exchanges, self.faults = [], []

    def __enter__(self) -> Self:
        self._hosts.add(urlsplit(self.url).netloc)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hosts.discard(urlsplit(self.url).netloc)
        self._server.shutdown()
        self._server.server_close()

    def serve(self, client: socket.socket) -> None:
        """One connection."""
        head, rest = _read_head(client)
        if not head:
            return None
        line = " ".join(head.split(b"\r\n", 1)[0].decode().split(" ")[:2])
        exchange = Exchange(line, up=len(head))
        fault = self._choose(exchange)
        self.on_request(len(self.exchanges))
        if re.search(rb"(?i)\r\nexpect: 100-continue", head):
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if fault and fault.kind == "delay":
            time.sleep(fault.value)
        if fault and fault.kind in _ERRORS:
            self._drain(client, head, rest, exchange)
            return self._answer(client, fault.kind, head.startswith(b"HEAD "))
        with socket.create_connection(self._upstream, timeout=120) as upstream:
            clean = re.sub(rb"(?i)\r\n(expect|connection): [^\r]*", b"", head)
            upstream.sendall(clean[:-4] + b"\r\nConnection: close\r\n\r\n")
            limit = int(fault.value) if fault and fault.kind == "cut" else None
            if not self._pass_body(client, upstream, head, rest, exchange, limit):
                return None
            self._pass_answer(client, upstream, exchange, fault)
        return None

    def _choose(self, exchange: Exchange) -> Fault | None:
        with self._lock:
            self.exchanges.append(exchange)
            for fault in self.faults:
                if not fault.times or not re.search(fault.match, exchange.line):
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                exchange.fault = fault.kind
                return fault
        return None

    def _pass_body(
        self, client: socket.socket, upstream: Any, head: bytes, rest: bytes, exchange: Exchange, limit: int | None
    ) -> bool:
        """Pass the request's body on; False if it was cut."""
        left = _length(head)
        passed = 0
        while left:
            piece = rest or client.recv(min(_CHUNK, left))
            rest = b""
            if not piece:
                return False
            exchange.up += len(piece)
            left -= len(piece)
            passed += len(piece)
            if limit is not None and passed >= limit:
                return False
            self._pace(len(piece))
            if upstream:
                upstream.sendall(piece)
        return limit is None

    def _drain(self, client: socket.socket, head: bytes, rest: bytes, exchange: Exchange) -> None:
        self._pass_body(client, None, head, rest, exchange, None)

    def _pass_answer(
        self, client: socket.socket, upstream: socket.socket, exchange: Exchange, fault: Fault | None
    ) -> None:
        head, rest = _read_head(upstream)
        if fault and fault.kind == "lost":
            while upstream.recv(_CHUNK):
                pass
            return
        exchange.down += len(head)
        client.sendall(re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", head)[:-4] + b"\r\nConnection: close\r\n\r\n")
        limit = int(fault.value) if fault and fault.kind == "truncate" else None
        while piece := rest or upstream.recv(_CHUNK):
            rest = b""
            if limit is not None:
                piece = piece[:limit]
                limit -= len(piece)
            self._pace(len(piece))
            exchange.down += len(piece)
            client.sendall(piece)
            if limit == 0:
                return

    def _pace(self, count: int) -> None:
        if self._rate is None:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() - 0.05) + count / self._rate
            wait = self._free_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)

    @staticmethod
    def _answer(client: socket.socket, code: str, bodyless: bool) -> None:
        status, reason = _ERRORS[code]
        body = b"" if bodyless else f"<Error><Code>{code}</Code><Message>by the proxy</Message></Error>".encode()
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
        client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """The head of a message, its empty line included, and what was read beyond it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(_CHUNK)
        if not piece:
            return b"", b""
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _length(head: bytes) -> int:
    match = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(match[1]) if match else 0
