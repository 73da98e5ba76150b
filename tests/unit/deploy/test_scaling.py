from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from sagepack.aws.autoscaling import ScalableTarget, ScheduledAction, SuspendedState
from sagepack.aws.autoscaling import ScheduledBounds as SetBounds
from sagepack.deploy import scaling
from sagepack.deploy.scaling import AllowedBounds, desired_scaling
from sagepack.spec.model import Scaling, ScheduledBounds
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


def test_each_entry_of_a_schedule_is_a_scheduled_action_named_by_its_place() -> None:
    entries = (
        ScheduledBounds("cron(0 8 ? * MON-FRI *)", "Europe/Berlin", min_capacity=1),
        ScheduledBounds("rate(1 day)", max_capacity=1),
    )
    desired = desired_scaling(deployment(scaling=Scaling(0, 3, schedule=entries)).endpoint)
    assert desired.actions == {
        "svd-schedule-1": ScheduledAction(
            "cron(0 8 ? * MON-FRI *)", "Europe/Berlin", scalable_target_action=SetBounds(min_capacity=1)
        ),
        "svd-schedule-2": ScheduledAction("rate(1 day)", scalable_target_action=SetBounds(max_capacity=1)),
    }
    assert "Timezone" not in desired.actions["svd-schedule-2"].document


def test_what_never_runs_again_is_not_set_up() -> None:
    entries = (ScheduledBounds("at(2026-01-31T08:00:00)", "America/New_York", min_capacity=1),)
    endpoint = deployment(scaling=Scaling(0, 3, schedule=entries)).endpoint
    for hour, coming in ((12, True), (13, False)):
        found = desired_scaling(endpoint, datetime(2026, 1, 31, hour, tzinfo=timezone.utc))
        assert (set(found.actions), found.past_actions) == (
            ({"svd-schedule-1"}, frozenset()) if coming else (set(), {"svd-schedule-1"})
        )


@pytest.mark.parametrize("low", [0, 1])
def test_an_endpoint_that_may_sleep_at_some_time_has_what_wakes_it(low: int) -> None:
    night = ScheduledBounds("rate(1 day)", min_capacity=1 - low)
    endpoint = deployment(scaling=Scaling(low, 3, schedule=(night,))).endpoint
    assert list(desired_scaling(endpoint).policies) == ["svd-backlog", "svd-wake"]


@pytest.mark.parametrize(
    ("live", "kept"),
    [
        (None, (0, 2)),
        (ScalableTarget(0, 2), (0, 2)),
        (ScalableTarget(1, 2), (1, 2)),
        (ScalableTarget(1, 4), (1, 4)),
        (ScalableTarget(3, 4), (0, 4)),
        (ScalableTarget(2, 9), (2, 2)),
        (ScalableTarget(0, 1), (0, 2)),
    ],
)
def test_a_target_keeps_the_bounds_that_a_scheduled_action_may_have_set(
    live: ScalableTarget | None, kept: tuple[int, int]
) -> None:
    entries = (ScheduledBounds("rate(1 day)", min_capacity=1), ScheduledBounds("rate(2 days)", max_capacity=4))
    others = {
        "theirs": ScheduledAction("rate(1 day)", scalable_target_action=SetBounds(2, None)),
        "svd-schedule-9": ScheduledAction("rate(1 day)", scalable_target_action=SetBounds(3, 9)),
    }
    bounds = AllowedBounds.of(deployment(scaling=Scaling(0, 2, schedule=entries)).endpoint, others)
    assert bounds is not None
    assert bounds.keep(live) == ScalableTarget(*kept)
    assert [bounds.nearest(count) for count in (0, 3, 4, 5)] == [0, 3, 4, 4]


def test_a_target_that_was_suspended_is_resumed() -> None:
    bounds = AllowedBounds.of(deployment(scaling=Scaling(0, 2)).endpoint, {})
    suspended = ScalableTarget(0, 2, SuspendedState(scheduled_scaling_suspended=True))
    assert bounds is not None
    assert bounds.keep(suspended) == ScalableTarget(0, 2)
