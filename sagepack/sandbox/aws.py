"""The sandbox's AWS: moto's server on 127.0.0.1, behind the overlays for what it lacks.

Requests for hosting (`hosting_api`), asynchronous invocation (`invocations`) and AWS's image registries (`ecr_api`) are
answered here and never reach moto; S3 is moto's, made stricter by `overlay_s3`; all else is moto's alone.
"""

from __future__ import annotations

import hmac
import importlib
import json
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sagepack.sandbox import aws_control, ecr_api, overlay_s3, serving, world
from sagepack.sandbox.activity import Activity
from sagepack.sandbox.faults import Faults, Request
from sagepack.sandbox.hosting import Script
from sagepack.sandbox.hosting_api import HostingApi
from sagepack.sandbox.hosting_rules import AwsError
from sagepack.sandbox.hub import CONTROL_HEADER
from sagepack.sandbox.invocations import Invocations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_INVOKE = re.compile(r"/endpoints/([^/]+)/(async-)?invocations")
_SCALABLE = re.compile(r"endpoint/([^/]+)/variant/[^/]+")
_REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")
_S3_ERRORS = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 400: "BadRequest"}


@dataclass(frozen=True)
class _Reply:
    """An answer of the overlays: status, JSON document and headers."""

    status: int
    document: Any
    headers: dict[str, str] = field(default_factory=dict)


class AwsServer:
    """The server. It listens from `start` to `stop`. What it holds lives in moto's globals, so make one in a process.

    Attributes:
        script: how deployments end and which operations are refused.
        invocations: what endpoints answer.
        faults: statuses and latency by path (`/bucket/key` for S3), and the log of requests.
        control: the value of `X-Sandbox-Token` that opens the routes under `/_sandbox/`.
    """

    def __init__(self, activity: Activity | None = None, *, control: str | None = None) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Quiet(MotoRequestHandler):
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                del type, message, args

        overlay_s3.install()
        self.activity = activity or Activity()
        self.control = control or secrets.token_hex(16)
        self.script, self.faults = Script(), Faults()
        self._hosting = HostingApi(self.script)
        self.invocations = Invocations(self._hosting, self.activity)
        self._moto = DomainDispatcherApplication(create_backend_app)
        server: Any = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet)
        # Connections that clients keep open must not hold up the end.
        server.daemon_threads, server.block_on_close = True, False
        self._server = server

    @property
    def url(self) -> str:
        """What `AWS_ENDPOINT_URL` should be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Seed, then serve from a thread of its own."""
        self.reset()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True).start()

    def warm(self) -> None:
        """Import what a deployment will ask moto for: some of it takes seconds, which are better spent before.

        Under the lock of moto's own imports, because parts of it import each other in circles.
        """
        for name in ("sts", "sns", "logs", "cloudwatch", "applicationautoscaling"):
            with self._moto.lock:
                importlib.import_module(f"moto.{name}.responses")

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        serving.stop()

    def reset(self) -> None:
        """Forget everything, then make the bucket and the role."""
        self.script.clear()
        self.faults.clear()
        self.invocations.reset()
        self._hosting.reset()
        world.reset()

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        with self.activity.busy():
            if path.startswith("/_sandbox/"):
                return _send(self._control(environ), start_response)
            status: list[int] = []

            def started(line: str, *rest: Any) -> Any:
                status.append(int(line[:3]))
                return start_response(line, *rest)

            try:
                return self._faulty(environ, started)
            finally:
                received = int(environ.get("CONTENT_LENGTH") or 0)
                asked = environ.get("HTTP_RANGE") or environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE")
                self.faults.record(
                    Request(method, path, asked, status[-1] if status else 0, 0, received, environ["QUERY_STRING"])
                )

    def _faulty(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if slow := self.faults.happen("latency", path, method):
            time.sleep(slow.value)
        if fault := self.faults.happen("status", path, method):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _fail(int(fault.value), fault.retry_after, environ, start_response)
        reply = self._overlaid(environ)
        return _send(reply, start_response) if reply else self._moto(environ, start_response)

    def _overlaid(self, environ: dict[str, Any]) -> _Reply | None:
        """The overlays' answer, or None for moto."""
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        invoked = _INVOKE.fullmatch(environ["PATH_INFO"])
        if not service and not invoked:
            return None
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        found = _REGION.search(environ.get("HTTP_AUTHORIZATION", ""))
        region = found[1] if found else world.REGION
        try:
            if invoked:
                return self._invoke(region, invoked[1], bool(invoked[2]), environ, body)
            return self._operation(service, operation, region, json.loads(body or b"{}"))
        except AwsError as error:
            document = {"__type": error.code, "message": error.message, "Message": error.message}
            return _Reply(error.status, document, {"x-amzn-ErrorType": error.code})

    def _operation(self, service: str, operation: str, region: str, body: dict[str, Any]) -> _Reply | None:
        if service == "SageMaker" and self._hosting.knows(operation):
            return _Reply(200, self._hosting.call(operation, region, body))
        if service.startswith("AmazonEC2ContainerRegistry") and ecr_api.is_ours(operation, body):
            return _Reply(200, ecr_api.call(operation, body))
        scaled = _SCALABLE.fullmatch(body.get("ResourceId", ""))
        if scaled and operation == "RegisterScalableTarget":
            self._hosting.endpoint(region, scaled[1])  # moto would scale what does not exist
        if scaled and operation == "DeregisterScalableTarget":
            world.forget_policies(region, body["ResourceId"])  # moto would keep them
        return None

    def _invoke(
        self, region: str, name: str, asynchronous: bool, environ: dict[str, Any], body: bytes
    ) -> _Reply | None:
        if not asynchronous:
            raise AwsError("ValidationError", f"Endpoint {name} of the sandbox takes asynchronous invocations only.")
        headers = {
            key.removeprefix("HTTP_").replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        places, inference_id = self.invocations.accept(region, name, headers, body)
        return _Reply(202, {"InferenceId": inference_id}, places)

    def _control(self, environ: dict[str, Any]) -> _Reply:
        given = environ.get("HTTP_" + CONTROL_HEADER.upper().replace("-", "_"), "")
        if not hmac.compare_digest(given.encode(), self.control.encode()):
            return _Reply(403, {"error": f"the control routes need the {CONTROL_HEADER} of the sandbox's state file"})
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = aws_control.answer(
                self, environ["REQUEST_METHOD"], environ["PATH_INFO"], json.loads(body or b"null")
            )
            return _Reply(200, answer)
        except (KeyError, TypeError, ValueError) as error:
            return _Reply(400, {"error": str(error)})


def _send(reply: _Reply, start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = json.dumps(reply.document).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "Content-Length": str(len(body)), **reply.headers}
    start_response(f"{reply.status} {'OK' if reply.status < 300 else 'Error'}", list(headers.items()))
    return [body]


def _fail(
    status: int, retry_after: int | None, environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    code, message = _S3_ERRORS.get(status, "InternalError"), "A fault that was asked for."
    if "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": code, "message": message}).encode()
    else:
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    start_response(f"{status} {code}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
