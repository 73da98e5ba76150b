"""Automatic scaling of an asynchronous endpoint, as the requests of Application Auto Scaling and CloudWatch.

Target tracking on the backlog alone strands a fleet at zero, since the metric is per instance and there is none: an endpoint
that may sleep also needs the alarm HasBacklogWithoutCapacity and a step policy that it starts. Both metrics have the one
dimension EndpointName; with VariantName they never get data (SageMaker developer guide, "Autoscale an asynchronous endpoint").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.deploy.deployment import VARIANT

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment
    from sagepack.spec import model

NAMESPACE, DIMENSION = "sagemaker", "sagemaker:variant:DesiredInstanceCount"


@dataclass(frozen=True)
class Scaling:
    """Automatic scaling as it should be or as it is; all None and empty means there is none.

    Attributes:
        target: bounds, with the keys MinCapacity and MaxCapacity.
        policies: scaling policies by name, as PutScalingPolicy takes them.
        alarms: our alarms by name, as PutMetricAlarm takes them but without the action.
    """

    target: dict[str, Any] | None
    policies: dict[str, dict[str, Any]]
    alarms: dict[str, dict[str, Any]]


NONE = Scaling(None, {}, {})


def resource_id(endpoint: str) -> str:
    """What Application Auto Scaling calls the endpoint's only variant."""
    return f"endpoint/{endpoint}/variant/{VARIANT}"


def names(endpoint: str) -> tuple[str, str, str]:
    """Names of the tracking policy, the waking policy and the waking alarm; nothing else of the account is ours."""
    return f"{endpoint}-backlog", f"{endpoint}-wake", f"{endpoint}-has-backlog-without-capacity"


def wanted(deployment: Deployment) -> Scaling:
    """The scaling that `deployment` asks for."""
    bounds, name = deployment.endpoint.scaling, deployment.name
    if bounds is None:
        return NONE
    backlog, wake, alarm = names(name)
    policies = {backlog: _tracking(name, bounds)}
    if bounds.min_capacity == 0:
        policies[wake] = _waking(bounds.scale_out_cooldown)
    return Scaling(
        {"MinCapacity": bounds.min_capacity, "MaxCapacity": bounds.max_capacity},
        policies,
        {alarm: _alarm(name)} if bounds.min_capacity == 0 else {},
    )


def _tracking(endpoint: str, bounds: model.Scaling) -> dict[str, Any]:
    return {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": bounds.target_backlog_per_instance,
            "CustomizedMetricSpecification": {
                "MetricName": "ApproximateBacklogSizePerInstance",
                "Namespace": "AWS/SageMaker",
                "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
                "Statistic": "Average",
            },
            "ScaleInCooldown": bounds.scale_in_cooldown,
            "ScaleOutCooldown": bounds.scale_out_cooldown,
        },
    }


def _waking(cooldown: int) -> dict[str, Any]:
    return {
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": cooldown,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def _alarm(endpoint: str) -> dict[str, Any]:
    return {
        "MetricName": "HasBacklogWithoutCapacity",
        "Namespace": "AWS/SageMaker",
        "Statistic": "Average",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
    }
