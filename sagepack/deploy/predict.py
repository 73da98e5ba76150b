"""Send one asynchronous request to a deployed endpoint, and wait for its result or its failure."""

from __future__ import annotations

import dataclasses
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack.aws import sagemaker
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import AccessDeniedError, CredentialsError, is_outage
from sagepack.deploy import failure
from sagepack.deploy import request as requests
from sagepack.deploy.media_types import JSON
from sagepack.deploy.observe import newest_scaling
from sagepack.deploy.results import MAX_SIZE
from sagepack.deploy.sent import SentRequest, SentRequests, check_id, new_id
from sagepack.deploy.waiter import WaiterConfig, surviving
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.text import counted, format_duration

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.s3_types import WriteOptions
    from sagepack.aws.session import Aws
    from sagepack.progress import Progress
    from sagepack.spec.model import AsyncInference, Endpoint

MAX_INVOCATION_TIMEOUT = 3600  # seconds (API reference, InvokeEndpointAsync, InvocationTimeoutSeconds)
DEFAULT_TIMEOUT = 900.0  # seconds
WAKING_TIMEOUT = 1800.0  # seconds: two minutes until the alarm, an instance, the image (10 GB), the package
_FIRST_DELAY = 0.25  # seconds
# While an endpoint is being updated, its old instances serve.
_ACCEPTS_REQUESTS = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})


@dataclass(frozen=True)
class InferenceResult:
    """The result of a request.

    Attributes:
        body: the response of the container.
        location: URI of the object in S3 to which SageMaker wrote it; it is not deleted.
        inference_id: id of the request, which the endpoint's log and metrics name.
        seconds: from sending the request, or from beginning to wait for it again, to the result.
        sending: seconds until the request was in the queue; None for one that was sent before.
        download: seconds in which the result came from S3.
    """

    body: bytes
    location: str
    inference_id: str
    seconds: float
    sending: float | None = None
    download: float = 0.0


def predict(
    aws: Aws,
    s3: S3,
    endpoint: Endpoint,
    request: bytes | Path,
    progress: Progress,
    *,
    content_type: str = JSON,
    accept: str = JSON,
    waiter: WaiterConfig | None = None,
    remembered: SentRequests | None = None,
) -> InferenceResult:
    """Send `request` to `endpoint` and wait for the result.

    If a wait for the answer to the same request ended without one, and that request is still in the endpoint's queue, nothing
    is sent and the wait goes on. The request's own object in S3 is deleted when a result or a failure was seen, never before:
    SageMaker reads it when an instance takes the request.

    Args:
        aws: the session.
        s3: S3, with the owner condition, the encryption and the tags of the spec.
        endpoint: the declared endpoint; its asynchronous settings say where requests and results are in S3.
        request: the body, or the file that holds it; it was checked (`exchange.prepare`).
        progress: gets a note while the wait lasts.
        content_type: of the request.
        accept: the media type that the answer should have.
        waiter: how often to look, and how long, with the time in which the endpoint scales up from zero; None means the
            `default_timeout` of the endpoint.
        remembered: the requests that this machine sent; None remembers nothing.

    Raises:
        UserError: the endpoint does not exist or does not accept requests, or the container refused this one.
        RemoteError: the endpoint failed on the request (the message is the container's), or no result came in time.
    """
    waiter = waiter or WaiterConfig(timeout=default_timeout(endpoint))
    sender = Sender(aws, s3, endpoint, progress, accept=accept, timeout=waiter.timeout, remembered=remembered)
    with surviving(aws, progress, waiter):
        return _await(sender, sender.begin(request, content_type), waiter)


def fetch(
    aws: Aws,
    s3: S3,
    endpoint: Endpoint,
    inference_id: str,
    progress: Progress,
    *,
    waiter: WaiterConfig,
    remembered: SentRequests,
) -> InferenceResult:
    """The result of a request that was sent before; waits for it if this machine sent the request.

    Args:
        aws: the session.
        s3: S3, with the owner condition of the spec.
        endpoint: the declared endpoint.
        inference_id: id of the request.
        progress: gets a note while the wait lasts.
        waiter: how often to look, and how long.
        remembered: the requests that this machine sent.

    Raises:
        UserError: there is no such request, or the container refused it.
        RemoteError: the endpoint failed on the request, or no result came in time.
    """
    check_id(inference_id)
    sent = remembered.find(inference_id)
    if sent is not None:
        sender = Sender(aws, s3, endpoint, progress, remembered=remembered)
        with surviving(aws, progress, waiter):
            return _await(sender, Wait(sender, sent), waiter)
    output = S3Uri.parse(endpoint.asynchronous.s3_output_path).child(_file_name(inference_id))
    begin = time.monotonic()
    body = s3.get(output, MAX_SIZE)
    if body is None:
        raise UserError(
            "there is no answer to this request, and it was not sent from this folder",
            where=str(output),
            fix="check the id and the environment; failures of requests that others sent are below "
            f"{endpoint.asynchronous.s3_failure_path}",
        )
    download = time.monotonic() - begin
    return InferenceResult(_whole(body, str(output)), str(output), inference_id, 0.0, download=download)


def default_timeout(endpoint: Endpoint) -> float:
    """Seconds to wait for an answer: longer where the endpoint may have to wake first."""
    may_sleep = endpoint.scaling is not None and endpoint.scaling.may_sleep
    return WAKING_TIMEOUT if may_sleep else DEFAULT_TIMEOUT


def input_prefix(settings: AsyncInference) -> str:
    """The S3 prefix of requests: `input/` next to the output and failure paths, or in the output path if these share no folder.

    `s3://b/async/e/output/` and `s3://b/async/e/failure/` give `s3://b/async/e/input/`.
    """
    output, failed = S3Uri.parse(settings.s3_output_path), S3Uri.parse(settings.s3_failure_path)
    shared = []
    if output.bucket == failed.bucket:
        for one, two in zip(output.key.split("/"), failed.key.split("/"), strict=False):
            if one != two or not one:
                break
            shared.append(one)
    return str(S3Uri(output.bucket, "/".join(shared) or output.key.strip("/")).child("input/"))


def request_options(options: WriteOptions, settings: AsyncInference) -> WriteOptions:
    """What a request's own object gets.

    It is encrypted as its answer will be, if a key is declared for that; else as packages are, if it goes to their bucket;
    in another bucket by the default there. It never gets their storage class: it lives for minutes, and every class but the
    default one charges for 30 days or more.

    Args:
        options: what packages get.
        settings: the asynchronous settings of the endpoint.
    """
    options = dataclasses.replace(options, storage_class=None)
    if settings.kms_key_id:
        return dataclasses.replace(options, sse="aws:kms", kms_key_id=settings.kms_key_id)
    if S3Uri.parse(input_prefix(settings)).bucket == options.bucket:
        return options
    return dataclasses.replace(options, sse=None, kms_key_id=None)


def _file_name(inference_id: str) -> str:
    """The name of a result, by which another machine finds it: Filename of InvokeEndpointAsync takes 32 characters."""
    return f"{inference_id}.out"


class Sender:
    """Sends requests to an endpoint, and remembers them.

    Attributes:
        aws, s3, progress: as in `predict`.
    """

    def __init__(
        self,
        aws: Aws,
        s3: S3,
        endpoint: Endpoint,
        progress: Progress,
        *,
        accept: str = JSON,
        timeout: float = DEFAULT_TIMEOUT,
        remembered: SentRequests | None = None,
    ) -> None:
        self.aws, self.s3, self.progress = aws, s3, progress
        self._endpoint, self._accept, self._timeout, self._remembered = endpoint, accept, timeout, remembered

    @cached_property
    def _live(self) -> sagemaker.Endpoint:
        """The endpoint as it was before the first request."""
        live = _accepting(self.aws, self._endpoint.name)
        if live.is_asleep:
            self.progress.note(
                f"endpoint {self._endpoint.name} sleeps: a request wakes it, which takes several minutes"
            )
        return live

    @cached_property
    def _abandoned(self) -> list[SentRequest]:
        live, name = self._live, self._endpoint.name
        if self._remembered is None:
            return []
        return self._remembered.abandoned(name, live.endpoint_config_name, live.creation_time)

    def begin(self, request: bytes | Path, content_type: str) -> Wait:
        """Send a request that was checked, unless the same one is in the queue and nobody waits for its answer.

        Raises:
            UserError: the endpoint does not exist or accepts no requests, or SageMaker refuses this one.
            RemoteError: it cannot be sent.
        """
        begin = time.monotonic()
        digest = requests.digest(request, content_type, self._accept)
        before = next((sent for sent in self._abandoned if sent.digest == digest), None)
        if before:
            self._abandoned.remove(before)
            self.progress.note(f"this request was sent before as {before.inference_id}, and is not sent again")
            sent = structs.replace(before, abandoned=False)
        else:
            sent = self._send(request, content_type, digest)
        self._remember(sent)
        return Wait(self, sent, None if before else time.monotonic() - begin)

    def settle(self, wait: Wait) -> None:
        """Delete the request whose answer was seen; if that is denied or fails, the answer counts nevertheless."""
        sent = wait.sent
        try:
            if sent.source is not None:
                self.s3.delete(S3Uri.parse(sent.source))
        except SagepackError as error:
            self.progress.note(f"the request stays at {sent.source}: {error.message}")
        else:
            sent = structs.replace(sent, source=None)
        self._remember(structs.replace(sent, abandoned=False))

    def abandon(self, wait: Wait) -> None:
        """Leave a request in the queue: the same one is not sent again, but waited for."""
        self._remember(structs.replace(wait.sent, abandoned=True))

    def finish(self, wait: Wait, waiter: WaiterConfig) -> InferenceResult | SagepackError | None:
        """Wait for an answer, and remember what became of the request.

        Returns:
            The result, or the error that stands for the failure that the endpoint wrote; None if neither came in time. Then, and
            if something ends the wait, the request stays as it is, for the next wait for its answer.

        Raises:
            UserError: the caller may not read the answer.
        """
        try:
            outcome = wait.outcome(waiter)
        except BaseException:
            self.abandon(wait)
            raise
        if outcome is None:
            self.abandon(wait)
        else:
            self.settle(wait)
        return outcome

    def _send(self, request: bytes | Path, content_type: str, digest: str) -> SentRequest:
        """Put a request into the queue of the endpoint: a small one as it is, a large one by way of S3."""
        inference_id, settings = new_id(), self._endpoint.asynchronous
        new = SentRequest(
            inference_id=inference_id,
            endpoint=self._endpoint.name,
            config=self._live.endpoint_config_name,
            digest=digest,
            sent=datetime.now(timezone.utc),
            output=str(S3Uri.parse(settings.s3_output_path).child(_file_name(inference_id))),
        )
        call = {
            "EndpointName": new.endpoint,
            "ContentType": content_type,
            "Accept": self._accept,
            "InferenceId": inference_id,
            "Filename": _file_name(inference_id),
            # This limits the invocation alone, not its time in the queue: a short wait here must not end it early.
            "InvocationTimeoutSeconds": min(max(int(self._timeout), 900), MAX_INVOCATION_TIMEOUT),
        }
        if (small := requests.inline(request)) is not None:
            # Not every region takes a request that is not in S3 yet; what those that do not respond is not known.
            try:
                return _accepted(new, sagemaker.invoke_endpoint_async(self.aws, {**call, "Body": small}))
            except (AccessDeniedError, CredentialsError):
                raise  # the way through S3 would only hide which permission is missing
            except UserError:
                pass
        source = S3Uri.parse(input_prefix(settings)).child(inference_id)
        options = request_options(self.s3.options, settings)
        self.s3.put(source, request, content_type=content_type, if_absent=True, options=options)
        try:
            accepted = sagemaker.invoke_endpoint_async(self.aws, {**call, "InputLocation": str(source)})
        except UserError:
            # After any other error the request may be in the queue all the same.
            with suppress(SagepackError):
                self.s3.delete(source)
            raise
        return _accepted(structs.replace(new, source=str(source)), accepted)

    def _remember(self, sent: SentRequest) -> None:
        """Remember a request; a disk that is full ends no wait."""
        if self._remembered is None:
            return
        try:
            self._remembered.save(sent)
        except UserError as error:
            self.progress.note(f"request {sent.inference_id} is not remembered here: {error.message}")


def _accepted(sent: SentRequest, response: sagemaker.AsyncInvocation) -> SentRequest:
    return structs.replace(sent, output=response.output_location, failure=response.failure_location)


def _await(sender: Sender, wait: Wait, waiter: WaiterConfig) -> InferenceResult:
    """The result of a request; whatever ends the wait before it, the request stays as it is."""
    sent, progress = wait.sent, sender.progress
    progress.note(f"request {sent.inference_id} is in the queue; its answer will be at {sent.output}")
    try:
        with progress.activity("waiting for the answer; the first request of a container also loads the model"):
            outcome = sender.finish(wait, waiter)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, SagepackError) and is_outage(error)):
            progress.note(f"request {sent.inference_id} {wait.stays}")
        raise
    if outcome is None:
        raise wait.timed_out(waiter.timeout)
    if isinstance(outcome, SagepackError):
        raise outcome
    return outcome


class Wait:
    """The wait for the answer to a request: an object will appear at one of its two locations.

    Attributes:
        sent: the request.
    """

    def __init__(self, sender: Sender, sent: SentRequest, sending: float | None = None) -> None:
        self.sent, self._sender, self._sending = sent, sender, sending
        self._denial: AccessDeniedError | None = None

    @property
    def stays(self) -> str:
        """What becomes of a request that nobody waits for."""
        return (
            f"stays in the queue for up to 6 hours; its answer will be at {self.sent.output}, "
            f"and `invoke predict --id {self.sent.inference_id}` fetches it"
        )

    def outcome(self, waiter: WaiterConfig) -> InferenceResult | SagepackError | None:
        """The result, or the error that stands for the failure that the endpoint wrote; None if neither came in time.

        Raises:
            UserError: the caller may not read the answer.
        """
        reported = 0.0
        for elapsed in waiter.attempts(first_delay=_FIRST_DELAY):
            if (found := self.look(elapsed)) is not None:
                return found
            if elapsed - reported >= waiter.repeat:
                self._report(elapsed)
                reported = elapsed
        return None

    def look(self, elapsed: float) -> InferenceResult | SagepackError | None:
        """What `outcome` returns, if it is there.

        Args:
            elapsed: seconds since the wait began.

        Raises:
            UserError: the caller may not read the answer.
        """
        sent, begin = self.sent, time.monotonic()
        if (body := self._read(sent.output, MAX_SIZE)) is not None:
            took = time.monotonic() - begin
            try:
                whole = _whole(body, sent.output)
                return InferenceResult(whole, sent.output, sent.inference_id, elapsed, self._sending, took)
            except RemoteError as error:
                return error
        text = self._read(sent.failure, failure.MAX_SIZE) if sent.failure else None
        if text is None or sent.failure is None:
            return None
        return failure.explained(text, sent.endpoint, sent.inference_id, sent.failure)

    def _read(self, location: str, limit: int) -> bytes | None:
        """An object, or None as long as there is none.

        S3 answers 403 for a missing key to callers without s3:ListBucket (API reference, GetObject, Permissions). It is final
        if AWS says that another action is missing.
        """
        try:
            return self._sender.s3.get(S3Uri.parse(location), limit)
        except AccessDeniedError as error:
            if error.named not in {None, "s3:ListBucket"}:
                raise
            self._denial = error
            return None

    def _report(self, elapsed: float) -> None:
        self._sender.progress.note(f"no answer after {format_duration(elapsed)}; {self._endpoint_state()}")
        if self._denial:
            self._sender.progress.note(f"S3 does not say whether the answer is there: {_READERS}")

    def timed_out(self, timeout: float) -> SagepackError:
        """The error for a request without a result after `timeout` seconds."""
        details = [self._endpoint_state(), f"request {self.sent.inference_id} {self.stays}"]
        if self._denial:
            details.insert(0, f"S3 denied access: {_READERS}")
        fix = (
            "run the same command again, with a longer --timeout: nothing is sent twice. An endpoint without instances needs "
            "several minutes to start one, and earlier requests come first: `invoke status` shows both, and `invoke logs` what "
            "the container writes"
        )
        return RemoteError(f"no result after {int(timeout)} s", where=self.sent.output, fix=fix, details=details)

    def _endpoint_state(self) -> str:
        try:
            endpoint = sagemaker.describe_endpoint(self._sender.aws, self.sent.endpoint)
        except SagepackError as error:
            return f"the state of the endpoint is not known ({error.message})"
        if endpoint is None:
            return "the endpoint was deleted"
        count = next((variant.current_instance_count for variant in endpoint.production_variants), None)
        state = f"the endpoint is {endpoint.endpoint_status}" + (
            f" with {counted(count, 'instance')}" if count is not None else ""
        )
        if not endpoint.is_asleep:
            return state
        newest = newest_scaling(self._sender.aws, self.sent.endpoint)
        return f"{state}, which wakes" + (f"; {newest}" if newest else "")


_READERS = "give the caller s3:GetObject on it and s3:ListBucket on the bucket"


def _whole(body: bytes, location: str) -> bytes:
    if len(body) > MAX_SIZE:
        message = f"the result has more than {MAX_SIZE:,} bytes"
        raise RemoteError(message, where=location, fix="fetch it with `aws s3 cp`")
    return body


def _accepting(aws: Aws, endpoint_name: str) -> sagemaker.Endpoint:
    endpoint, where = sagemaker.describe_endpoint(aws, endpoint_name), f"endpoint {endpoint_name}"
    if endpoint is None:
        raise UserError("there is no such endpoint", where=where, fix="run `invoke deploy` first")
    if endpoint.endpoint_status not in _ACCEPTS_REQUESTS:
        fix = "run `invoke deploy`: it waits for the endpoint, or creates it again"
        raise UserError(f"the endpoint is {endpoint.endpoint_status}", where=where, fix=fix)
    return endpoint
