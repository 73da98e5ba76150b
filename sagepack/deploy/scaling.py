"""Automatic scaling of an asynchronous endpoint, as requests of Application Auto Scaling and CloudWatch.

Target tracking on the backlog alone cannot start an endpoint that has no instances: the metric is per instance. An endpoint
that may scale to zero also needs the alarm HasBacklogWithoutCapacity and a step scaling policy that the alarm starts. Both
metrics have EndpointName as their only dimension; with VariantName they never get data (SageMaker developer guide, "Autoscale
an asynchronous endpoint").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, NamedTuple

from sagepack.aws.autoscaling import ScalableTarget, ScheduledAction, ScheduledBounds
from sagepack.deploy.deployment import VARIANT_NAME
from sagepack.spec import schedules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.aws.session import Document
    from sagepack.spec import model
    from sagepack.spec.model import Endpoint


@dataclass(frozen=True)
class Scaling:
    """The automatic scaling that an endpoint should have.

    Attributes:
        target: the scalable target; None means no automatic scaling, and then the others are empty.
        policies: PutScalingPolicy requests, by the name of the policy.
        alarms: PutMetricAlarm requests without the action, by the name of the alarm.
        actions: the scheduled actions that still have a time to come, by name.
        past_actions: names of those that are declared and have none: whether AWS still has them says nothing.
    """

    target: ScalableTarget | None = None
    policies: dict[str, Document] = field(default_factory=dict)
    alarms: dict[str, Document] = field(default_factory=dict)
    actions: dict[str, ScheduledAction] = field(default_factory=dict)
    past_actions: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AllowedBounds:
    """The bounds that a scalable target may have at some time: those it gets at first, and those that scheduled actions set.

    Attributes:
        first: what it is registered with.
        lower, upper: all of them.
    """

    first: ScalableTarget
    lower: frozenset[int]
    upper: frozenset[int]

    @classmethod
    def of(cls, endpoint: Endpoint, actions: Mapping[str, ScheduledAction]) -> AllowedBounds | None:
        """Those of the automatic scaling that is declared for `endpoint`; None if none is.

        Args:
            endpoint: as declared.
            actions: the live scheduled actions; those that other programs made count as well.
        """
        scaling = endpoint.scaling
        if scaling is None:
            return None
        others = [
            action.scalable_target_action for name, action in actions.items() if not is_action(endpoint.name, name)
        ]
        return cls(
            ScalableTarget(scaling.min_capacity, scaling.max_capacity),
            frozenset(scaling.lower_bounds | {each.min_capacity for each in others if each.min_capacity is not None}),
            frozenset(scaling.upper_bounds | {each.max_capacity for each in others if each.max_capacity is not None}),
        )

    def nearest(self, count: int) -> int:
        """The number of instances nearest to `count` that is allowed at some time."""
        return min(max(count, min(self.lower)), max(self.upper))

    def keep(self, live: ScalableTarget | None) -> ScalableTarget:
        """The target with the bounds of `live` where a scheduled action may have set them, else with the first ones."""
        if live is None:
            return self.first
        low = live.min_capacity if live.min_capacity in self.lower else self.first.min_capacity
        high = live.max_capacity if live.max_capacity in self.upper else self.first.max_capacity
        return ScalableTarget(low, high) if low <= high else self.first


class ScalingNames(NamedTuple):
    """The names of everything that this program sets up for the scaling of one endpoint."""

    backlog_policy: str
    wake_policy: str
    wake_alarm: str


def resource_id(endpoint_name: str) -> str:
    """The ResourceId by which Application Auto Scaling knows the endpoint's only variant."""
    return f"endpoint/{endpoint_name}/variant/{VARIANT_NAME}"


def scaling_names(endpoint_name: str) -> ScalingNames:
    """The names for `endpoint_name`. A policy or alarm of any other name was not made by this program."""
    return ScalingNames(
        backlog_policy=f"{endpoint_name}-backlog",
        wake_policy=f"{endpoint_name}-wake",
        wake_alarm=f"{endpoint_name}-has-backlog-without-capacity",
    )


def is_action(endpoint_name: str, name: str) -> bool:
    """Whether a scheduled action of the endpoint has a name that this program gives."""
    return re.fullmatch(re.escape(endpoint_name) + r"-schedule-[0-9]+", name) is not None


def desired_scaling(endpoint: Endpoint, now: datetime | None = None) -> Scaling:
    """The automatic scaling that is declared for `endpoint`.

    Args:
        endpoint: as declared.
        now: scheduled actions without a time after this one are past; the time of the call if left out.
    """
    bounds = endpoint.scaling
    if bounds is None:
        return Scaling()
    names = scaling_names(endpoint.name)
    policies, alarms = {names.backlog_policy: _backlog_policy(endpoint.name, bounds)}, {}
    if bounds.may_sleep:
        policies[names.wake_policy] = _wake_policy(bounds)
        alarms[names.wake_alarm] = _wake_alarm(endpoint.name)
    now = now or datetime.now(timezone.utc)
    actions = _actions(endpoint)
    past = {
        name for name, each in actions.items() if schedules.is_over(each.schedule, each.timezone or schedules.UTC, now)
    }
    coming = {name: action for name, action in actions.items() if name not in past}
    return Scaling(ScalableTarget(bounds.min_capacity, bounds.max_capacity), policies, alarms, coming, frozenset(past))


def _backlog_policy(endpoint_name: str, bounds: model.Scaling) -> Document:
    """Keeps the requests that wait for each instance at a number."""
    return {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": bounds.target_backlog_per_instance,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": _dimensions(endpoint_name),
                "Statistic": "Average",
            },
            # Off unless somebody switched it on by hand: then the instances would never become fewer.
            "DisableScaleIn": False,
            "ScaleInCooldown": bounds.scale_in_cooldown,
            "ScaleOutCooldown": bounds.scale_out_cooldown,
        },
    }


def _wake_policy(bounds: model.Scaling) -> Document:
    """Adds an instance where there is none."""
    return {
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": bounds.scale_out_cooldown,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def _wake_alarm(endpoint_name: str) -> Document:
    """Sees requests that wait while there is no instance."""
    return {
        # On unless somebody switched it off by hand: then no request would wake the endpoint.
        "ActionsEnabled": True,
        "MetricName": "HasBacklogWithoutCapacity",
        "Namespace": "AWS/SageMaker",
        "Statistic": "Average",
        "Dimensions": _dimensions(endpoint_name),
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
    }


def _dimensions(endpoint_name: str) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": endpoint_name}]


def _actions(endpoint: Endpoint) -> dict[str, ScheduledAction]:
    """The scheduled actions that are declared, with names by their place."""
    return {
        f"{endpoint.name}-schedule-{number}": ScheduledAction(
            each.at,
            # Documented for the other two forms only.
            timezone=None if each.at.startswith("rate(") else each.timezone,
            scalable_target_action=ScheduledBounds(each.min_capacity, each.max_capacity),
        )
        for number, each in enumerate(endpoint.scaling.schedule if endpoint.scaling else (), 1)
    }
