from __future__ import annotations

from typing import Any

from sagepack.aws.autoscaling import ScalableTarget
from sagepack.deploy import scaling
from sagepack.deploy.scaling import desired_scaling
from sagepack.spec.model import Scaling
from tests.helpers.deployments import deployment, violations


def put_policy_request(name: str, policy: dict[str, Any]) -> dict[str, Any]:
    common = {"ServiceNamespace": "sagemaker", "ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    return {"PolicyName": name, "ResourceId": scaling.resource_id("svd"), **common, **policy}


def test_an_endpoint_without_declared_scaling_has_none() -> None:
    assert desired_scaling(deployment().endpoint) == scaling.Scaling()


def test_min_capacity_zero_needs_both_policies_and_the_alarm() -> None:
    desired = desired_scaling(deployment(scaling=Scaling(0, 3, target_backlog_per_instance=4.0)).endpoint)
    assert desired.target == ScalableTarget(0, 3)
    assert list(desired.policies) == ["svd-backlog", "svd-wake"]
    assert list(desired.alarms) == ["svd-has-backlog-without-capacity"]
    tracking = desired.policies["svd-backlog"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 4.0
    assert tracking["CustomizedMetricSpecification"]["MetricName"] == "ApproximateBacklogSizePerInstance"


def test_min_capacity_one_needs_no_wake_policy() -> None:
    desired = desired_scaling(deployment(scaling=Scaling(1, 3)).endpoint)
    assert list(desired.policies) == ["svd-backlog"]
    assert desired.alarms == {}


def test_the_backlog_metrics_have_the_endpoint_as_their_only_dimension() -> None:
    desired = desired_scaling(deployment(scaling=Scaling(0, 3)).endpoint)
    dimensions = [{"Name": "EndpointName", "Value": "svd"}]
    tracking = desired.policies["svd-backlog"]["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["CustomizedMetricSpecification"]["Dimensions"] == dimensions
    assert desired.alarms["svd-has-backlog-without-capacity"]["Dimensions"] == dimensions


def test_every_request_is_within_what_the_service_models_allow() -> None:
    desired = desired_scaling(deployment(scaling=Scaling(0, 3)).endpoint)
    for name, policy in desired.policies.items():
        assert violations("application-autoscaling", "PutScalingPolicy", put_policy_request(name, policy)) == []
    for name, alarm in desired.alarms.items():
        assert violations("cloudwatch", "PutMetricAlarm", {"AlarmName": name, **alarm}) == []
