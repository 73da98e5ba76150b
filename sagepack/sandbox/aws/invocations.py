"""Asynchronous invocations: requests and results in S3 at the locations that SageMaker uses, handled by background threads."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import model_data, moto_state
from sagepack.sandbox.aws.hosting_rules import invalid
from sagepack.sandbox.identity import REGION
from sagepack.serving import model_server, runner
from sagepack.serving.containers import Package
from sagepack.serving.model_server import InferenceRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.sandbox.activity import Activity
    from sagepack.sandbox.aws.clock import Clock
    from sagepack.sandbox.aws.hosting import Endpoint
    from sagepack.sandbox.aws.hosting_api import HostingApi
    from sagepack.sandbox.aws.wsgi import JsonObject
    from sagepack.serving.containers import Containers

_HEADER = "X-Amzn-SageMaker-"
_INLINE_BYTES = 128_000
_THREADS = 4
_TIMEOUT_SECONDS = 900.0
_TTL_SECONDS = 6 * 3600.0
# Made up: nobody has published what SageMaker writes when an instance finds no input (metric RequestDownloadFailures).
_NO_INPUT = "Failed to download the request from {}: the object does not exist or cannot be read."


@dataclass
class ScriptedResult:
    """A result that a test defines, instead of the package's.

    Attributes:
        body: the body; of a failure, the message of the container.
        status: 200, or the status of a failure.
        content_type: media type of the body.
        delay: seconds until it is delivered.
        endpoint: the endpoint that it is for; `*` means any.
        times: how many more requests get it; None means no limit.
        log: lines that the container writes to the endpoint's log group before it answers.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    delay: float = 0.0
    endpoint: str = "*"
    times: int | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Job:
    """One accepted request.

    Attributes:
        endpoint: the endpoint.
        accepted: when the request was accepted, by the clock.
        content: body of an inline request; None if an instance reads it from `input_location`.
        parameters: parameters of InvokeEndpointAsync, from its headers: names in lower case, without their prefix.
        notifications: NotificationConfig of the endpoint; empty if it has none.
        inference_id: id of the inference.
        output_uri: where the result of a success is written.
        failure_uri: where a failure is written; None if the endpoint defines no location.
        key: the KMS key that encrypts either; None for the bucket's default.
    """

    endpoint: Endpoint
    accepted: float
    content: bytes | None
    parameters: Mapping[str, str]
    notifications: JsonObject
    inference_id: str
    output_uri: str
    failure_uri: str | None
    key: str | None


class Invocations:
    """Accepts requests and delivers their results later, from background threads.

    Attributes:
        received: (endpoint, content) of every request whose result was delivered, for tests.
        default: the result of a request for which none is scripted, in the place of the package's; None for the package's.
    """

    def __init__(self, hosting: HostingApi, activity: Activity, containers: Containers, clock: Clock) -> None:
        self._hosting, self._clock = hosting, clock
        self._activity = activity
        self._containers = containers
        self._scripted: list[ScriptedResult] = []
        self._queue: list[_Job] = []
        self._served: dict[str, Endpoint] = {}  # by the key of the package that answered for it
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="endpoint")
        self._lock = threading.Lock()
        self._cancelled = threading.Event()  # a new one after each reset
        self.received: list[tuple[str, bytes]] = []
        self.default: ScriptedResult | None = None

    def script(self, result: ScriptedResult) -> None:
        """Use `result` for coming requests; of several for an endpoint, the one that was added first is used."""
        with self._lock:
            self._scripted.append(result)

    @property
    def problem(self) -> str | None:
        """Why the next request cannot be answered as AWS would; None if it can."""
        with self._lock:
            is_scripted = self.default is not None or any(result.times != 0 for result in self._scripted)
        return None if is_scripted else model_server.unavailable()

    def reset(self) -> None:
        """Forget scripted results and received requests, cancel requests in progress and stop the containers."""
        with self._lock:
            self._scripted.clear()
            self._queue.clear()
            self._served.clear()
            self.received.clear()
            self.default = None
            self._cancelled.set()
            self._cancelled = threading.Event()
        self._containers.stop()

    def accept(self, region: str, name: str, headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], str]:
        """Execute InvokeEndpointAsync: check the request and enqueue it.

        Args:
            region: region of the endpoint.
            name: the endpoint.
            headers: header names in lower case -> values.
            body: an inline request; empty if the header `InputLocation` names one.

        Returns:
            The response's headers with the locations of result and failure, and the id of the inference.

        Raises:
            AwsError: the endpoint does not exist, is not asynchronous or not in service, or there is no input or two.
        """
        parameters = {key.removeprefix(_HEADER.lower()): value for key, value in headers.items()}
        endpoint = self._hosting.endpoint(region, name)
        if not endpoint.counts or endpoint.status in {"Creating", "Failed", "Deleting"}:
            raise invalid(f"Endpoint {name} of account is not in service: {endpoint.status}.")
        output = endpoint.serving.request.get("AsyncInferenceConfig", {}).get("OutputConfig")
        if output is None:
            raise invalid(f"Endpoint {name} does not support asynchronous inference.")
        failure_path = output.get("S3FailurePath")
        job = _Job(
            endpoint=endpoint,
            accepted=self._clock.now(),
            content=_inline(parameters.get("inputlocation"), body),
            parameters=parameters,
            notifications=output.get("NotificationConfig", {}),
            inference_id=parameters.get("inference-id") or str(uuid.uuid4()),
            output_uri=_output_uri(output["S3OutputPath"], parameters),
            failure_uri=f"{failure_path.rstrip('/')}/{uuid.uuid4()}-error.out" if failure_path else None,
            key=output.get("KmsKeyId"),
        )
        self._hosting.queue(endpoint, 1)
        with self._lock:
            self._queue.append(job)
        self.dispatch()
        failure = {f"{_HEADER}FailureLocation": job.failure_uri} if job.failure_uri else {}
        return {f"{_HEADER}OutputLocation": job.output_uri, **failure}, job.inference_id

    def dispatch(self) -> None:
        """Give the queued requests to the instances of their endpoints; those for a fleet without instances wait on.

        The container of an endpoint without instances is stopped: it takes a gigabyte of memory. A request whose RequestTTLSeconds are over is forgotten. Whether AWS tells anybody is not known (metric ExpiredRequests).
        """
        with self._lock:
            queue, self._queue = self._queue, []
            expired = [job for job in queue if self._is_expired(job)]
            for job in queue:
                if job in expired or job.endpoint.status == "Deleted":
                    continue
                if any(job.endpoint.counts.values()):
                    self._pool.submit(self._process, job, self._cancelled)
                else:
                    self._queue.append(job)
            idle = [key for key, endpoint in self._served.items() if not _has_instances(endpoint)]
            for key in idle:
                del self._served[key]
                self._pool.submit(self._containers.drop, key)
        for job in expired:
            self._hosting.expire(job.endpoint)

    def _is_expired(self, job: _Job) -> bool:
        """Whether no instance was there in time; one that has started by now took the request when it started."""
        awake = any(job.endpoint.counts.values())
        taken = max(job.accepted, job.endpoint.modified) if awake else self._clock.now()
        return taken > job.accepted + float(job.parameters.get("requestttlseconds", _TTL_SECONDS))

    def _process(self, job: _Job, cancelled: threading.Event) -> None:
        """Handle one request and deliver its result, unless a reset comes first."""
        if cancelled.is_set():
            return
        with self._activity.busy():
            content = _read(job)
            if content is None:
                result = ScriptedResult(_NO_INPUT.format(job.parameters["inputlocation"]).encode(), 400)
            else:
                result = self._next_scripted(job.endpoint.name) or self.default or self._run(job, content)
            if result.log:
                moto_state.log(REGION, job.endpoint.name, result.log)
            if cancelled.wait(result.delay):
                return
            self._hosting.queue(job.endpoint, -1)
            if result.status != HTTPStatus.OK:
                self._hosting.fail(job.endpoint)
            with self._lock:
                if not cancelled.is_set():
                    if content is not None:
                        self.received.append((job.endpoint.name, content))
                    _deliver(job, result)

    def _next_scripted(self, endpoint: str) -> ScriptedResult | None:
        with self._lock:
            for result in self._scripted:
                if result.endpoint in {"*", endpoint} and result.times != 0:
                    if result.times is not None:
                        result.times -= 1
                    return result
        return None

    def _run(self, job: _Job, content: bytes) -> ScriptedResult:
        """The result of the package itself."""
        config = job.endpoint.serving
        variant = config.request["ProductionVariants"][0]
        model = config.models[variant["ModelName"]]
        container: JsonObject = (model.get("Containers") or [model["PrimaryContainer"]])[0]
        package = Package(
            {"instance": config.instance, "container": container},
            container.get("Environment", {}),
            partial(model_data.unpack, container),
            partial(moto_state.log, REGION, job.endpoint.name, stream=f"{variant['VariantName']}/{config.instance}"),
        )
        request = InferenceRequest(
            content,
            content_type=job.parameters.get("content-type", "application/json"),
            accept=job.parameters.get("accept", "application/json"),
            timeout=float(job.parameters.get("invocationtimeoutseconds", _TIMEOUT_SECONDS)),
        )
        with self._lock:
            self._served[package.key] = job.endpoint
        status, body = runner.invoke(self._containers, package, request)
        return ScriptedResult(body, status, request.accept)


def _has_instances(endpoint: Endpoint) -> bool:
    return endpoint.status != "Deleted" and any(endpoint.counts.values())


def _deliver(job: _Job, result: ScriptedResult) -> None:
    """Write a result to S3 and send the notification."""
    succeeded = result.status == 200
    uri = job.output_uri if succeeded else job.failure_uri
    if uri:
        moto_state.write(uri, result.body, result.content_type, job.key)
    if topic := job.notifications.get("SuccessTopic" if succeeded else "ErrorTopic"):
        moto_state.publish(topic, json.dumps(_notification(job, result, uri)))


def _inline(location: str | None, body: bytes) -> bytes | None:
    """The content of an inline request; None if there is an object at `location` instead, which nobody reads yet."""
    if (location is None) == (not body):
        raise invalid("Provide either InputLocation or Body.")
    if location is None:
        if len(body) > _INLINE_BYTES:
            raise invalid(f"An inline body holds at most {_INLINE_BYTES} bytes.")
        return body
    return None


def _read(job: _Job) -> bytes | None:
    """The content of a request when an instance takes it; None if its object does not exist by then."""
    return moto_state.read(job.parameters["inputlocation"]) if job.content is None else job.content


def _output_uri(path: str, parameters: Mapping[str, str]) -> str:
    parts = [path.rstrip("/"), parameters.get("s3outputpathextension", "").strip("/")]
    return "/".join([*filter(None, parts), parameters.get("filename") or f"{uuid.uuid4()}.out"])


def _notification(job: _Job, result: ScriptedResult, uri: str | None) -> JsonObject:
    """The message that SageMaker publishes for a result."""
    succeeded = result.status == 200
    message: JsonObject = {
        "awsRegion": REGION,
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
        "invocationStatus": "Completed" if succeeded else "Failed",
        "inferenceId": job.inference_id,
        "requestParameters": {"endpointName": job.endpoint.name, "inputLocation": job.parameters.get("inputlocation")},
        "responseParameters": {"contentType": result.content_type, "outputLocation": uri},
    }
    return message if succeeded else {**message, "failureReason": result.body.decode(errors="replace")[:1024]}
