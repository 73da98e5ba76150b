"""Send one asynchronous request to a deployed endpoint, and wait for its result or its failure."""

from __future__ import annotations

import mimetypes
import stat
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sagepack import decoding
from sagepack.aws import sagemaker
from sagepack.aws.logs import log_group
from sagepack.aws.s3 import S3, S3Uri
from sagepack.deploy.results import MAX_SIZE
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.files import unreadable
from sagepack.text import counted, format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.progress import Progress
    from sagepack.spec.model import AsyncInference, Endpoint

MAX_REQUEST_SIZE = 1_000_000_000  # bytes (SageMaker developer guide, "Asynchronous inference": up to 1 GB)
MAX_INVOCATION_TIMEOUT = 3600  # seconds (API reference, InvokeEndpointAsync, InvocationTimeoutSeconds)
DEFAULT_TIMEOUT = 900.0  # seconds
_FIRST_DELAY = 0.25  # seconds
_MAX_FAILURE_TEXT = 4000  # characters of a failure that are shown
_MAX_FAILURE_SIZE = 4 * _MAX_FAILURE_TEXT  # bytes of it that are fetched
# While an endpoint is being updated, its old instances serve.
_ACCEPTS_REQUESTS = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})


@dataclass(frozen=True)
class InferenceResult:
    """The result of a request.

    Attributes:
        body: the response of the container.
        location: URI of the object in S3 to which SageMaker wrote it; it is not deleted.
        inference_id: id of the request, which the endpoint's log and metrics name.
        seconds: from sending the request to the result.
    """

    body: bytes
    location: str
    inference_id: str
    seconds: float


def predict(
    aws: Aws,
    s3: S3,
    endpoint: Endpoint,
    request: bytes | Path,
    progress: Progress,
    *,
    content_type: str | None = None,
    waiter: WaiterConfig | None = None,
) -> InferenceResult:
    """Send `request` to `endpoint` and wait for the result.

    The request's own object in S3 is deleted afterwards; not if no result came in time, since the request is still in the
    endpoint's queue then.

    Args:
        aws: the session.
        s3: S3, with the owner condition, the encryption and the tags of the spec.
        endpoint: the declared endpoint; its asynchronous settings say where requests and results are in S3.
        request: the body, or the file that holds it.
        progress: gets a note while the wait lasts.
        content_type: of the request; None means that of the file's suffix, or `application/json` for bytes.
        waiter: how often to look, and how long, with the time in which the endpoint scales up from zero; None means 15
            minutes.

    Raises:
        UserError: the endpoint does not exist or does not accept requests, or the file cannot be read.
        RemoteError: the request failed (the message is the container's), or no result came in time.
    """
    waiter = waiter or WaiterConfig(timeout=DEFAULT_TIMEOUT)
    content_type = _check_request(request, content_type)
    _require_accepting(aws, endpoint.name)
    inference_id = uuid.uuid4().hex
    source = S3Uri.parse(f"{input_prefix(endpoint.asynchronous)}{inference_id}")
    s3.put(source, request, content_type=content_type, if_absent=True)
    call = {
        "EndpointName": endpoint.name,
        "InputLocation": str(source),
        "ContentType": content_type,
        "Accept": "application/json",
        "InferenceId": inference_id,
        # This limits the invocation alone, not its time in the queue: a short wait here must not end it early.
        "InvocationTimeoutSeconds": min(max(int(waiter.timeout), 900), MAX_INVOCATION_TIMEOUT),
    }
    try:
        locations = sagemaker.invoke_endpoint_async(aws, call)
        invocation = _Invocation(aws, s3, endpoint.name, inference_id, locations)
        with progress.activity("waiting for the answer; the first request of a container also loads the model"):
            result = invocation.wait(progress, waiter)
    except SagepackError:
        _delete_request(s3, source, progress)
        raise
    if result is None:
        raise invocation.timed_out(waiter.timeout)
    _delete_request(s3, source, progress)
    return result


def input_prefix(settings: AsyncInference) -> str:
    """The S3 prefix of requests: `input/` next to the output and failure paths, or in the output path if these share no folder.

    `s3://b/async/e/output/` and `s3://b/async/e/failure/` give `s3://b/async/e/input/`.
    """
    output, failure = S3Uri.parse(settings.s3_output_path), S3Uri.parse(settings.s3_failure_path)
    shared = []
    if output.bucket == failure.bucket:
        for one, two in zip(output.key.split("/"), failure.key.split("/"), strict=False):
            if one != two or not one:
                break
            shared.append(one)
    return str(S3Uri(output.bucket, "/".join(shared) or output.key.strip("/")).child("input/"))


@dataclass(frozen=True)
class _Invocation:
    """A request in the queue of an endpoint; an object will appear at one of its two locations."""

    aws: Aws
    s3: S3
    endpoint_name: str
    inference_id: str
    locations: sagemaker.AsyncInvocation

    def wait(self, progress: Progress, waiter: WaiterConfig) -> InferenceResult | None:
        """The result; None if none came within `waiter.timeout`.

        Raises:
            RemoteError: the endpoint reported a failure, or the result is too large.
        """
        output, failure = self.locations.output_location, self.locations.failure_location
        progress.note(f"request {self.inference_id} is in the queue; its answer will be at {output}")
        reported = 0.0
        for elapsed in waiter.attempts(first_delay=_FIRST_DELAY):
            if (body := self.s3.get(S3Uri.parse(output), MAX_SIZE)) is not None:
                if len(body) > MAX_SIZE:
                    message = f"the result has more than {MAX_SIZE:,} bytes"
                    raise RemoteError(message, where=output, fix="fetch it with `aws s3 cp`")
                return InferenceResult(body, output, self.inference_id, elapsed)
            text = self.s3.get(S3Uri.parse(failure), _MAX_FAILURE_SIZE) if failure else None
            if text is not None:
                raise RemoteError(
                    f"the endpoint failed on request {self.inference_id}: {_failure_text(text)}",
                    where=failure,
                    fix=f"the container's log is in log group {log_group(self.endpoint_name)}",
                )
            if elapsed - reported >= waiter.repeat:
                progress.note(f"no result after {format_duration(elapsed)}; {self._endpoint_state()}")
                reported = elapsed
        return None

    def timed_out(self, timeout: float) -> RemoteError:
        """The error for a request without a result after `timeout` seconds."""
        output, name = self.locations.output_location, self.endpoint_name
        fix = (
            f"{self._endpoint_state()}; the request stays in the queue for up to 6 hours, and its result will appear at that "
            "URI. An endpoint without instances needs several minutes to start one, and earlier requests come first: wait "
            f"longer with --timeout, or check the metric ApproximateBacklogSize and log group {log_group(name)}"
        )
        if self.s3.denies(S3Uri.parse(output)):
            fix = f"S3 denied access: give the caller s3:GetObject on it and s3:ListBucket on the bucket; {fix}"
        return RemoteError(f"no result after {int(timeout)} s", where=output, fix=fix)

    def _endpoint_state(self) -> str:
        endpoint = sagemaker.describe_endpoint(self.aws, self.endpoint_name)
        if endpoint is None:
            return "the endpoint was deleted"
        count = next((variant.current_instance_count for variant in endpoint.production_variants), None)
        return f"the endpoint is {endpoint.endpoint_status}" + (
            "" if count is None else f" with {counted(count, 'instance')}"
        )


def _delete_request(s3: S3, source: S3Uri, progress: Progress) -> None:
    """Delete the request's object; if that is denied or fails, the result is still returned."""
    try:
        s3.delete(source)
    except SagepackError as error:
        progress.note(f"the request stays at {source}: {error.message}")


def _require_accepting(aws: Aws, endpoint_name: str) -> None:
    endpoint, where = sagemaker.describe_endpoint(aws, endpoint_name), f"endpoint {endpoint_name}"
    if endpoint is None:
        raise UserError("there is no such endpoint", where=where, fix="run `invoke deploy` first")
    if endpoint.endpoint_status not in _ACCEPTS_REQUESTS:
        fix = "run `invoke deploy`: it waits for the endpoint, or creates it again"
        raise UserError(f"the endpoint is {endpoint.endpoint_status}", where=where, fix=fix)


def _check_request(request: bytes | Path, content_type: str | None) -> str:
    """Check what can be checked before a request is sent, and return its content type.

    Raises:
        UserError: the file cannot be read or is too large, or it is named as JSON and is none.
    """
    if isinstance(request, bytes):
        return content_type or "application/json"
    content_type = content_type or mimetypes.guess_type(request.name)[0] or "application/octet-stream"
    where = str(request)
    try:
        status = request.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError("the request is not a file", where=where, fix="name a JSON file or a picture")
        if status.st_size > MAX_REQUEST_SIZE:
            message = f"the request has more than {MAX_REQUEST_SIZE:,} bytes"
            raise UserError(message, where=where, fix="send less in one request")
        with request.open("rb") as file:
            is_checked = content_type == "application/json" and status.st_size <= decoding.LIMIT
            text = file.read() if is_checked else None
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=where, fix=fix) from error
    if text is not None:
        try:
            decoding.decode_json(text.decode().encode(), msgspec.Raw)
        except ValueError as error:
            raise UserError(f"the request is not JSON: {error}", where=where, fix="correct the file") from error
    return content_type


def _failure_text(failure: bytes) -> str:
    text = failure.decode(errors="replace").strip()
    return text if len(text) <= _MAX_FAILURE_TEXT else f"{text[:_MAX_FAILURE_TEXT]} ..."
