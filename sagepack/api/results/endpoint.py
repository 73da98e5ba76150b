"""Results of the tasks that look at a live endpoint, or set its instances."""

from __future__ import annotations

from typing import Any

from sagepack.api.results.base import Result
from sagepack.api.results.building import Signature  # noqa: TC001 - msgspec reads the annotations
from sagepack.decoding import Value
from sagepack.deploy.origin import Origin  # noqa: TC001 - msgspec reads the annotations
from sagepack.deploy.smoke_result import Smoke  # noqa: TC001 - msgspec reads the annotations

_DETAILS = 2  # lines about a signature in a summary


class Woken(Result, frozen=True):
    """The endpoint is awake.

    Attributes:
        endpoint: name of the endpoint.
        instances: how many instances serve.
        changed: whether it slept before.
        sleeps_again: whether automatic scaling lets it sleep again when it had no request for a while.
    """

    endpoint: str
    instances: int
    changed: bool
    sleeps_again: bool


class Asleep(Result, frozen=True):
    """The endpoint has no instances; a request wakes it.

    Attributes:
        endpoint: name of the endpoint.
        changed: whether it was awake before.
        queued: number of requests that were in its queue or running, which wake it again.
    """

    endpoint: str
    changed: bool
    queued: int


class ScalingActivity(Value, frozen=True):
    """An attempt of automatic scaling to change the number of instances.

    Attributes:
        time: when it began (ISO 8601, UTC).
        status: `Successful`, `InProgress`, `Failed`, ... (API reference, ScalingActivity).
        message: what was done, or why it was not.
    """

    time: str
    status: str
    message: str


class PoolStatus(Value, frozen=True):
    """The instances of one of several types.

    Attributes:
        instance_type: their type.
        instances: how many there are.
    """

    instance_type: str
    instances: int


class ScheduledBounds(Value, frozen=True):
    """The next time at which a scheduled action sets the bounds of automatic scaling.

    Attributes:
        name: name of the action.
        time: when (ISO 8601, UTC).
        fewest_instances, most_instances: the bounds from then on; null for one that stays as it is.
    """

    name: str
    time: str
    fewest_instances: int | None
    most_instances: int | None


class AlarmState(Value, frozen=True):
    """A CloudWatch alarm on the endpoint, or one that starts automatic scaling.

    Attributes:
        name: its name.
        state: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        acts: whether it starts or tells anything: its actions are enabled.
        since: when it came into that state (ISO 8601, UTC).
        reason: what CloudWatch says about the state.
    """

    name: str
    state: str
    acts: bool
    since: str | None = None
    reason: str | None = None


class Deployed(Value, frozen=True):
    """A deployment that was recorded.

    Attributes:
        record: address of its record.
        time: when it served (ISO 8601, UTC).
        by: ARN of who deployed.
        commit: commit of the project's repository; null without git.
        clean: whether the project was as that commit has it.
        endpoint: name of the endpoint.
        manifest: digest of the manifest, the identity of the package.
        package: where SageMaker loads the package from.
        lock: digest of the lock file.
        image: the image, by digest.
        model: name of the model.
        config: name of the endpoint configuration.
        variables: names of the container's environment variables.
        settings: `endpoint` of the spec, as it was, by its keys.
        smoke: what came of the smoke test; null in records of versions that made none.
        promoted_from: the release of another environment whose package was copied; null for one from the working tree.
        rolled_back_to: address of the record of the deployment that this one repeats; null if it is no rollback.
    """

    record: str
    time: str
    by: str
    commit: str | None
    clean: bool | None
    endpoint: str
    manifest: str
    package: str
    lock: str
    image: str
    model: str
    config: str
    variables: tuple[str, ...]
    settings: dict[str, Any]
    smoke: Smoke | None = None
    promoted_from: Origin | None = None
    rolled_back_to: str | None = None


class RequestFailure(Value, frozen=True):
    """A request that failed, whoever sent it.

    Attributes:
        time: when its failure was written (ISO 8601, UTC).
        message: who can mend it, and the first line of what the container said.
        location: address of the failure in S3.
        failure: id of the known failure that it is, of `docs/failures.md`; null if it is none.
    """

    time: str
    message: str
    location: str
    failure: str | None = None


class ServedSignature(Value, frozen=True):
    """Whether the package that serves is what a key of `trust.verify` signed.

    Attributes:
        verified: who signed it; null if it is not what somebody signed.
        problem: what is wrong; null if nothing is.
        details: what differs, one line each.
        fix: what to do about it.
    """

    verified: Signature | None = None
    problem: str | None = None
    details: tuple[str, ...] = ()
    fix: str | None = None

    @property
    def summary(self) -> str:
        """All of it that people need at first sight."""
        if self.verified:
            return f"by {self.verified.key}, as signed on {self.verified.signed:%Y-%m-%d %H:%M} UTC"
        more = [f"and {len(self.details) - _DETAILS} more"] if len(self.details) > _DETAILS else []
        return "; ".join(filter(None, (self.problem, *self.details[:_DETAILS], *more, self.fix)))


class FailedDeployment(Value, frozen=True):
    """A deployment that failed its smoke test.

    Attributes:
        time: when (ISO 8601, UTC).
        config: name of its configuration. If that serves, there was no release before it to put back, or that failed.
    """

    time: str
    config: str


class EndpointStatus(Result, frozen=True):
    """What an endpoint does now.

    Attributes:
        endpoint: name of the endpoint.
        state: its status in SageMaker (`InService`, `Updating`, ...); null if there is no endpoint.
        since: when it was last changed (ISO 8601, UTC).
        reason: what SageMaker says about a failure.
        arn: its ARN.
        managed_by: the tool that alone changes it, if that is another one, such as the CloudFormation stack that made it.
        config: name of the configuration that serves.
        next_config: name of the configuration to which an update is going on.
        model: name of the model that serves; null if its configuration was deleted.
        model_exists: whether that model was not deleted; without it no further instance can start.
        manifest: digest of the manifest of the package that was deployed, its identity.
        signature: whether that package is what a key of `trust.verify` signed; null if the spec names none, or it is not known.
        image: the container image that its instances run, by the digest that SageMaker describes; null if it describes none.
        instance_type: type of its instances; null if they are of several.
        instance_pools: its instances by type, where they may be of several.
        instances: number of instances that serve; 0 while it sleeps.
        cost_per_hour: what these cost in an hour, in US dollars by list prices; null if it is not known.
        desired_instances: number of instances that SageMaker aims at.
        fewest_instances, most_instances: between which automatic scaling moves; null if it is not set up.
        policies: names of the scaling policies.
        next_scheduled: what the schedule does next; null without a schedule.
        activity: the newest attempt to scale.
        backlog: number of requests that wait or are being answered; null if CloudWatch has no data now.
        alarms: the alarms that the spec declares, and those that start the scaling policies.
        failures: the newest requests that failed, newest first.
        release: the newest recorded deployment of the configuration that serves; null if none is recorded.
        failed: the deployment that failed its smoke test since the last release; null if none did.
        unknown: what could not be found out, and why.
        console: address of its page in the AWS console; null for the sandbox.
        log: address of its log in the AWS console; null for the sandbox.
    """

    endpoint: str
    state: str | None = None
    since: str | None = None
    reason: str | None = None
    arn: str | None = None
    managed_by: str | None = None
    config: str | None = None
    next_config: str | None = None
    model: str | None = None
    model_exists: bool = False
    manifest: str | None = None
    signature: ServedSignature | None = None
    image: str | None = None
    instance_type: str | None = None
    instance_pools: tuple[PoolStatus, ...] = ()
    instances: int | None = None
    cost_per_hour: float | None = None
    desired_instances: int | None = None
    fewest_instances: int | None = None
    most_instances: int | None = None
    policies: tuple[str, ...] = ()
    next_scheduled: ScheduledBounds | None = None
    activity: ScalingActivity | None = None
    backlog: int | None = None
    alarms: tuple[AlarmState, ...] = ()
    failures: tuple[RequestFailure, ...] = ()
    release: Deployed | None = None
    failed: FailedDeployment | None = None
    unknown: tuple[str, ...] = ()
    console: str | None = None
    log: str | None = None


class LogLine(Value, frozen=True):
    """A line that a container wrote.

    Attributes:
        time: when (ISO 8601, UTC).
        instance: the instance on which it runs.
        text: the line.
    """

    time: str
    instance: str
    text: str


class Log(Result, frozen=True):
    """What the containers of an endpoint wrote.

    Attributes:
        endpoint: name of the endpoint.
        group: the log group in CloudWatch.
        exists: whether there is such a log group; AWS makes it when the first container starts, and keeps it.
        since: from when on the log was read (ISO 8601, UTC).
        left_out: number of lines, the oldest, that are too many to be here.
        lines: the lines, oldest first.
    """

    endpoint: str
    group: str
    exists: bool
    since: str
    left_out: int
    lines: tuple[LogLine, ...]


class Followed(Result, frozen=True):
    """A log was followed until its reader had seen enough.

    Attributes:
        lines: number of lines that were printed.
    """

    lines: int
