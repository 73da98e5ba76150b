"""One asynchronous request to a deployed endpoint: send it, wait for the answer or the failure, whichever comes."""

from __future__ import annotations

import mimetypes
import stat
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sagepack import decoding
from sagepack.aws import sagemaker
from sagepack.aws.logs import group_of
from sagepack.aws.s3 import S3, S3Uri
from sagepack.deploy.results import LIMIT
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, SagepackError, UserError

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.progress import Progress
    from sagepack.spec.model import AsyncInference, Endpoint

_FIRST_WAIT = 0.25  # seconds; doubled up to the pace's poll
_LONGEST_TEXT = 4000  # characters of a failure that are shown
_LONGEST_FAILURE = 4 * _LONGEST_TEXT  # bytes of it that are fetched
LARGEST_REQUEST = 1_000_000_000  # bytes; developer guide, "Asynchronous inference": up to 1 GB
LONGEST_INVOCATION = 3600  # seconds; API reference, InvokeEndpointAsync, InvocationTimeoutSeconds


@dataclass(frozen=True)
class InferenceResult:
    """What an endpoint answered.

    Attributes:
        body: the bytes of the answer.
        location: S3 URI where SageMaker put it, and where it stays.
        inference_id: id of the request; the endpoint's log and metrics know it.
        seconds: from sending to the answer.
    """

    body: bytes
    location: str
    inference_id: str
    seconds: float


def predict(
    aws: Aws,
    endpoint: Endpoint,
    request: bytes | Path,
    progress: Progress,
    *,
    store: S3 | None = None,
    content_type: str | None = None,
    accept: str = "application/json",
    timeout: float = 900,
    pace: WaiterConfig | None = None,
) -> InferenceResult:
    """Send `request` to `endpoint` and wait for what comes of it.

    The input object is deleted afterwards, unless the wait was given up: the request may still be in the queue then.

    Args:
        aws: the session.
        endpoint: the endpoint as declared; its asynchronous settings say where inputs and answers lie.
        request: the body, or the file that holds it.
        progress: told while it waits.
        store: S3, with the owner condition and the encryption and tags of the spec; None for a client without them.
        content_type: of the request; None goes by the file's name, else `application/json`.
        accept: content type wanted.
        timeout: seconds to wait for an answer, scaling from zero included.
        pace: how often to look.

    Raises:
        UserError: there is no such endpoint, it is not in service, or the file cannot be read.
        RemoteError: the request failed (with the text of the failure), or nothing came in time.
    """
    pace, store = pace or WaiterConfig(), store or S3(aws.client("s3"))
    kind = _checked(request, content_type)
    _require_in_service(aws, endpoint.name)
    inference_id = uuid.uuid4().hex
    source = f"{input_prefix(endpoint.asynchronous)}{inference_id}"
    store.put(S3Uri.parse(source), request, content_type=kind, if_absent=True)
    call = {
        "EndpointName": endpoint.name,
        "InputLocation": source,
        "ContentType": kind,
        "Accept": accept,
        "InferenceId": inference_id,
        # The clock of the invocation itself; the queue has its own, so an impatient caller does not shorten it.
        "InvocationTimeoutSeconds": min(max(int(timeout), 900), LONGEST_INVOCATION),
    }
    try:
        sent = _Sent(endpoint.name, inference_id, *sagemaker.invoke_async(aws, call))
        answer = _wait(aws, store, sent, progress, timeout, pace)
    except _GivenUpError:
        raise
    except SagepackError:
        _forget(store, source, progress)
        raise
    _forget(store, source, progress)
    return answer


def input_prefix(settings: AsyncInference) -> str:
    """Where requests are put: `input/` beside the output and failure paths, or under the output path if these share nothing.

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


class _GivenUpError(RemoteError):
    """Nothing came in time."""


@dataclass(frozen=True)
class _Sent:
    """A request under way, and the two places of which one will get an object."""

    endpoint: str
    inference_id: str
    output: str
    failure: str | None


def _wait(aws: Aws, store: S3, sent: _Sent, progress: Progress, timeout: float, pace: WaiterConfig) -> InferenceResult:
    start, told, pause = pace.clock(), pace.clock(), min(_FIRST_WAIT, pace.poll)
    progress.note(f"sent request {sent.inference_id}; waiting for {sent.output}")
    while True:
        if (body := store.get(S3Uri.parse(sent.output), LIMIT)) is not None:
            if len(body) > LIMIT:
                raise RemoteError(
                    f"the answer has more than {LIMIT:,} bytes", where=sent.output, fix="fetch it with `aws s3 cp`"
                )
            return InferenceResult(body, sent.output, sent.inference_id, pace.clock() - start)
        text = store.get(S3Uri.parse(sent.failure), _LONGEST_FAILURE) if sent.failure is not None else None
        if text is not None:
            raise RemoteError(
                f"the endpoint failed on request {sent.inference_id}: {_text(text)}",
                where=sent.failure,
                fix=f"the container's log is in log group {group_of(sent.endpoint)}",
            )
        now = pace.clock()
        if now - start >= timeout:
            raise _given_up(aws, store, sent, timeout)
        if now - told >= pace.again:
            progress.note(f"no answer yet after {int(now - start)} s; {_state(aws, sent.endpoint)}")
            told = now
        pace.sleep(min(pause, max(0.0, start + timeout - now)))
        pause = min(pause * 2, pace.poll)


def _given_up(aws: Aws, store: S3, sent: _Sent, timeout: float) -> RemoteError:
    fix = (
        f"{_state(aws, sent.endpoint)}; the request stays in the queue (6 hours at most) and its answer will appear at that URI. "
        "An endpoint that sleeps needs several minutes to wake, and requests before this one come first: wait longer with "
        f"--timeout, or look at ApproximateBacklogSize and at log group {group_of(sent.endpoint)}"
    )
    if store.denies(S3Uri.parse(sent.output)):
        fix = f"S3 forbids looking: allow the caller s3:GetObject there and s3:ListBucket on the bucket; {fix}"
    return _GivenUpError(f"no answer after {int(timeout)} s", where=sent.output, fix=fix)


def _forget(store: S3, source: str, progress: Progress) -> None:
    """Delete the input object; a caller who may not delete still gets the answer."""
    try:
        store.delete(S3Uri.parse(source))
    except SagepackError as error:
        progress.note(f"the request stays at {source}: {error.message}")


def _state(aws: Aws, endpoint: str) -> str:
    live = sagemaker.describe_endpoint(aws, endpoint)
    if live is None:
        return "the endpoint is gone"
    count = next((variant.current_instance_count for variant in live.production_variants), None)
    return f"the endpoint is {live.endpoint_status}" + ("" if count is None else f" with {count} instances")


def _require_in_service(aws: Aws, endpoint: str) -> None:
    live = sagemaker.describe_endpoint(aws, endpoint)
    if live is None:
        raise UserError("there is no such endpoint", where=f"endpoint {endpoint}", fix="run `invoke deploy` first")
    # While it is updated the old fleet serves.
    if live.endpoint_status not in {"InService", "Updating", "SystemUpdating", "RollingBack"}:
        fix = "run `invoke deploy`: it waits for the endpoint or mends it"
        raise UserError(f"the endpoint is {live.endpoint_status}", where=f"endpoint {endpoint}", fix=fix)


def _checked(request: bytes | Path, content_type: str | None) -> str:
    """The content type of a request that can be sent.

    Raises:
        UserError: the file cannot be read, is too large, or is JSON by its name and not by its content.
    """
    if isinstance(request, bytes):
        return content_type or "application/json"
    kind = content_type or mimetypes.guess_type(request.name)[0] or "application/octet-stream"
    where = str(request)
    try:
        status = request.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError("the request is not a file", where=where, fix="name a JSON file or a picture")
        if status.st_size > LARGEST_REQUEST:
            raise UserError(
                f"the request has more than {LARGEST_REQUEST:,} bytes", where=where, fix="send less at once"
            )
        with request.open("rb") as file:
            text = file.read() if kind == "application/json" and status.st_size <= decoding.LIMIT else None
    except OSError as error:
        raise UserError(f"the request cannot be read: {error.strerror}", where=where) from error
    if text is not None:
        try:
            decoding.decode_json(text.decode().encode(), msgspec.Raw)
        except ValueError as error:
            raise UserError(f"the request is not JSON: {error}", where=where, fix="correct the file") from error
    return kind


def _text(failure: bytes) -> str:
    text = failure.decode(errors="replace").strip()
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
