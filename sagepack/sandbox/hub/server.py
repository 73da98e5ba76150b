"""The sandbox's Hugging Face Hub: an HTTP server on 127.0.0.1 over folders of files, with faults on request.

Control routes, for other processes; all but the first need the header `CONTROL_HEADER`:

GET               /_sandbox/alive?nonce=       {"pid", "proof"}: shows that the server knows its secret
GET, POST, DELETE /_sandbox/faults             a list of documents with the attributes of `Fault`
GET               /_sandbox/log                the requests since the faults were last deleted
GET, POST         /_sandbox/repositories       POST {"name", "folder", "commit", "branch", "gated"}, the last three optional
POST              /_sandbox/own-models         {"name", "folder"}: a model that is served again after a restart; {"commit"}
"""

from __future__ import annotations

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
from sagepack.sandbox.faults import Fault, Faults, LoggedRequest
from sagepack.sandbox.hub.api import ApiRequest, ApiResponse, HubApi
from sagepack.sandbox.hub.file_response import FileResponse
from sagepack.sandbox.hub.own_models import OwnModels
from sagepack.sandbox.hub.repositories import Repositories
from sagepack.sandbox.identity import CONTROL_HEADER, Credentials, matches, proof

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class HubServer:
    """The server. It listens from `start` to `stop`.

    Attributes:
        repositories: the repositories that it serves.
        own_models: those of them that the user added.
        faults: what goes wrong, and the log of requests.
        credentials: the token with access to everything, and the value of `CONTROL_HEADER`.
        activity: counts the requests in progress.
        hosts: the accepted values of the `Host` header.
    """

    def __init__(
        self, activity: Activity | None = None, credentials: Credentials | None = None, own_models: Path | None = None
    ) -> None:
        self.repositories = Repositories()
        self.own_models = OwnModels(self.repositories, own_models)
        self.faults = Faults()
        self.credentials = credentials or Credentials.random()
        self.activity = activity or Activity()
        self.api = HubApi(self.repositories, self.faults, self.credentials.hf_token)
        self._server = _Server(("127.0.0.1", 0), type("HubHandler", (_Handler,), {"hub": self}))
        self.api.port = int(self._server.server_address[1])
        self.hosts = admission.loopback(self.api.port)

    @property
    def url(self) -> str:
        """Address of the server, for `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.api.port}"

    def start(self) -> None:
        """Serve from a new thread."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hub", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def respond(self, request: ApiRequest) -> ApiResponse:
        """The response to a request for the Hub's API, after a fault of latency or status."""
        if slow := self.faults.happen("latency", request.route, request.method):
            time.sleep(slow.value)
        if fault := self.faults.happen("status", request.route, request.method):
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return ApiResponse(int(fault.value), {"error": "a fault of the sandbox"}, headers)
        return self.api.respond(request)

    def control(self, request: ApiRequest, given: str | None) -> ApiResponse:
        """The response to a request for a control route; `given` is its value of `CONTROL_HEADER`."""
        if request.route == "/_sandbox/alive":
            nonce = request.query.get("nonce", [""])[0]
            return ApiResponse(200, {"pid": os.getpid(), "proof": proof(self.credentials.control_token, nonce)})
        if not matches(given, self.credentials.control_token):
            message = f"control routes need the header {CONTROL_HEADER} with the value from the sandbox's state file"
            return ApiResponse(403, {"error": message})
        try:
            return ApiResponse(200, self._control(request))
        except (KeyError, TypeError, ValueError, OSError) as error:
            return ApiResponse(400, {"error": str(error)})

    def _control(self, request: ApiRequest) -> Any:
        """Execute a control request and return the document of its response."""
        if request.route == "/_sandbox/faults":
            if request.method == "DELETE":
                self.faults.clear()
            for document in request.body if request.method == "POST" else ():
                self.faults.add(Fault(**document))
            return self.faults.document()
        if request.route == "/_sandbox/log":
            return [vars(logged) for logged in self.faults.log]
        if request.route == "/_sandbox/repositories":
            if request.method == "POST":
                options = {key: request.body[key] for key in ("commit", "branch", "gated") if key in request.body}
                self.repositories.add(request.body["name"], Path(request.body["folder"]), **options)
            return {name: self.repositories.branches(name) for name in self.repositories.names()}
        if request.route == "/_sandbox/own-models" and request.method == "POST":
            return {"commit": self.own_models.add(request.body["name"], Path(request.body["folder"]))}
        raise ValueError(f"no control route {request.method} {request.route}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing when a client closes its connection early, as clients under test do."""
        del request, client_address


class _Handler(BaseHTTPRequestHandler):
    """One connection to the Hub; an `Exchange` of `file_response`.

    Attributes:
        hub: the server.
        status: status of the response to the current request; 0 until it is sent.
    """

    hub: HubServer
    protocol_version = "HTTP/1.1"
    server_version = "sagepack-sandbox"
    disable_nagle_algorithm = True
    timeout = 600
    status = 0
    _record: Callable[[int], None] | None = None

    def parse_request(self) -> bool:
        """Read request line and headers; False if a response was already sent: the request is malformed or not admitted."""
        if not super().parse_request():
            return False
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
        reason = admission.refusal(self.command, self.path, headers, self.hub.hosts)
        if reason:
            self.close_connection = True  # its body stays unread
            self._send(ApiResponse(403, {"error": reason}, {"Connection": "close"}))
        return reason is None

    def do_GET(self) -> None:
        """Respond to a request without a body."""
        self._handle(b"")

    do_HEAD = do_DELETE = do_GET  # noqa: N815 - the names BaseHTTPRequestHandler calls

    def do_POST(self) -> None:
        """Respond to a request with a body."""
        self._handle(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Print nothing; `Faults.log` has the requests."""
        del format, args

    def send_response(self, code: int, message: str | None = None) -> None:
        """Send the status line, and remember the status for the log."""
        self.status = code
        super().send_response(code, message)

    def _handle(self, raw: bytes) -> None:
        address = urlsplit(self.path)
        route, token = unquote(address.path), (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        # huggingface_hub posts forms to some routes whose documentation shows JSON.
        is_json = "json" in (self.headers.get("Content-Type") or "")
        body = json.loads(raw or b"{}") if is_json else parse_qs(raw.decode(errors="replace"))
        request = ApiRequest(self.command, route, parse_qs(address.query), token, body, self.headers.get("Range"))
        with self.hub.activity.busy():
            if route.startswith("/_sandbox/"):
                self._send(self.hub.control(request, self.headers.get(CONTROL_HEADER)))
                return
            log, self.status = self.hub.faults.begin(), 0

            def record(sent: int) -> None:
                logged = LoggedRequest(
                    self.command, route, self.headers.get("Range"), self.status, sent, len(raw), address.query
                )
                self.hub.faults.record(logged, log)

            self._record = record
            try:
                self._send(self.hub.respond(request))
            finally:
                self.log_request_once(0)  # unless it was logged before

    def start(self, status: int, headers: Mapping[str, str], length: int) -> None:
        """Send status and headers; if `length`, the bytes of the body to come, is 0, the response is complete."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if not length:
            self.log_request_once(0)
        self.end_headers()

    def log_request_once(self, sent: int) -> None:
        """Add the request to the log; only the first call for a request counts.

        To be called before the last byte of the response is sent, so that a client that has the whole response finds its
        request in the log.

        Args:
            sent: bytes of the body.
        """
        record, self._record = self._record, None
        if record:
            record(sent)

    def _send(self, response: ApiResponse) -> None:
        if response.file:
            path = unquote(urlsplit(self.path).path)
            FileResponse(self, response.file, path, self.hub.faults).send(response.headers)
            return
        body = json.dumps(response.document).encode()
        length = 0 if self.command == "HEAD" else len(body)
        headers = {"Content-Type": "application/json; charset=utf-8", "Content-Length": str(len(body))}
        self.start(response.status, {**headers, "X-Request-Id": secrets.token_hex(8), **response.headers}, length)
        if length:
            self.log_request_once(length)
            self.wfile.write(body)
