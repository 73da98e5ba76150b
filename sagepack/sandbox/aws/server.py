"""The sandbox's AWS: moto's server on 127.0.0.1, behind the overlays for what it lacks.

Requests that are not signed with the sandbox's own keys are refused (`admission`, `signature`). Those for hosting
(`hosting_api`), asynchronous invocation (`invocations`) and AWS's image registries (`ecr_api`) are answered here and never
reach moto; S3 is moto's, made stricter by `overlay_s3`; the other services of `SERVICES` are moto's alone, and there are
no others: moto's own routes, which reset it and record requests, least of all.
"""

from __future__ import annotations

import hmac
import importlib
import json
import re
import threading
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sagepack.sandbox import admission
from sagepack.sandbox.activity import Activity
from sagepack.sandbox.aws import control as aws_control
from sagepack.sandbox.aws import ecr as ecr_api
from sagepack.sandbox.aws import moto_state, s3_overlay, signature
from sagepack.sandbox.aws.hosting import Scenario
from sagepack.sandbox.aws.hosting_api import HostingApi
from sagepack.sandbox.aws.hosting_rules import AwsError
from sagepack.sandbox.aws.invocations import Invocations
from sagepack.sandbox.aws.replies import INVOCATION, Reply, error_reply, json_reply
from sagepack.sandbox.credentials import Credentials
from sagepack.sandbox.faults import Faults, Request
from sagepack.sandbox.hub.server import CONTROL_HEADER
from sagepack.sandbox.serving import runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SERVICES = {"s3", "sagemaker", "sts", "iam", "sns", "logs", "cloudwatch", "applicationautoscaling", "ecr"}
"""The services of moto, by its names, that can be reached."""

_SCALABLE = re.compile(r"endpoint/([^/]+)/variant/[^/]+")
_S3_ERRORS = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 400: "BadRequest"}


class AwsServer:
    """The server. It listens from `start` to `stop`. What it holds lives in moto's globals, so make one in a process.

    Attributes:
        script: how deployments end and which operations are refused.
        invocations: what endpoints answer.
        faults: statuses and latency by path (`/bucket/key` for S3), and the log of requests.
        credentials: what requests must be signed with, and what opens the routes under `/_sandbox/`.
        hosts: the values of `Host` that are answered; tests add that of a proxy.
    """

    def __init__(self, activity: Activity | None = None, credentials: Credentials | None = None) -> None:
        from moto.moto_server import werkzeug_app
        from werkzeug.serving import make_server

        # moto would let every web page read its answers.
        setattr(werkzeug_app, "DISABLE_GLOBAL_CORS", True)  # noqa: B010 - moto reads it, but does not export it

        class Quiet(werkzeug_app.MotoRequestHandler):
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                del type, message, args

        s3_overlay.install()
        self.activity = activity or Activity()
        self.credentials = credentials or Credentials.random()
        self.script, self.faults = Scenario(), Faults()
        self._hosting = HostingApi(self.script)
        self.invocations = Invocations(self._hosting, self.activity)
        self._moto = werkzeug_app.DomainDispatcherApplication(_moto_service)
        server: Any = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet)
        # Connections that clients keep open must not hold up the end.
        server.daemon_threads, server.block_on_close = True, False
        self._server = server
        self.hosts = admission.loopback(server.server_port)

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
        runner.stop()

    def reset(self) -> None:
        """Forget everything, then make the bucket and the role."""
        self.script.clear()
        self.faults.clear()
        self.invocations.reset()
        self._hosting.reset()
        moto_state.reset()

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        why = admission.refusal(environ["REQUEST_METHOD"], environ["REQUEST_URI"], _headers(environ), self.hosts)
        if why:
            return error_reply(environ, 403, "AccessDenied", why).send(environ, start_response)
        with self.activity.busy():
            if environ["PATH_INFO"].startswith("/_sandbox/"):
                return self._control(environ).send(environ, start_response)
            return self._recorded(environ, start_response)

    def _recorded(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer; the request is in the log before the first byte of the answer is sent."""
        log, status = self.faults.begin(), [0]

        def started(line: str, *rest: Any) -> Any:
            status.append(int(line[:3]))
            return start_response(line, *rest)

        try:
            return self._faulty(environ, started)
        except AwsError as error:
            return error_reply(environ, error.status, error.code, error.message).send(environ, started)
        finally:
            request = Request(
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ.get("HTTP_RANGE") or environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE"),
                status[-1],
                received=int(environ.get("CONTENT_LENGTH") or 0),
                query=environ["QUERY_STRING"],
            )
            self.faults.record(request, log)

    def _faulty(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        region = signature.check(environ, self.credentials).region
        if slow := self.faults.happen("latency", path, method):
            time.sleep(slow.value)
        if fault := self.faults.happen("status", path, method):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, wait = (
                int(fault.value),
                {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)},
            )
            code = _S3_ERRORS.get(status, "InternalError")
            reply = error_reply(environ, status, code, "A fault that was asked for.", wait)
            return reply.send(environ, start_response)
        answer = self._overlaid(environ, region)
        return answer.send(environ, start_response) if answer else self._moto(environ, start_response)

    def _overlaid(self, environ: dict[str, Any], region: str) -> Reply | None:
        """The overlays' answer, or None for moto.

        Raises:
            AwsError: the request is refused.
        """
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        invoked = INVOCATION.fullmatch(environ["PATH_INFO"])
        if not service and not invoked:
            return None
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = BytesIO(body)
        if invoked:
            return self._invoke(region, invoked[1], bool(invoked[2]), environ, body)
        return self._operation(service, operation, region, json.loads(body or b"{}"))

    def _operation(self, service: str, operation: str, region: str, body: dict[str, Any]) -> Reply | None:
        if service == "SageMaker" and self._hosting.knows(operation):
            return json_reply(200, self._hosting.call(operation, region, body))
        if service.startswith("AmazonEC2ContainerRegistry") and ecr_api.is_ours(operation, body):
            return json_reply(200, ecr_api.call(operation, body))
        scaled = _SCALABLE.fullmatch(body.get("ResourceId", ""))
        if scaled and operation == "RegisterScalableTarget":
            self._hosting.endpoint(region, scaled[1])  # moto would scale what does not exist
        if scaled and operation == "DeregisterScalableTarget":
            moto_state.forget_policies(region, body["ResourceId"])  # moto would keep them
        return None

    def _invoke(self, region: str, name: str, asynchronous: bool, environ: dict[str, Any], body: bytes) -> Reply:
        if not asynchronous:
            raise AwsError("ValidationError", f"Endpoint {name} of the sandbox takes asynchronous invocations only.")
        places, inference_id = self.invocations.accept(region, name, _headers(environ), body)
        return json_reply(202, {"InferenceId": inference_id}, places)

    def _control(self, environ: dict[str, Any]) -> Reply:
        given = environ.get("HTTP_" + CONTROL_HEADER.upper().replace("-", "_"), "")
        if not hmac.compare_digest(given.encode(), self.credentials.control.encode()):
            why = f"the control routes need the {CONTROL_HEADER} of the sandbox's state file"
            return json_reply(403, {"error": why})
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            answer = aws_control.answer(
                self, environ["REQUEST_METHOD"], environ["PATH_INFO"], json.loads(body or b"null")
            )
            return json_reply(200, answer)
        except (KeyError, TypeError, ValueError) as error:
            return json_reply(400, {"error": str(error)})


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    """The headers of a request by their names in lower case."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def _moto_service(service: Any) -> Any:
    """The WSGI application of one service of moto, or one that refuses every request."""
    from moto.moto_server.werkzeug_app import create_backend_app

    if service in SERVICES:
        return create_backend_app(service)

    def refuse(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        reply = error_reply(environ, 404, "UnknownOperationException", "The sandbox does not have this service.")
        return reply.send(environ, start_response)

    return refuse
