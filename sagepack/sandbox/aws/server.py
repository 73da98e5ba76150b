"""The sandbox's AWS: moto's server on 127.0.0.1, with overlays for what moto does not have.

Requests that are not signed with the sandbox's own keys are rejected (`admission`, `signature`). Those for hosting
(`hosting_api`), processing jobs (`processing`), asynchronous invocation (`invocations`), quotas (`quotas`), prices (`price_list`) and AWS's image registries (`ecr`) are handled here
and do not reach moto. S3 is moto's with stricter checks (`s3_overlay`), IAM moto's with one operation more (`iam_overlay`), KMS moto's with its own signatures (`kms_overlay`), CloudWatch Logs moto's in another order (`logs_overlay`); the other services of `SERVICES` are moto's alone, and there
are no others. In particular moto's own routes, which reset it and record requests, cannot be reached.
"""

from __future__ import annotations

import importlib
import json
import re
import socket
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sagepack.sandbox import admission
from sagepack.sandbox.activity import Activity
from sagepack.sandbox.aws import (
    denied,
    ecr,
    iam_overlay,
    kms_overlay,
    logs_overlay,
    moto_scaling,
    moto_state,
    price_list,
    processing,
    quotas,
    s3_overlay,
    signature,
)
from sagepack.sandbox.aws.clock import Clock
from sagepack.sandbox.aws.control import Control
from sagepack.sandbox.aws.denied import DeniedActions
from sagepack.sandbox.aws.hosting import Scenario
from sagepack.sandbox.aws.hosting_api import HostingApi
from sagepack.sandbox.aws.invocations import Invocations
from sagepack.sandbox.aws.wsgi import (
    INVOCATION,
    AwsError,
    JsonObject,
    WsgiResponse,
    error_response,
    headers_of,
    json_response,
    read_body,
)
from sagepack.sandbox.faults import Faults, LoggedRequest
from sagepack.sandbox.identity import CONTROL_HEADER, Credentials, matches
from sagepack.serving.containers import Containers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SERVICES = {
    *("s3", "sagemaker", "sts", "iam", "sns", "logs", "cloudwatch", "applicationautoscaling", "ecr", "ec2", "kms"),
    "secretsmanager",
}
"""The services that can be reached, by moto's names."""

_SCALABLE = re.compile(r"endpoint/([^/]+)/variant/[^/]+")
_HOSTS = 256  # hosts of AWS, each a service in a region, of which it is remembered which part of moto responds
_S3_ERRORS = {503: "SlowDown", 500: "InternalError", 403: "AccessDenied", 400: "BadRequest"}


class AwsServer:
    """The server. It listens from `start` to `stop`.

    Two servers in one process have their own endpoints, containers, faults and credentials, but share what moto keeps in
    its globals: buckets, roles, logs, topics and scaling.

    Attributes:
        scenario: how deployments end and which operations fail.
        invocations: the invocations of endpoints and their scripted results.
        faults: statuses and latency by path (`/bucket/key` for S3), and the log of requests.
        clock: the time of endpoints, which tests turn.
        denied: the actions that the caller is denied.
        jobs: the processing jobs.
        credentials: the keys of signed requests, and the value of `CONTROL_HEADER` for the control routes.
        activity: counts the requests in progress.
        hosts: the accepted values of the `Host` header; tests add that of a proxy.
        violations: what AWS's description of an operation forbids in a request, by the prefix of `X-Amz-Target`, the operation
            and the request, in the words of AWS. Here nothing; tests set it, since a stand-in does not know the rest of the
            program.

    Args:
        activity: see above.
        credentials: see above.
        requirements: the folder for what the packages of endpoints require; None for a temporary one.
    """

    def __init__(
        self,
        activity: Activity | None = None,
        credentials: Credentials | None = None,
        requirements: Path | None = None,
    ) -> None:
        from moto.moto_server import werkzeug_app
        from werkzeug.serving import make_server

        # With its default, moto would let every web page read its responses.
        setattr(werkzeug_app, "DISABLE_GLOBAL_CORS", True)  # noqa: B010 - moto reads it, but does not export it

        class Quiet(werkzeug_app.MotoRequestHandler):
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
                del type, message, args

        s3_overlay.install()
        iam_overlay.install()
        logs_overlay.install()
        self.activity = activity or Activity()
        self.credentials = credentials or Credentials.random()
        self.scenario, self.faults, self.clock, self.denied = Scenario(), Faults(), Clock(), DeniedActions()
        self.violations: Callable[[str, str, JsonObject], list[str]] = lambda _service, _operation, _request: []
        self._containers = Containers(requirements)
        self._hosting = HostingApi(self.scenario, self.clock)
        self.invocations = Invocations(self._hosting, self.activity, self._containers, self.clock)
        self.jobs = processing.ProcessingJobs(self.clock)
        self._control = Control(self.scenario, self.faults, self.invocations, self.clock, self.denied, self.reset)
        self._moto = werkzeug_app.DomainDispatcherApplication(_moto_service)
        # For each request moto would list its own folder twice, and try the patterns of all its services.
        remembering = lru_cache(_HOSTS)(self._moto.get_backend_for_host)
        setattr(self._moto, "get_backend_for_host", remembering)  # noqa: B010 - a method, for the type checker
        server: Any = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Quiet)
        # The server must not wait for connections that clients keep open when it stops.
        server.daemon_threads, server.block_on_close = True, False
        self._server = server
        self.jobs.environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
        self.hosts = admission.loopback(server.server_port)

    @property
    def url(self) -> str:
        """Address of the server, for `AWS_ENDPOINT_URL`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Create the initial state, then serve from a new thread."""
        self.reset()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True).start()

    def warm(self) -> None:
        """Import the parts of moto that the first deployment will need, some of which take seconds to import."""
        for name in ("sts", "sns", "logs", "cloudwatch", "applicationautoscaling"):
            with self._moto.lock:  # moto's own imports hold it; parts of moto import each other in circles
                importlib.import_module(f"moto.{name}.responses")

    def stop(self) -> None:
        """Stop serving, free the port and stop the containers."""
        self._server.shutdown()
        self._server.server_close()
        self._containers.stop()
        self.jobs.reset()

    def reset(self) -> None:
        """Go back to the initial state: no faults, a bucket and a role, nothing else."""
        self.scenario.clear()
        self.clock.reset()
        self.denied.set(())
        self.faults.clear()
        self.jobs.reset()
        self.invocations.reset()
        self._hosting.reset()
        moto_state.reset()

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI application of the server."""
        headers = headers_of(environ)
        reason = admission.refusal(environ["REQUEST_METHOD"], environ["REQUEST_URI"], headers, self.hosts)
        if reason:
            return error_response(environ, AwsError("AccessDenied", reason, 403)).send(environ, start_response)
        with self.activity.busy():
            if environ["PATH_INFO"].startswith("/_sandbox/"):
                return self._execute_control(environ).send(environ, start_response)
            return self._serve_aws(environ, start_response)

    def _serve_aws(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Respond; the request is in the log before the first byte of the response is sent."""
        log, status = self.faults.begin(), 0

        def start(line: str, *rest: Any) -> Any:
            nonlocal status
            status = int(line[:3])
            return start_response(line, *rest)

        try:
            response = self._respond(environ)
            return response.send(environ, start) if response else self._moto(environ, start)
        except AwsError as error:
            return error_response(environ, error).send(environ, start)
        finally:
            logged = LoggedRequest(
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                environ.get("HTTP_RANGE") or environ.get("HTTP_X_AMZ_COPY_SOURCE_RANGE"),
                status,
                received=int(environ.get("CONTENT_LENGTH") or 0),
                query=environ["QUERY_STRING"],
            )
            self.faults.record(logged, log)

    def _respond(self, environ: WSGIEnvironment) -> WsgiResponse | None:
        """The response of a fault or of an overlay; None if the request is for moto.

        Raises:
            AwsError: the response is an error.
        """
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        signed = signature.check(environ, self.credentials, self.jobs.session)
        region = signed.region
        if self.faults.happen("drop", path, method):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return WsgiResponse(503, b"")  # which nobody gets
        if self.faults.happen("expired_login", path, method):
            read_body(environ)
            raise AwsError("ExpiredToken", "The security token included in the request is expired", 400)
        self._hosting.pass_time()
        self.invocations.dispatch()
        if slow := self.faults.happen("latency", path, method):
            time.sleep(slow.value)
        if fault := self.faults.happen("status", path, method):
            read_body(environ)  # or the client would see a closed connection while it sends
            code = _S3_ERRORS.get(int(fault.value), "InternalError")
            error = AwsError(code, "This is a fault of the sandbox.", int(fault.value))
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return error_response(environ, error, headers)
        self.denied.check(environ, signed.service, region)
        if session := self.jobs.session(signed.access_key):
            denied.check_role(environ, signed.service, region, session.role)
        if invocation := INVOCATION.fullmatch(path):
            return self._invoke(region, invocation[1], asynchronous=bool(invocation[2]), environ=environ)
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if service:
            return self._call(service, operation, region, json.loads(read_body(environ) or b"{}"))
        return None

    def _call(self, service: str, operation: str, region: str, body: JsonObject) -> WsgiResponse | None:
        """The response of an overlay to an operation of a service with JSON requests; None if it is for moto.

        Raises:
            AwsError: the response is an error.
        """
        if refused := self.violations(service, operation, body):
            errors = "error" if len(refused) == 1 else "errors"
            text = f"{len(refused)} validation {errors} detected: {'; '.join(refused)}"
            raise AwsError("ValidationException", text)
        for part in (self._hosting, self.jobs):
            if service == "SageMaker" and part.knows(operation):
                return json_response(200, part.call(operation, region, body))
        if (answer := _overlaid(service, operation, region, body)) is not None:
            return json_response(200, answer)
        if operation == "DescribeScalingActivities":  # moto has no such operation
            return json_response(200, self._hosting.scaling_activities(region, body))
        if operation in {"GetMetricData", "DescribeAlarms"}:
            self._hosting.publish_metrics(region)
        if service == "AnyScaleFrontendService":
            self._prepare_scaling(operation, region, body)
        return None

    def _prepare_scaling(self, operation: str, region: str, body: JsonObject) -> None:
        """What Application Auto Scaling checks and does, and moto does not.

        Raises:
            AwsError: the response is an error.
        """
        moto_scaling.check_exists(operation, region, body)
        if operation == "PutScheduledAction":
            moto_scaling.check_action(body)
        variant = _SCALABLE.fullmatch(body.get("ResourceId", ""))
        if variant and operation == "RegisterScalableTarget":
            self._hosting.note_new_bounds(region, variant[1])  # moto would accept an endpoint that does not exist
        if variant and operation == "DeregisterScalableTarget":
            moto_scaling.delete_policies(region, body["ResourceId"])  # moto would keep them

    def _invoke(self, region: str, endpoint: str, *, asynchronous: bool, environ: WSGIEnvironment) -> WsgiResponse:
        if not asynchronous:
            raise AwsError(
                "ValidationError", f"Endpoint {endpoint} of the sandbox takes asynchronous invocations only."
            )
        body = read_body(environ)
        locations, inference_id = self.invocations.accept(region, endpoint, headers_of(environ), body)
        return json_response(202, {"InferenceId": inference_id}, locations)

    def _execute_control(self, environ: WSGIEnvironment) -> WsgiResponse:
        if not matches(headers_of(environ).get(CONTROL_HEADER.lower()), self.credentials.control_token):
            message = f"control routes need the header {CONTROL_HEADER} with the value from the sandbox's state file"
            return json_response(403, {"error": message})
        try:
            body = json.loads(read_body(environ) or b"null")
            return json_response(200, self._control.execute(environ["REQUEST_METHOD"], environ["PATH_INFO"], body))
        except (KeyError, TypeError, ValueError) as error:
            return json_response(400, {"error": str(error)})


def _overlaid(service: str, operation: str, region: str, body: JsonObject) -> JsonObject | None:
    """The answer of an overlay that keeps nothing itself; None if there is none for the operation.

    Raises:
        AwsError: the response is an error.
    """
    if service.startswith("AmazonEC2ContainerRegistry") and ecr.handles(operation, body):
        return ecr.call(operation, body)
    if service == "ServiceQuotasV20190624" and operation in quotas.OPERATIONS:
        return quotas.call(operation, body)
    if service == "TrentService" and operation in kms_overlay.OPERATIONS:  # KMS, as its protocol calls it
        return kms_overlay.call(operation, region, body)
    if service == "AWSPriceListService":
        return price_list.call(operation, body)
    return None


def _moto_service(service: Any) -> Any:
    """The WSGI application of one of moto's services; one that rejects every request if it is not in `SERVICES`."""
    from moto.moto_server.werkzeug_app import create_backend_app

    if service in SERVICES:
        return create_backend_app(service)

    def reject(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        error = AwsError("UnknownOperationException", "The sandbox does not have this service.", 404)
        return error_response(environ, error).send(environ, start_response)

    return reject
