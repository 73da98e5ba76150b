"""The sandbox's Hugging Face Hub: an HTTP server on 127.0.0.1 over folders of files, with faults on request."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from sagepack.sandbox import admission
from sagepack.sandbox.activity import Activity
from sagepack.sandbox.credentials import Credentials
from sagepack.sandbox.faults import Fault, Faults, Request
from sagepack.sandbox.hub.api import Call, HubApi, Reply
from sagepack.sandbox.hub.file_response import send_file
from sagepack.sandbox.hub.repositories import Content
from sagepack.sandbox.process import proof

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONTROL_HEADER = "X-Sandbox-Token"
"""The header whose value opens the control routes under `/_sandbox/`: other programs must not serve files with them."""


class Hub:
    """The server. It listens from `start` to `stop`.

    Attributes:
        content: the repositories it serves.
        faults: what goes wrong, and the log of requests.
        credentials: the token with access to everything, and the value of `CONTROL_HEADER`.
        activity: told of every request.
        hosts: the values of `Host` that are answered.
    """

    def __init__(self, activity: Activity | None = None, credentials: Credentials | None = None) -> None:
        self.content = Content()
        self.faults = Faults()
        self.credentials = credentials or Credentials.random()
        self.activity = activity or Activity()
        self.api = HubApi(self.content, self.faults, self.credentials.hf_token)
        self._server = _Server(("127.0.0.1", 0), type("HubHandler", (Handler,), {"hub": self}))
        self.api.port = int(self._server.server_address[1])
        self.hosts = admission.loopback(self.api.port)

    @property
    def url(self) -> str:
        """What `HF_ENDPOINT` should be."""
        return f"http://127.0.0.1:{self.api.port}"

    def start(self) -> None:
        """Serve from a thread of its own."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hub", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when a client hangs up, which is what clients under test do."""
        del request, client_address


class Handler(BaseHTTPRequestHandler):
    """One connection to the Hub."""

    hub: Hub
    protocol_version = "HTTP/1.1"
    server_version = "sagepack-sandbox"
    disable_nagle_algorithm = True
    timeout = 600
    status = 0
    record: Callable[[int], None] | None = None

    def parse_request(self) -> bool:
        """Read the head of a request; False if that is all, because it is wrong or of nobody who may ask."""
        if not super().parse_request():
            return False
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        why = admission.refusal(self.command, self.path, headers, self.hub.hosts)
        if why:
            self.close_connection = True  # its body stays unread
            self._send(Reply(403, {"error": why}, {"Connection": "close"}))
        return why is None

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._handle(b"")

    do_HEAD = do_DELETE = do_GET  # noqa: N815 - the names BaseHTTPRequestHandler calls

    def do_POST(self) -> None:
        """Answer a request with a body."""
        self._handle(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Keep quiet; `Faults.log` has the requests."""
        del format, args

    def send_response(self, code: int, message: str | None = None) -> None:
        """Send the status line, and remember the status for the log."""
        self.status = code
        super().send_response(code, message)

    def _handle(self, raw: bytes) -> None:
        address = urlsplit(self.path)
        route, token = unquote(address.path), (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        # The client posts forms where the Hub's documentation shows JSON.
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(raw or b"{}") if is_json else parse_qs(raw.decode(errors="replace"))
        call = Call(self.command, route, parse_qs(address.query), token, body)
        with self.hub.activity.busy():
            if route.startswith("/_sandbox/"):
                self._send(self._control(call))
                return
            log, self.status = self.hub.faults.begin(), 0

            def record(sent: int) -> None:
                request = Request(
                    self.command, route, self.headers.get("Range"), self.status, sent, len(raw), address.query
                )
                self.hub.faults.record(request, log)

            self.record = record
            try:
                self._send(self._faulty(call))
            finally:
                self.answered(0)  # unless it was

    def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Send the head of an answer, which is all of it if no body of `length` bytes follows."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not length:
            self.answered(0)
        self.end_headers()

    def answered(self, sent: int) -> None:
        """Record the request, once: before the last byte of the answer leaves, so that who has it all sees it in the log.

        Args:
            sent: bytes of the body.
        """
        record, self.record = self.record, None
        if record:
            record(sent)

    def _faulty(self, call: Call) -> Reply:
        faults = self.hub.faults
        if slow := faults.happen("latency", call.route, call.method):
            time.sleep(slow.value)
        if fault := faults.happen("status", call.route, call.method):
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return Reply(int(fault.value), {"error": "a fault that was asked for"}, headers)
        return self.hub.api.answer(call)

    def _send(self, reply: Reply) -> None:
        if reply.entry:
            send_file(self, reply.entry, reply.headers, self.hub.faults, unquote(urlsplit(self.path).path))
            return
        body = json.dumps(reply.document).encode()
        length = 0 if self.command == "HEAD" else len(body)
        headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))}
        self.start(reply.status, {**headers, "X-Request-Id": secrets.token_hex(8), **reply.headers}, length)
        if length:
            self.answered(length)
            self.wfile.write(body)

    def _control(self, call: Call) -> Reply:
        if call.route == "/_sandbox/alive":
            nonce = call.query.get("nonce", [""])[0]
            return Reply(200, {"pid": os.getpid(), "proof": proof(self.hub.credentials.control, nonce)})
        given = self.headers.get(CONTROL_HEADER) or ""
        if not hmac.compare_digest(given.encode(), self.hub.credentials.control.encode()):
            return Reply(403, {"error": f"the control routes need the {CONTROL_HEADER} of the sandbox's state file"})
        try:
            return Reply(200, _control(self.hub, call))
        except (KeyError, TypeError, ValueError) as error:
            return Reply(400, {"error": str(error)})


def _control(hub: Hub, call: Call) -> Any:
    """What the control routes do. Faults are posted as a list of documents with the attributes of `Fault`."""
    if call.route == "/_sandbox/faults":
        if call.method == "DELETE":
            hub.faults.clear()
        for document in call.body if call.method == "POST" else ():
            hub.faults.add(Fault(**document))
        return hub.faults.document()
    if call.route == "/_sandbox/log":
        return [vars(request) for request in hub.faults.log]
    if call.route == "/_sandbox/repositories":
        if call.method == "POST":
            options = {key: call.body[key] for key in ("commit", "branch", "gated") if key in call.body}
            hub.content.add(call.body["name"], Path(call.body["folder"]), **options)
        return {name: hub.content.branches(name) for name in hub.content.names()}
    raise ValueError(f"no control route {call.method} {call.route}")
