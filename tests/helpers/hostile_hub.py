"""A Hub on loopback that answers as a test tells it to, down to the last byte, and remembers who brought which token."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

REPO, COMMIT = "a/b", "0" * 40
REVISION, TREE = f"/api/models/{REPO}/revision/main", f"/api/models/{REPO}/tree/{COMMIT}"


def answer(
    body: bytes | str | list[Any] | dict[str, Any] = b"", status: int = 200, **headers: str
) -> tuple[bytes, ...]:
    """An answer: what is neither bytes nor text becomes JSON; `X_Error_Code=...` is the header `X-Error-Code`."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    defaults = {"Content-Length": str(len(content)), "Connection": "close"}
    lines += [f"{name}: {value}" for name, value in {**defaults, **named}.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), content


def entry(path: str = "config.json", **fields: Any) -> dict[str, Any]:
    """An entry of a listing."""
    return {"type": "file", "path": path, "size": 2, "oid": "0" * 40, **fields}


class HostileHub:
    """A context manager; `url` is the address of the Hub.

    Args:
        answers: the bytes of the answer to a path with its query, in pieces; a generator may wait between them, and go on
            until the client leaves. Every request has a connection of its own.
        tls: speak TLS.

    Attributes:
        seen: path and `Authorization` of each request.
    """

    def __init__(self, answers: Callable[[str], Iterable[bytes]], tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str | None]] = []
        hub = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the client left, which is what this is for
                    path = self.rfile.readline().decode("latin-1").split(" ")[1]
                    headers = {}
                    while line := self.rfile.readline().strip():
                        name, _, value = line.decode("latin-1").partition(": ")
                        headers[name.lower()] = value
                    hub.seen.append((path, headers.get("authorization")))
                    for piece in answers(path):
                        self.wfile.write(piece)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 64

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                return tls.wrap_socket(connection, server_side=True) if tls else connection, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        """The paths of the requests, without their queries."""
        return [path.partition("?")[0] for path, _ in self.seen]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
