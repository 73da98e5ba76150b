"""Asynchronous invocations: requests and answers in S3, as SageMaker lays them out, answered by threads of the sandbox."""

from __future__ import annotations

import json
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting_rules import AwsError, invalid
from sagepack.sandbox.serving import runner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.sandbox.activity import Activity
    from sagepack.sandbox.aws.hosting_api import HostingApi

_HEADER = "X-Amzn-SageMaker-"
_INLINE_BYTES = 128_000
_THREADS = 4
_TIMEOUT_SECONDS = 900.0


@dataclass
class Answer:
    """What a container answers.

    Attributes:
        body: the body; of a failure, what the container said.
        status: 200, or that of the failure.
        content_type: media type of the body.
        delay: seconds it takes.
        endpoint: the endpoint it is for; `*` for any.
        times: how many requests it still answers; None for all.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    delay: float = 0.0
    endpoint: str = "*"
    times: int | None = None


@dataclass(frozen=True)
class _Job:
    """One accepted request: where from, where to, and what it is for."""

    endpoint: str
    content: bytes
    headers: Mapping[str, str]
    model: dict[str, Any]
    output: dict[str, Any]
    inference_id: str
    answer_uri: str
    failure_uri: str | None


class Invocations:
    """Accepts requests at once and answers them in the background.

    Attributes:
        received: (endpoint, content) of every request that was answered, for tests.
    """

    def __init__(self, hosting: HostingApi, activity: Activity) -> None:
        self._hosting = hosting
        self._activity = activity
        self._answers: list[Answer] = []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="endpoint")
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.received: list[tuple[str, bytes]] = []

    def answer(self, answer: Answer) -> None:
        """Answer coming requests so; answers are used in the order in which they are given here."""
        with self._lock:
            self._answers.append(answer)

    def reset(self) -> None:
        """Forget scripted answers and requests; what is under way writes nothing any more."""
        with self._lock:
            self._answers.clear()
            self.received.clear()
            self._over.set()
            self._over = threading.Event()
        runner.stop()

    def accept(self, region: str, name: str, headers: Mapping[str, str], body: bytes) -> tuple[dict[str, str], str]:
        """InvokeEndpointAsync: check and enqueue.

        Args:
            region: region of the endpoint.
            name: the endpoint.
            headers: header names in lower case.
            body: an inline request; empty if `InputLocation` names one.

        Returns:
            The headers that say where the answer and a failure will be, and the id of the inference.

        Raises:
            AwsError: the endpoint or the input is not there, or the endpoint is not an asynchronous one in service.
        """
        given = {key.removeprefix(_HEADER.lower()): value for key, value in headers.items()}
        endpoint = self._hosting.endpoint(region, name)
        if not endpoint.counts or endpoint.status in {"Creating", "Failed", "Deleting"}:
            raise invalid(f"Endpoint {name} of account is not in service: {endpoint.status}.")
        config = self._hosting.config(region, endpoint.config)
        output = config.get("AsyncInferenceConfig", {}).get("OutputConfig")
        if output is None:
            raise invalid(f"Endpoint {name} does not support asynchronous inference.")
        content = _content(given.get("inputlocation"), body)
        inference_id = given.get("inference-id") or str(uuid.uuid4())
        job = _Job(
            endpoint=endpoint.name,
            content=content,
            headers=given,
            model=self._hosting.model(region, config["ProductionVariants"][0]["ModelName"]),
            output=output,
            inference_id=inference_id,
            answer_uri=_place(output["S3OutputPath"], given),
            failure_uri=_failure_place(output.get("S3FailurePath")),
        )
        with self._lock:
            over = self._over
        self._pool.submit(self._work, job, over)
        failure = {f"{_HEADER}FailureLocation": job.failure_uri} if job.failure_uri else {}
        return {f"{_HEADER}OutputLocation": job.answer_uri, **failure}, inference_id

    def _next(self, endpoint: str) -> Answer | None:
        with self._lock:
            for answer in self._answers:
                if answer.endpoint in {"*", endpoint} and answer.times != 0:
                    if answer.times is not None:
                        answer.times -= 1
                    return answer
        return None

    def _work(self, job: _Job, over: threading.Event) -> None:
        """Answer one request, unless everything is over before that."""
        with self._activity.busy():
            answer = self._next(job.endpoint) or _run(job)
            if over.wait(answer.delay):
                return
            with self._lock:
                if not over.is_set():
                    self.received.append((job.endpoint, job.content))
                    self._deliver(job, answer)

    def _deliver(self, job: _Job, answer: Answer) -> None:
        good = answer.status == 200
        place = job.answer_uri if good else job.failure_uri
        if place:
            moto_state.write(place, answer.body, answer.content_type)
        topics = job.output.get("NotificationConfig", {})
        if topic := topics.get("SuccessTopic" if good else "ErrorTopic"):
            moto_state.publish(topic, json.dumps(_notification(job, answer, place)))


def _run(job: _Job) -> Answer:
    kind = job.headers.get("content-type", "application/json")
    accept = job.headers.get("accept", "application/json")
    limit = float(job.headers.get("invocationtimeoutseconds", _TIMEOUT_SECONDS))
    status, body = runner.answer(job.model, job.content, kind, accept, limit)
    return Answer(body, status, accept)


def _content(location: str | None, body: bytes) -> bytes:
    if (location is None) == (not body):
        raise invalid("Provide either InputLocation or Body.")
    if location is None:
        if len(body) > _INLINE_BYTES:
            raise invalid(f"An inline body holds at most {_INLINE_BYTES} bytes.")
        return body
    found = moto_state.read(location)
    if found is None:
        raise AwsError("ValidationError", f"The input location {location} does not exist or cannot be read.")
    return found


def _place(path: str, given: Mapping[str, str]) -> str:
    parts = [path.rstrip("/"), given.get("s3outputpathextension", "").strip("/")]
    return "/".join([*filter(None, parts), given.get("filename") or f"{uuid.uuid4()}.out"])


def _failure_place(path: str | None) -> str | None:
    return f"{path.rstrip('/')}/{uuid.uuid4()}-error.out" if path else None


def _notification(job: _Job, answer: Answer, place: str | None) -> dict[str, Any]:
    good = answer.status == 200
    return {
        "awsRegion": "us-east-1",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
        "invocationStatus": "Completed" if good else "Failed",
        "inferenceId": job.inference_id,
        "requestParameters": {"endpointName": job.endpoint, "inputLocation": job.headers.get("inputlocation")},
        "responseParameters": {"contentType": answer.content_type, "outputLocation": place},
    } | ({} if good else {"failureReason": answer.body.decode(errors="replace")[:1024]})
