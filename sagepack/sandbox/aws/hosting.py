"""Endpoints as AWS seems to treat them: states, failures and roll-backs. A model of SageMaker, not evidence about it.

It is here because moto has endpoints in service at once and for ever. What it follows is documentation and field reports;
where those are silent, it takes the harder case for the caller: a failed update ends `InService` with the old configuration.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["ok", "fail", "silent_rollback", "rollback_failed", "stuck"]
TRANSITIONS = frozenset({"Creating", "Updating", "RollingBack", "Deleting"})


@dataclass(frozen=True)
class Outcome:
    """How a deployment will end.

    Attributes:
        kind: `ok`; `fail` (a new endpoint becomes Failed, an updated one rolls back visibly); `silent_rollback` (an
            updated one is InService with its old configuration, without having been seen RollingBack);
            `rollback_failed` (UpdateRollbackFailed); `stuck` (never ends).
        reason: the FailureReason.
        log: lines that the container writes to the endpoint's log group.
    """

    kind: Kind = "ok"
    reason: str = "The primary container for production variant AllTraffic did not pass the ping health check."
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pace:
    """How long a transition takes: at least so many descriptions and so many seconds."""

    polls: int = 1
    seconds: float = 0.0


@dataclass
class Endpoint:
    """One endpoint. It moves on only while it is looked at.

    Attributes:
        name: as the caller spelt it.
        arn: its ARN.
        config: the configuration that serves, or is being created.
        status: EndpointStatus.
        pending: the configuration an update goes to.
        failure: FailureReason.
        outcome: how the transition under way will end.
        counts: variant -> desired number of instances.
        deployment: DeploymentConfig of the last deployment; `next_deployment` that of the one under way.
        resolved: image -> the digest it had when the endpoint was deployed, and when (epoch seconds).
        created: epoch seconds; `modified` likewise.
    """

    name: str
    arn: str
    config: str
    status: str = "Creating"
    pending: str | None = None
    failure: str | None = None
    outcome: Outcome = Outcome()
    counts: dict[str, int] = field(default_factory=dict)
    next_counts: dict[str, int] = field(default_factory=dict)
    deployment: dict[str, Any] | None = None
    next_deployment: dict[str, Any] | None = None
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)
    _polls: int = 0
    _since: float = field(default_factory=time.monotonic)

    def begin(self, status: str, outcome: Outcome) -> None:
        """Enter a transition."""
        self.status, self.outcome = status, outcome
        self._polls, self._since, self.modified = 0, time.monotonic(), time.time()

    def look(self, pace: Pace) -> None:
        """Being described: a transition that has lasted long enough ends."""
        if self.status not in TRANSITIONS or self.outcome.kind == "stuck":
            return
        if self._polls < pace.polls or time.monotonic() - self._since < pace.seconds:
            self._polls += 1
            return
        self._settle()
        self.modified = time.time()

    def _settle(self) -> None:
        if self.status == "Deleting":
            self.status = "Deleted"
        elif self.status == "RollingBack":
            self.status, self.pending = "InService", None
        elif self.outcome.kind == "ok":
            self.status, self.failure = "InService", None
            self.config, self.pending = self.pending or self.config, None
            self.counts, self.deployment = self.next_counts, self.next_deployment
        elif self.status == "Creating":
            self.status, self.failure = "Failed", self.outcome.reason
        else:
            self._fail_update()

    def _fail_update(self) -> None:
        self.failure = self.outcome.reason
        if self.outcome.kind == "fail":
            self.begin("RollingBack", Outcome())
            return
        self.status = "UpdateRollbackFailed" if self.outcome.kind == "rollback_failed" else "InService"
        self.pending = None


@dataclass
class Region:
    """What hosting knows in one region.

    Attributes:
        models: name -> CreateModel's request with `CreationTime`.
        configs: name -> CreateEndpointConfig's request with `CreationTime`.
        endpoints: name in lower case -> endpoint: names are unique without regard to case.
        tags: ARN -> tags.
    """

    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Refusal:
    """An operation that will be refused.

    Attributes:
        operation: name, such as `CreateEndpoint`.
        code: error code.
        message: error message.
        times: how often it still happens; None for ever.
        status: HTTP status.
    """

    operation: str
    code: str
    message: str
    times: int | None = 1
    status: int = 400


class Scenario:
    """What tests want to happen: outcomes of deployments, refused operations, and how long transitions take."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._outcomes: dict[str, list[Outcome]] = {}
        self._refusals: list[Refusal] = []

    def outcome(self, endpoint: str, *outcomes: Outcome) -> None:
        """The next deployments of an endpoint end so, in turn; later ones end well."""
        self._outcomes.setdefault(endpoint, []).extend(outcomes)

    def refuse(self, operation: str, code: str, message: str, *, times: int | None = 1, status: int = 400) -> None:
        """The next calls of an operation are refused."""
        self._refusals.append(Refusal(operation, code, message, times, status))

    def clear(self) -> None:
        """Let everything go well again, at the pace of the start."""
        self.pace = Pace()
        self._outcomes.clear()
        self._refusals.clear()

    def next_outcome(self, endpoint: str) -> Outcome:
        """The outcome of the deployment that begins now."""
        waiting = self._outcomes.get(endpoint)
        return waiting.pop(0) if waiting else Outcome()

    def refused(self, operation: str) -> Refusal | None:
        """The refusal of a call that is made now."""
        for refusal in self._refusals:
            if refusal.operation == operation and refusal.times != 0:
                if refusal.times is not None:
                    refusal.times -= 1
                return refusal
        return None
