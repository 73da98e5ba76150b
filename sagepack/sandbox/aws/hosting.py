"""The states of endpoints: transitions, failures and roll-backs. A model of SageMaker, not evidence about it.

In moto an endpoint is in service at once and stays so. This model follows AWS's documentation and reports of users. Where
they say nothing, it takes the case that is harder for the caller: a failed update ends `InService` with the old
configuration.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sagepack.sandbox.aws.wsgi import JsonObject

OutcomeKind = Literal["ok", "fail", "silent_rollback", "rollback_failed", "stuck"]
TRANSITIONS = frozenset({"Creating", "Updating", "RollingBack", "Deleting"})
"""The values of EndpointStatus during a transition."""
RETRY_SECONDS = 60.0
"""After an attempt to scale that failed, until the next one: the period of the wake alarm, in seconds of the clock."""
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)
"""What SageMaker says where AWS has no free instance."""


@dataclass(frozen=True)
class DeploymentOutcome:
    """How a deployment will end.

    Attributes:
        kind: `ok`; `fail` (a new endpoint becomes Failed, an updated one passes through RollingBack);
            `silent_rollback` (an updated one is InService with its old configuration, and never RollingBack);
            `rollback_failed` (UpdateRollbackFailed); `stuck` (the transition never ends).
        reason: the FailureReason.
        log: lines that the container writes to the endpoint's log group.
        image: the digest of the image that its instances run, if it is not that of the image which the model names.
    """

    kind: OutcomeKind = "ok"
    reason: str = "The primary container for production variant AllTraffic did not pass the ping health check."
    log: tuple[str, ...] = ()
    image: str | None = None


@dataclass(frozen=True)
class TransitionTime:
    """How long a transition takes: at least `polls` calls of DescribeEndpoint and at least `seconds` of the clock."""

    polls: int = 1
    seconds: float = 0.0


@dataclass(frozen=True)
class FleetTimes:
    """How long automatic scaling takes, in seconds of the clock. AWS needs minutes to wake a fleet; here nobody waits.

    Attributes:
        alarm: from the first request for a fleet without instances until the wake alarm acts.
        resize: until instances have started or stopped.
        busy: from the first request until the backlog policy adds instances, as long as in AWS.
        idle: from the last answer until the backlog policy removes idle instances, as long as in AWS.
    """

    alarm: float = 0.2
    resize: float = 0.2
    busy: float = 180.0
    idle: float = 900.0


@dataclass
class Fleet:
    """The queue of an endpoint, and what automatic scaling did to its instances. Times are those of the clock.

    Attributes:
        backlog: requests that are accepted and have no answer.
        changed: when the backlog last became empty, or was no longer empty.
        seen: until when time has passed for it.
        retry: the earliest time of the next scaling activity, after one that failed.
        new_bounds: whether a scalable target was registered since it was last compared with the number of instances.
        activities: items of DescribeScalingActivities, the oldest first.
        failures: when requests failed.
        expired: when requests expired in the queue.
    """

    backlog: int = 0
    changed: float = 0.0
    seen: float = 0.0
    retry: float = 0.0
    new_bounds: bool = False
    activities: list[JsonObject] = field(default_factory=list)
    failures: list[float] = field(default_factory=list)
    expired: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Configuration:
    """An endpoint configuration and its models, as they were when a deployment began: those of a live endpoint may be deleted.

    Attributes:
        request: the CreateEndpointConfig request.
        models: name -> the CreateModel request.
        instance: the id of the instance that the deployment starts; requests to several go to the same one.
    """

    request: JsonObject
    models: dict[str, JsonObject]
    instance: str = field(default_factory=lambda: f"i-{secrets.token_hex(9)[:17]}")

    @property
    def name(self) -> str:
        """EndpointConfigName."""
        return str(self.request["EndpointConfigName"])


@dataclass
class Endpoint:
    """One endpoint. A deployment ends only when the endpoint is described; times are those of the sandbox's clock.

    Attributes:
        name: its name, in the case of the request that created it.
        arn: its ARN.
        config: the configuration in service, or the one that is being created.
        created: when it was created, epoch seconds.
        status: EndpointStatus.
        pending: the configuration of the update in progress.
        failure: FailureReason.
        outcome: how the transition in progress will end.
        counts: variant -> desired number of instances; `next_counts` those of the deployment in progress.
        kinds: variant -> its instances by their type; `next_kinds` those of the change in progress.
        deployment: DeploymentConfig of the last deployment; `next_deployment` that of the one in progress.
        modified: when its status last changed, epoch seconds.
        fleet: its queue and its automatic scaling.
        image: the digest of the image that its instances run, if it is not that of the image which the model names.
        resizing: whether the update in progress only changes the number of instances, to `next_counts`.
        obstacle: why that change will fail; None if it will not.
        wait: seconds that the update in progress waits after its new instances have started.
        baking: whether it does so now: its new instances take the requests, all of them whatever the traffic's steps are.
    """

    name: str
    arn: str
    config: Configuration
    created: float
    status: str = "Creating"
    pending: Configuration | None = None
    failure: str | None = None
    outcome: DeploymentOutcome = DeploymentOutcome()
    counts: dict[str, int] = field(default_factory=dict)
    next_counts: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    next_kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    deployment: JsonObject | None = None
    next_deployment: JsonObject | None = None
    modified: float = 0.0
    fleet: Fleet = field(default_factory=Fleet)
    image: str | None = None
    resizing: bool = False
    obstacle: str | None = None
    wait: float = 0.0
    baking: bool = False
    _polls: int = 0

    def begin(self, status: str, outcome: DeploymentOutcome, now: float) -> None:
        """Start a transition: `status` until it ends with `outcome`."""
        self.status, self.outcome = status, outcome
        self._polls, self.modified, self.baking = 0, now, False

    def poll(self, duration: TransitionTime, now: float) -> None:
        """Count one DescribeEndpoint, and end the transition if it has lasted for `duration`."""
        if self.resizing or self.status not in TRANSITIONS or self.outcome.kind == "stuck":
            return
        if self._polls < duration.polls or now - self.modified < duration.seconds:
            self._polls += 1
            return
        self.baking = self.status == "Updating" and self.outcome.kind == "ok"
        if self.baking and now - self.modified < duration.seconds + self.wait:
            return
        self.baking = False
        self._end_transition(now)
        self.modified = now

    def roll_back(self, reason: str, now: float) -> None:
        """Give the update in progress up."""
        self.failure = reason
        self.begin("RollingBack", DeploymentOutcome(), now)

    @property
    def serving(self) -> Configuration:
        """The configuration of the instances that take requests."""
        return self.pending if self.baking and self.pending else self.config

    def resize(self, counts: dict[str, int], now: float, obstacle: str | None = None) -> None:
        """Start or stop instances until each variant has as many as `counts` says; the endpoint is Updating meanwhile.

        With an `obstacle` it ends InService with the instances of before, and that as FailureReason. What AWS describes then
        could not be observed.
        """
        self.begin("Updating", DeploymentOutcome(), now)
        self.next_counts, self.resizing, self.obstacle = counts, True, obstacle

    def end_resize(self, seconds: float, now: float) -> None:
        """End a change of the number of instances that has lasted for `seconds`."""
        end = self.modified + seconds
        if not self.resizing or now < end:
            return
        self.status, self.failure, self.resizing, self.modified = "InService", self.obstacle, False, end
        if self.obstacle is None:
            self.counts, self.kinds = self.next_counts, self.next_kinds
        for activity in self.fleet.activities:
            if activity["StatusCode"] == "InProgress":
                done = activity["StatusMessage"].partition(" Waiting")[0]
                message = f"{done} Change successfully fulfilled by sagemaker."
                activity.update(StatusCode="Successful", StatusMessage=message, EndTime=end)
                if self.obstacle:
                    wanted = activity["Description"].removeprefix("Setting ").removesuffix(".")
                    message = f"Failed to set {wanted}. Reason: {self.obstacle}"
                    activity.update(StatusCode="Failed", StatusMessage=message)
                    self.fleet.retry = end + RETRY_SECONDS

    def _end_transition(self, now: float) -> None:
        if self.status == "Deleting":
            self.status = "Deleted"
        elif self.status == "RollingBack":
            self.status, self.pending = "InService", None
        elif self.outcome.kind == "ok":
            self.status, self.failure = "InService", None
            self.config, self.pending = self.pending or self.config, None
            self.counts, self.deployment, self.image = self.next_counts, self.next_deployment, self.outcome.image
            self.kinds = self.next_kinds
        elif self.status == "Creating":
            self.status, self.failure = "Failed", self.outcome.reason
        elif self.outcome.kind == "fail":  # a failed update
            self.roll_back(self.outcome.reason, now)
        else:
            self.failure, self.pending = self.outcome.reason, None
            self.status = "UpdateRollbackFailed" if self.outcome.kind == "rollback_failed" else "InService"


@dataclass
class RegionState:
    """Models, configurations and endpoints of one region.

    Attributes:
        models: name -> the CreateModel request, with `CreationTime` (epoch seconds).
        configs: name -> the CreateEndpointConfig request, with `CreationTime`.
        endpoints: name in lower case -> endpoint; names are unique regardless of case.
        tags: ARN -> tags.
    """

    models: dict[str, JsonObject] = field(default_factory=dict)
    configs: dict[str, JsonObject] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def requests(self, kind: str) -> dict[str, JsonObject]:
        """Those of `models` (kind `model`) or `configs` (kind `endpoint-config`)."""
        return {"model": self.models, "endpoint-config": self.configs}[kind]


@dataclass
class InjectedError:
    """An error that an operation will respond with.

    Attributes:
        operation: name, such as `CreateEndpoint`.
        code: error code.
        message: error message.
        times: how many more calls fail; None means no limit.
        status: HTTP status.
    """

    operation: str
    code: str
    message: str
    times: int | None = 1
    status: int = 400


class Scenario:
    """What will happen in hosting: outcomes of deployments, errors of operations, and how long everything takes.

    Attributes:
        transition_time: how long deployments take.
        fleet_times: how long automatic scaling takes.
        without_capacity: the instance types of which no further instance can start.
    """

    def __init__(self) -> None:
        self.transition_time, self.fleet_times = TransitionTime(), FleetTimes()
        self.without_capacity: frozenset[str] = frozenset()
        self._outcomes: dict[str, list[DeploymentOutcome]] = {}
        self._errors: list[InjectedError] = []

    def end_deployments(self, endpoint: str, *outcomes: DeploymentOutcome) -> None:
        """Make the next deployments of an endpoint end with `outcomes`, one each; later ones succeed."""
        self._outcomes.setdefault(endpoint, []).extend(outcomes)

    def fail_operation(
        self, operation: str, code: str, message: str, *, times: int | None = 1, status: int = 400
    ) -> None:
        """Make the next `times` calls of an operation fail (`InjectedError`)."""
        self._errors.append(InjectedError(operation, code, message, times, status))

    def clear(self) -> None:
        """Remove all outcomes and errors, and set the initial times."""
        self.transition_time, self.fleet_times = TransitionTime(), FleetTimes()
        self.without_capacity = frozenset()
        self._outcomes.clear()
        self._errors.clear()

    def next_outcome(self, endpoint: str) -> DeploymentOutcome:
        """Take the outcome of a deployment that begins now."""
        outcomes = self._outcomes.get(endpoint)
        return outcomes.pop(0) if outcomes else DeploymentOutcome()

    def next_error(self, operation: str) -> InjectedError | None:
        """Take the error of a call that is made now; None if it does not fail."""
        for error in self._errors:
            if error.operation == operation and error.times != 0:
                if error.times is not None:
                    error.times -= 1
                return error
        return None
