"""Automatic scaling of an asynchronous endpoint, as requests of Application Auto Scaling and CloudWatch.

Target tracking on the backlog alone cannot start an endpoint that has no instances: the metric is per instance. An endpoint
that may scale to zero also needs the alarm HasBacklogWithoutCapacity and a step scaling policy that the alarm starts. Both
metrics have EndpointName as their only dimension; with VariantName they never get data (SageMaker developer guide, "Autoscale
an asynchronous endpoint").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sagepack.aws.autoscaling import ScalableTarget
from sagepack.deploy.deployment import VARIANT_NAME

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.spec.model import Endpoint


@dataclass(frozen=True)
class Scaling:
    """The automatic scaling that an endpoint should have.

    Attributes:
        target: the scalable target; None means no automatic scaling, and then the others are empty.
        policies: PutScalingPolicy requests, by the name of the policy.
        alarms: PutMetricAlarm requests without the action, by the name of the alarm.
    """

    target: ScalableTarget | None = None
    policies: dict[str, Document] = field(default_factory=dict)
    alarms: dict[str, Document] = field(default_factory=dict)


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


def desired_scaling(endpoint: Endpoint) -> Scaling:
    """The automatic scaling that is declared for `endpoint`."""
    bounds, endpoint_name = endpoint.scaling, endpoint.name
    if bounds is None:
        return Scaling()
    names, dimensions = scaling_names(endpoint_name), [{"Name": "EndpointName", "Value": endpoint_name}]
    policies: dict[str, Document] = {
        names.backlog_policy: {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": bounds.target_backlog_per_instance,
                "CustomizedMetricSpecification": {
                    "MetricName": "ApproximateBacklogSizePerInstance",
                    "Namespace": "AWS/SageMaker",
                    "Dimensions": dimensions,
                    "Statistic": "Average",
                },
                # Off unless somebody switched it on by hand: then the instances would never become fewer.
                "DisableScaleIn": False,
                "ScaleInCooldown": bounds.scale_in_cooldown,
                "ScaleOutCooldown": bounds.scale_out_cooldown,
            },
        }
    }
    alarms: dict[str, Document] = {}
    if bounds.min_capacity == 0:
        policies[names.wake_policy] = {
            "PolicyType": "StepScaling",
            "StepScalingPolicyConfiguration": {
                "AdjustmentType": "ChangeInCapacity",
                "MetricAggregationType": "Average",
                "Cooldown": bounds.scale_out_cooldown,
                "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
            },
        }
        alarms[names.wake_alarm] = {
            # On unless somebody switched it off by hand: then no request would wake the endpoint.
            "ActionsEnabled": True,
            "MetricName": "HasBacklogWithoutCapacity",
            "Namespace": "AWS/SageMaker",
            "Statistic": "Average",
            "Dimensions": dimensions,
            "Period": 60,
            "EvaluationPeriods": 2,
            "DatapointsToAlarm": 2,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
        }
    return Scaling(ScalableTarget(bounds.min_capacity, bounds.max_capacity), policies, alarms)
