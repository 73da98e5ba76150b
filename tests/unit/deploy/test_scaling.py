from __future__ import annotations

from typing import Any

from sagepack.deploy import scaling
from sagepack.spec.model import Scaling
from tests.helpers.deployments import deployment, violations


def _merged(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    common = {"ServiceNamespace": scaling.NAMESPACE, "ScalableDimension": scaling.DIMENSION}
    return {"PolicyName": name, "ResourceId": scaling.resource_id("svd"), **common, **policy}


def test_an_endpoint_without_scaling_asks_for_none() -> None:
    assert scaling.wanted(deployment()) == scaling.NONE


def test_a_floor_of_zero_brings_both_policies_and_the_alarm() -> None:
    asked = scaling.wanted(deployment(scaling=Scaling(0, 3, target_backlog_per_instance=4.0)))
    assert asked.target == {"MinCapacity": 0, "MaxCapacity": 3}
    assert list(asked.policies) == ["svd-backlog", "svd-wake"]
    assert list(asked.alarms) == ["svd-has-backlog-without-capacity"]
    tracking = asked.policies["svd-backlog"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 4.0
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"


def test_a_floor_of_one_needs_no_waking() -> None:
    asked = scaling.wanted(deployment(scaling=Scaling(1, 3)))
    assert list(asked.policies) == ["svd-backlog"]
    assert asked.alarms == {}


def test_the_backlog_metrics_have_the_endpoint_as_their_only_dimension() -> None:
    asked = scaling.wanted(deployment(scaling=Scaling(0, 3)))
    dimensions = [{"Name": "EndpointName", "Value": "svd"}]
    tracking = asked.policies["svd-backlog"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["CustomizedMetricSpecification"]["Dimensions"] == dimensions
    assert asked.alarms["svd-has-backlog-without-capacity"]["Dimensions"] == dimensions


def test_every_request_is_within_what_the_service_models_allow() -> None:
    asked = scaling.wanted(deployment(scaling=Scaling(0, 3)))
    for name, policy in asked.policies.items():
        assert violations("application-autoscaling", "PutScalingPolicy", _merged(name, policy)) == []
    for name, alarm in asked.alarms.items():
        assert violations("cloudwatch", "PutMetricAlarm", {"AlarmName": name, **alarm}) == []
