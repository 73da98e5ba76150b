"""How often and how long to look for a change in AWS, and the waiter for the status of an endpoint."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sagepack.aws import autoscaling, sagemaker
from sagepack.aws.logs import Tail, log_group
from sagepack.aws.outage import Outage
from sagepack.deploy.rollout import longest_update
from sagepack.errors import RemoteError
from sagepack.text import format_duration
from sagepack.workers import pause

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sagepack.aws.session import Aws
    from sagepack.progress import Progress
    from sagepack.spec.model import Spec

_Answer = TypeVar("_Answer")
# Of the sandbox, which runs on this machine: when it does not respond, it has ended.
_SANDBOX_OUTAGE = 5.0  # seconds
_ATTEMPTS = 20  # to change an endpoint that something else is changing
_CONSISTENT_AFTER = 5  # delays: how long SageMaker may describe what was before a change


@dataclass(frozen=True)
class WaiterConfig:
    """How often and how long to look, as botocore's waiters have it. Tests set `sleep` and `clock`, so that they take no time.

    Attributes:
        delay: seconds between two requests. AWS throttles descriptions that are requested more often than every 15 s or so.
        timeout: seconds after which to give up.
        repeat: seconds after which a status that has not changed is reported again.
        outage: seconds for which AWS may be out of reach before the wait is given up.
        sleep, clock: `workers.pause` and `time.monotonic`.
    """

    delay: float = 15.0
    timeout: float = 5400.0
    repeat: float = 60.0
    outage: float = 1800.0
    sleep: Callable[[float], None] = pause
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, spec: Spec) -> WaiterConfig:
        """The waiter for the endpoint of `spec`: its own time-outs, half an hour for its instances to start, and what an update waits."""
        endpoint = spec.endpoint
        container_timeout = endpoint.container_startup_health_check_timeout_in_seconds
        start = endpoint.model_data_download_timeout_in_seconds + container_timeout + 1800.0
        timeout = longest_update(endpoint, start)
        return cls(delay=0.2, timeout=timeout, outage=_SANDBOX_OUTAGE) if spec.sandbox else cls(timeout=timeout)

    @property
    def brief(self) -> WaiterConfig:
        """This waiter for what SageMaker has already done, and may not describe yet: its reads are eventually consistent."""
        return dataclasses.replace(self, timeout=_CONSISTENT_AFTER * self.delay)

    def attempts(self, *, first_delay: float | None = None) -> Iterator[float]:
        """Yield once for each attempt, and sleep between two of them; the last one comes when `timeout` has passed.

        Args:
            first_delay: seconds between the first two attempts; doubled from one to the next, up to `delay`. None means
                that all delays are `delay`.

        Yields:
            Seconds since the first attempt.
        """
        start, delay = self.clock(), self.delay if first_delay is None else min(first_delay, self.delay)
        while True:
            elapsed = self.clock() - start
            yield elapsed
            if elapsed >= self.timeout:
                return
            self.sleep(min(delay, self.timeout - elapsed))
            delay = min(2 * delay, self.delay)


def surviving(aws: Aws, progress: Progress, waiter: WaiterConfig) -> AbstractContextManager[None]:
    """Within the block, requests of `aws` survive an outage, for no longer than the wait may take."""
    outage = Outage(
        progress.note,
        lasts=min(waiter.outage, waiter.timeout),
        delay=waiter.delay,
        sleep=waiter.sleep,
        clock=waiter.clock,
    )
    return aws.surviving(outage)


def settle(call: Callable[[], _Answer], progress: Progress, waiter: WaiterConfig) -> _Answer:
    """What `call` returns, which looks first, and is called again when AWS cannot do what it asks for yet.

    Something else has changed the endpoint since it looked; or Application Auto Scaling is busy, or does not see a change yet.

    Raises:
        RemoteError: that was so with every call.
    """
    attempt = 1
    while True:
        try:
            return call()
        except (sagemaker.EndpointBusyError, autoscaling.ScalingNotReadyError) as error:  # noqa: PERF203 - it looks again
            if attempt == _ATTEMPTS:
                fix = "run the same command again in some minutes, when nothing else changes the endpoint"
                raise RemoteError(error.message, where=error.where, fix=fix) from error
            progress.note(f"{error.where} {error.cause}: looking again")
            waiter.sleep(waiter.delay)
            attempt += 1


def wait_until_stable(
    aws: Aws, endpoint_name: str, progress: Progress, waiter: WaiterConfig
) -> sagemaker.Endpoint | None:
    """Wait until SageMaker has finished creating, changing or deleting an endpoint; None if it does not exist any more.

    Reports the status, how long it has lasted, and the container's new log lines. An interrupt ends the wait and not what it
    waits for, which is said.

    Raises:
        RemoteError: it takes longer than `waiter.timeout`.
        UserError, RemoteError: AWS cannot be asked for longer than `waiter.outage`.
    """
    reporter = _Reporter(aws, endpoint_name, progress, waiter.repeat)
    try:
        with surviving(aws, progress, waiter), ExitStack() as waiting:
            for number, elapsed in enumerate(waiter.attempts()):
                endpoint = sagemaker.describe_endpoint(aws, endpoint_name)
                reporter.report(endpoint, elapsed)
                if endpoint is None or not endpoint.in_progress:
                    return endpoint
                if number == 0:
                    waiting.enter_context(progress.activity(f"waiting for endpoint {endpoint_name}"))
    except KeyboardInterrupt:
        if reporter.status:
            still = f"endpoint {endpoint_name} is still {reporter.status}, which goes on in AWS"
            progress.note(f"{still}; run the same command again to keep waiting")
        raise
    raise RemoteError(
        f"the endpoint is still {reporter.status} after {format_duration(waiter.timeout)}",
        where=f"endpoint {endpoint_name}",
        fix=f"run the same command again to keep waiting; the container's log is in log group {log_group(endpoint_name)}",
    )


def wait_until_changed(
    aws: Aws, endpoint_name: str, before: datetime, progress: Progress, waiter: WaiterConfig
) -> sagemaker.Endpoint | None:
    """Wait as `wait_until_stable` does, for a change that SageMaker has accepted.

    `before` is when the endpoint was last modified before the change: a description from then, which SageMaker may still give,
    is no result of it.
    """
    endpoint = None
    for _ in waiter.brief.attempts():
        endpoint = wait_until_stable(aws, endpoint_name, progress, waiter)
        if endpoint is None or endpoint.last_modified_time != before:
            break
    return endpoint


class _Reporter:
    """Reports a status when it changes and while it lasts, and each log line once.

    Attributes:
        status: the last status that was reported; `deleted` if there was an endpoint and it does not exist any more.
    """

    def __init__(self, aws: Aws, endpoint_name: str, progress: Progress, repeat: float) -> None:
        self._aws, self._endpoint_name, self._progress, self._repeat = aws, endpoint_name, progress, repeat
        self.status: str | None = None
        self._reported = 0.0  # seconds
        self._tail: Tail | None = None

    def report(self, endpoint: sagemaker.Endpoint | None, elapsed: float) -> None:
        """Report what is new after `elapsed` seconds."""
        if self.status is None and (endpoint is None or not endpoint.in_progress):
            return  # nothing was in progress
        status = endpoint.endpoint_status if endpoint else "deleted"
        if status != self.status or elapsed - self._reported >= self._repeat:
            after = f" ({format_duration(elapsed)})" if elapsed >= 1 else ""
            self._progress.note(f"endpoint {self._endpoint_name}: {status}{after}")
            self._reported = elapsed
        self.status = status
        if endpoint is None:
            return
        if self._tail is None:
            # The deployment in progress began when the endpoint was last modified.
            start_time = int(endpoint.last_modified_time.timestamp() * 1000)
            self._tail = Tail(self._aws, log_group(self._endpoint_name), start_time)
        was_readable = self._tail.problem is None
        for line in self._tail.lines():
            self._progress.note(f"  | {line}")
        if was_readable and self._tail.problem:
            self._progress.note(self._tail.problem)
