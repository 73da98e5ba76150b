"""The smoke test: whether an endpoint that is in service answers.

InService proves nothing: the image's server says that it is healthy whatever `model_fn` did, and loads the model again at each
request. So the sample goes through the queue as every request does, and once more after its answer: the second request finds
what the first one left on the GPU.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sagepack.aws import metrics, sagemaker
from sagepack.aws.logs import Tail, log_group
from sagepack.deploy import known_failures
from sagepack.deploy import request as requests
from sagepack.deploy.container_log import has_traceback, telling
from sagepack.deploy.expectation import Expectation
from sagepack.deploy.known_failures import MODEL_NOT_LOADED, OF_CONTAINERS
from sagepack.deploy.observe import newest_scaling
from sagepack.deploy.predict import MAX_INVOCATION_TIMEOUT, Sender
from sagepack.errors import RemoteError, SagepackError
from sagepack.text import counted, format_bytes, format_duration, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.aws.s3 import S3
    from sagepack.aws.session import Aws
    from sagepack.deploy.known_failures import KnownFailure
    from sagepack.deploy.predict import InferenceResult
    from sagepack.deploy.sent import SentRequests
    from sagepack.deploy.waiter import WaiterConfig
    from sagepack.progress import Progress
    from sagepack.spec.model import Endpoint, Spec

REQUESTS = 2
# Seconds for each: a fleet that wakes, the image, the package, the model, and the longest invocation that SageMaker allows.
TIMEOUT = 1800.0 + MAX_INVOCATION_TIMEOUT
_LOG_LINES = 2000  # the newest that are looked at
_LOG_LOOKS = 3  # CloudWatch has a line some seconds after it was written
_SHOWN = 100  # bytes of an answer that is not as expected
_NEWEST = 5  # lines that are shown of a log in which the handler wrote none
_CLOCKS = 60.0  # seconds by which the clocks of this machine and of AWS may differ


@dataclass(frozen=True)
class Sample:
    """The request, and what its answer must be.

    Attributes:
        body: the body, or the file that holds it.
        content_type: its media type.
        accept: the media type that the answer should have.
        expectation: what the answer must be.
    """

    body: bytes | Path
    content_type: str
    accept: str
    expectation: Expectation

    @classmethod
    def of(cls, spec: Spec, root: Path) -> Sample | None:
        """The sample of a spec, checked as far as it can be before anything is deployed; None if it has none.

        Raises:
            UserError: the sample is too large for the endpoint or cannot be read, or what it expects cannot.
        """
        declared = spec.sample
        if declared is None:
            return None
        body, content_type = requests.of_sample(declared, root)
        requests.check(body, content_type, requests.Rules.of(spec, root), "sample.request")
        return cls(body, content_type, declared.accept, Expectation.of(declared.expect, root))


@dataclass(frozen=True)
class Failure:
    """Why a release does not count.

    Attributes:
        message: what was wrong, and with which request.
        details: more of the container's words, and the newest lines of its log.
        words: what the container said where it failed; empty for an answer that is not as expected.
        known: the known failure that words and log tell of.
    """

    message: str
    details: tuple[str, ...]
    words: str = ""
    known: KnownFailure | None = None

    def with_log(self, log: Sequence[str], problem: str | None = None) -> Failure:
        """The same with what the log tells, which may name the cause where the container's answer does not.

        Args:
            log: the newest lines.
            problem: why there are none.
        """
        told = telling(log) or (log[-_NEWEST:] if self.words else ())
        known, text = None, "\n".join([self.words, *self.details, *told])
        if self.words:
            known = known_failures.find(text, OF_CONTAINERS) or known_failures.find("\n".join(log), (MODEL_NOT_LOADED,))
        shown = [f"| {line}" for line in told] or ([problem] if problem else [])
        return replace(self, details=(*self.details, *shown), known=known)


def run(
    aws: Aws,
    s3: S3,
    endpoint: Endpoint,
    sample: Sample,
    progress: Progress,
    waiter: WaiterConfig,
    *,
    remembered: SentRequests,
) -> tuple[float, ...] | Failure:
    """Send the sample twice and hold both answers against what is expected.

    A request without an answer stays in the queue, and the same call goes on to wait for it.

    Args:
        aws: the session, whose requests survive an outage.
        s3: S3, with the owner condition, the encryption and the tags of the spec.
        endpoint: the declared endpoint.
        sample: the request.
        progress: gets a note of each answer.
        waiter: how often to look for it.
        remembered: the requests that the smoke test of this configuration sent before.

    Returns:
        The seconds that each answer took, or why the endpoint failed.

    Raises:
        UserError: the caller may not send requests or read answers, or the endpoint takes none.
        RemoteError: it could not be tried; nothing is known of the package.
    """
    trial = _Trial(aws, s3, endpoint, sample, progress, waiter, remembered)
    seconds = []
    for number in range(1, REQUESTS + 1):
        begun = time.time()
        found = trial.answer(number)
        if isinstance(found, Failure):
            return trial.explained(found, begun)
        seconds.append(round(found.seconds, 3))
    return tuple(seconds)


@dataclass(frozen=True)
class _Trial:
    """One run of the smoke test; attributes as the arguments of `run`."""

    aws: Aws
    s3: S3
    endpoint: Endpoint
    sample: Sample
    progress: Progress
    waiter: WaiterConfig
    remembered: SentRequests

    def answer(self, number: int) -> InferenceResult | Failure:
        """Send one request and wait for its answer."""
        which, waiter = f"request {number} of {REQUESTS}", replace(self.waiter, timeout=TIMEOUT)
        with self.progress.activity(f"smoke test, {which}: waiting for the answer to the sample"):
            sender = Sender(
                self.aws,
                self.s3,
                self.endpoint,
                self.progress,
                accept=self.sample.accept,
                timeout=TIMEOUT,
                remembered=self.remembered,
            )
            wait = sender.begin(self.sample.body, self.sample.content_type)
            outcome = sender.finish(wait, waiter)
        if outcome is None:
            self._require_tried(which)
            # It must not be answered by the release that is put back, and that answer be taken for one of this release.
            sender.settle(wait)
            return Failure(f"{which} got no answer in {format_duration(waiter.timeout)}", ())
        if isinstance(outcome, SagepackError):
            return Failure(f"{which}: {outcome.message}", outcome.details, outcome.message)
        if problems := self.sample.expectation.problems(outcome.body):
            start = printable(outcome.body[:_SHOWN].decode(errors="replace"))
            kept = f"the answer begins with {start}; as it came it is at {outcome.location}"
            return Failure(f"{which} got an answer that is not as expected: {problems[0]}", (*problems[1:], kept))
        taken = f"{format_bytes(len(outcome.body))} in {format_duration(outcome.seconds)}"
        self.progress.note(f"smoke test, {which}: answered as expected, {taken}")
        return outcome

    def _require_tried(self, which: str) -> None:
        """Check that an instance had the request, or could have had it: without that no answer says nothing of the package.

        Raises:
            RemoteError: it had not.
        """
        if why := self._in_the_way():
            raise RemoteError(
                f"{which} of the smoke test got no answer in {format_duration(TIMEOUT)}: {why}",
                where=f"endpoint {self.endpoint.name}",
                fix="run the same command again, which goes on to wait for the answer",
            )

    def _in_the_way(self) -> str | None:
        """Why no instance may have had the request; None if one must have."""
        live = sagemaker.describe_endpoint(self.aws, self.endpoint.name)
        if live is None or live.is_asleep:
            newest = newest_scaling(self.aws, self.endpoint.name)
            return f"the endpoint has no instance; {newest or 'AWS may have none to give at this time'}"
        backlog = metrics.newest_value(self.aws, self.endpoint.name, "ApproximateBacklogSize")
        others = round(backlog or 0) - 1
        return f"{counted(others, 'request')} of others in the queue" if others > 0 else None

    def explained(self, failure: Failure, begun: float) -> Failure:
        """A failure with what the containers wrote since a time of this machine, in seconds.

        What was written before the endpoint last changed is of another release.
        """
        live = sagemaker.describe_endpoint(self.aws, self.endpoint.name)
        since = max(begun - _CLOCKS, live.last_modified_time.timestamp() if live else 0.0)
        tail, log = Tail(self.aws, log_group(self.endpoint.name), int(since * 1000)), deque[str](maxlen=_LOG_LINES)
        for look in range(_LOG_LOOKS):
            if look:
                self.waiter.sleep(self.waiter.delay)
            while lines := tail.lines():
                log.extend(lines)
            if tail.problem or (log and (not failure.words or has_traceback(log))):
                break
        return failure.with_log(list(log), tail.problem)
