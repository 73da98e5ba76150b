"""`endpoint.scaling.schedule`: scheduled actions that are set up, compared, run on the sandbox's clock, and removed."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from msgspec import structs

from sagepack.deploy import fleet
from sagepack.deploy import observe as observing
from sagepack.deploy.destroy import destroy
from sagepack.deploy.drift import differences
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import FleetTimes
from sagepack.spec import schedules
from sagepack.spec.model import Scaling, ScheduledBounds
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, changed, deployment, published, session_of, spec

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

TIMES = FleetTimes(alarm=120, resize=240, idle=900)
MORNING = ScheduledBounds("cron(0 8 * * ? *)", "Europe/Berlin", min_capacity=1)
EVENING = ScheduledBounds("cron(0 19 * * ? *)", "Europe/Berlin", min_capacity=0)
SCALING = Scaling(0, 2, schedule=(MORNING, EVENING))
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/svd/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    sandbox.aws.scenario.fleet_times = TIMES
    return session_of(sandbox)


@pytest.fixture
def waiter(sandbox: Servers) -> WaiterConfig:
    return WaiterConfig(sleep=sandbox.aws.clock.turn, clock=sandbox.aws.clock.now)


@pytest.fixture
def live(aws: Aws, waiter: WaiterConfig) -> Deployment:
    """An endpoint with a schedule."""
    value = published(aws, deployment(scaling=SCALING))
    reconcile(aws, value, Silent(), waiter)
    return value


def turn_to(sandbox: Servers, bounds: ScheduledBounds) -> None:
    """Turn the clock to the next time of an entry."""
    now = datetime.fromtimestamp(sandbox.aws.clock.now(), timezone.utc)
    due = schedules.next_after(bounds.at, bounds.timezone, now, now)
    assert due is not None
    sandbox.aws.clock.turn((due - now).total_seconds() + 1)


def instances(aws: Aws) -> int:
    variants = aws.client("sagemaker").describe_endpoint(EndpointName="svd")["ProductionVariants"]
    return int(variants[0]["CurrentInstanceCount"])


def bounds(aws: Aws) -> tuple[int, int]:
    found = aws.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return found["ScalableTargets"][0]["MinCapacity"], found["ScalableTargets"][0]["MaxCapacity"]


def actions(aws: Aws) -> dict[str, tuple[str, dict[str, int]]]:
    found = aws.client("application-autoscaling").describe_scheduled_actions(ServiceNamespace="sagemaker")
    return {
        each["ScheduledActionName"]: (each["Schedule"], each["ScalableTargetAction"])
        for each in found["ScheduledActions"]
    }


def put(aws: Aws, name: str, schedule: str = "cron(0 12 * * ? *)", **action: int) -> None:
    scaling = aws.client("application-autoscaling")
    scaling.put_scheduled_action(**TARGET, ScheduledActionName=name, Schedule=schedule, ScalableTargetAction=action)


def reasons(aws: Aws, value: Deployment) -> list[str]:
    return [change.reason for change in differences(value, observing.observe(aws, value.owner))]


def with_schedule(value: Deployment, *entries: ScheduledBounds) -> Deployment:
    return changed(value, scaling=structs.replace(SCALING, schedule=entries))


def test_a_schedule_is_set_up_once(aws: Aws, live: Deployment, waiter: WaiterConfig) -> None:
    assert actions(aws) == {
        "svd-schedule-1": ("cron(0 8 * * ? *)", {"MinCapacity": 1}),
        "svd-schedule-2": ("cron(0 19 * * ? *)", {"MinCapacity": 0}),
    }
    progress = RecordedProgress()
    assert reconcile(aws, live, progress, waiter).changes == ()
    assert progress.notes == []


def test_an_endpoint_is_awake_in_working_hours_and_sleeps_outside_of_them_and_neither_is_a_difference(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    turn_to(sandbox, EVENING)
    sandbox.aws.clock.turn(TIMES.idle + TIMES.resize)
    assert (bounds(aws), instances(aws), reasons(aws, live)) == ((0, 2), 0, [])
    turn_to(sandbox, MORNING)
    sandbox.aws.clock.turn(TIMES.resize)
    assert (bounds(aws), instances(aws), reasons(aws, live)) == ((1, 2), 1, [])
    sandbox.aws.clock.turn(5 * 3600)
    assert instances(aws) == 1
    turn_to(sandbox, EVENING)
    sandbox.aws.clock.turn(TIMES.idle + TIMES.resize)
    assert (bounds(aws), instances(aws)) == ((0, 2), 0)
    found = aws.client("application-autoscaling").describe_scaling_activities(ServiceNamespace="sagemaker")
    causes = [each["Cause"] for each in found["ScalingActivities"]]
    assert "scheduled action name svd-schedule-1 was triggered" in causes
    assert "minimum capacity was set to 1" in causes


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((MORNING,), ["endpoint.scaling.schedule.1 is not declared"]),
        ((), ["endpoint.scaling.schedule.0 is not declared", "endpoint.scaling.schedule.1 is not declared"]),
        (
            (structs.replace(MORNING, at="cron(0 9 * * ? *)", min_capacity=2), EVENING),
            [
                "endpoint.scaling.schedule.0.at: cron(0 8 * * ? *) -> cron(0 9 * * ? *)",
                "endpoint.scaling.schedule.0.min_capacity: 1 -> 2",
            ],
        ),
        (
            (structs.replace(MORNING, timezone="UTC", max_capacity=3), EVENING),
            [
                "endpoint.scaling.schedule.0.timezone: Europe/Berlin -> UTC",
                "endpoint.scaling.schedule.0.max_capacity: none -> 3",
            ],
        ),
        (
            (MORNING, EVENING, ScheduledBounds("rate(1 day)", max_capacity=4)),
            ["endpoint.scaling.schedule.2 is missing"],
        ),
    ],
)
def test_each_change_of_a_schedule_is_named_and_made(
    aws: Aws, live: Deployment, waiter: WaiterConfig, entries: tuple[ScheduledBounds, ...], expected: list[str]
) -> None:
    value = with_schedule(live, *entries)
    assert reasons(aws, value) == expected
    assert {change.kind for change in reconcile(aws, value, Silent(), waiter).changes} == {"scaling"}
    assert reasons(aws, value) == []
    assert len(actions(aws)) == len(entries)


def test_an_action_that_somebody_deleted_or_ended_is_put_again(
    aws: Aws, live: Deployment, waiter: WaiterConfig
) -> None:
    scaling = aws.client("application-autoscaling")
    scaling.delete_scheduled_action(**TARGET, ScheduledActionName="svd-schedule-1")
    ended = {"EndTime": datetime.now(timezone.utc) - timedelta(days=1), "Timezone": "Europe/Berlin"}
    scaling.put_scheduled_action(
        **TARGET,
        ScheduledActionName="svd-schedule-2",
        Schedule=EVENING.at,
        ScalableTargetAction={"MinCapacity": 0},
        **ended,
    )
    missing, end = reasons(aws, live)
    assert missing == "endpoint.scaling.schedule.0 is missing"
    assert end.startswith("endpoint.scaling.schedule.1, EndTime: ")
    reconcile(aws, live, Silent(), waiter)
    assert reasons(aws, live) == []


def test_a_deployment_leaves_the_bounds_that_the_schedule_has_set(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    turn_to(sandbox, MORNING)
    sandbox.aws.clock.turn(TIMES.resize)
    other = changed(live, scaling=structs.replace(SCALING, target_backlog_per_instance=2.0))
    reconcile(aws, other, Silent(), waiter)
    assert bounds(aws) == (1, 2)
    # The target is removed and made again for another instance type.
    reconcile(aws, published(aws, changed(other, instance_type="ml.g5.4xlarge")), Silent(), waiter)
    assert bounds(aws) == (1, 2)
    assert set(actions(aws)) == {"svd-schedule-1", "svd-schedule-2"}


def test_without_a_schedule_the_bounds_are_those_of_scaling_again(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    turn_to(sandbox, MORNING)
    value = with_schedule(live)
    assert "endpoint.scaling.min_capacity: 1 -> 0" in reasons(aws, value)
    reconcile(aws, value, Silent(), waiter)
    assert (bounds(aws), actions(aws)) == ((0, 2), {})


def test_an_action_of_somebody_else_stays_and_what_it_sets_is_no_difference(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    put(aws, "holiday", "cron(0 12 * * ? *)", MinCapacity=3, MaxCapacity=4)
    turn_to(sandbox, ScheduledBounds("cron(0 12 * * ? *)"))
    sandbox.aws.clock.turn(TIMES.resize)
    assert (bounds(aws), instances(aws), reasons(aws, live)) == ((3, 4), 3, [])
    reconcile(aws, with_schedule(live, MORNING), Silent(), waiter)
    assert "holiday" in actions(aws)
    assert bounds(aws) == (3, 4)


def test_bounds_that_nobody_scheduled_are_a_difference(aws: Aws, live: Deployment) -> None:
    aws.client("application-autoscaling").register_scalable_target(**TARGET, MinCapacity=2, MaxCapacity=3)
    assert reasons(aws, live) == [
        "endpoint.scaling.min_capacity: 2 -> 0",
        "endpoint.scaling.max_capacity: 3 -> 2",
    ]


def test_an_entry_for_one_time_that_is_past_is_neither_put_nor_missing(
    aws: Aws, live: Deployment, waiter: WaiterConfig
) -> None:
    past = ScheduledBounds("at(2020-01-01T08:00:00)", min_capacity=1)
    value = with_schedule(live, past, EVENING)
    assert reasons(aws, value) == []
    reconcile(aws, with_schedule(live, EVENING, past), Silent(), waiter)
    assert reasons(aws, with_schedule(live, EVENING, past)) == []


def test_an_endpoint_that_may_sleep_at_night_only_can_be_woken_then(aws: Aws, waiter: WaiterConfig) -> None:
    reconcile(aws, published(aws, deployment(scaling=structs.replace(SCALING, min_capacity=1))), Silent(), waiter)
    policies = aws.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")
    assert "svd-wake" in {policy["PolicyName"] for policy in policies["ScalingPolicies"]}


@pytest.mark.usefixtures("live")
def test_an_endpoint_is_not_put_to_sleep_while_the_schedule_keeps_it_awake(
    aws: Aws, sandbox: Servers, waiter: WaiterConfig
) -> None:
    turn_to(sandbox, MORNING)
    with pytest.raises(UserError, match="keeps 1 to 2 instances now") as caught:
        fleet.sleep(aws, spec(scaling=SCALING), Silent(), waiter)
    assert "wait until the schedule" in str(caught.value.fix)
    turn_to(sandbox, EVENING)
    assert fleet.sleep(aws, spec(scaling=SCALING), Silent(), waiter).instances == 0


def test_destroy_removes_the_scheduled_actions(aws: Aws, live: Deployment, waiter: WaiterConfig) -> None:
    put(aws, "holiday", MinCapacity=1)
    removed = destroy(aws, live.owner, Silent(), waiter)
    names = [resource.name for resource in removed.resources if resource.kind == "scheduled action"]
    assert names == ["holiday", "svd-schedule-1", "svd-schedule-2"]
    assert actions(aws) == {}


def test_removing_automatic_scaling_removes_the_schedule(aws: Aws, live: Deployment, waiter: WaiterConfig) -> None:
    reconcile(aws, changed(live, scaling=None), Silent(), waiter)
    assert actions(aws) == {}


def test_the_status_says_what_the_schedule_does_next(
    tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws, cloud = session_of(sandbox), Cloud(tmp_path, sandbox, monkeypatch)
    value = deployment(endpoint_name="svd-cloud", scaling=SCALING)
    value = dataclasses.replace(value, owner=dataclasses.replace(value.owner, env="cloud"))
    reconcile(aws, published(aws, value), Silent(), WaiterConfig(delay=0.01, timeout=30))
    found = cloud.project("endpoint.name=svd-cloud").status().next_scheduled
    assert found is not None
    assert (found.name, found.fewest_instances) in {("svd-cloud-schedule-1", 1), ("svd-cloud-schedule-2", 0)}
    due = datetime.fromisoformat(found.time.replace("Z", "+00:00"))
    assert timedelta(0) < due - datetime.now(timezone.utc) <= timedelta(hours=14)


# The sandbox itself.


@pytest.mark.usefixtures("live")
def test_suspended_scheduled_scaling_sets_nothing(aws: Aws, sandbox: Servers) -> None:
    scaling = aws.client("application-autoscaling")
    scaling.register_scalable_target(**TARGET, SuspendedState={"ScheduledScalingSuspended": True})
    turn_to(sandbox, MORNING)
    assert bounds(aws) == (0, 2)


@pytest.mark.usefixtures("live")
def test_an_action_runs_at_each_of_its_times_and_only_between_its_start_and_its_end(aws: Aws, sandbox: Servers) -> None:
    now = datetime.fromtimestamp(sandbox.aws.clock.now(), timezone.utc)
    more: dict[str, Any] = {"StartTime": now + timedelta(hours=2), "EndTime": now + timedelta(hours=4)}
    aws.client("application-autoscaling").put_scheduled_action(
        **TARGET, ScheduledActionName="x", Schedule="rate(1 hour)", ScalableTargetAction={"MaxCapacity": 7}, **more
    )
    sandbox.aws.clock.turn(3600 + 60)
    assert bounds(aws)[1] == 2
    sandbox.aws.clock.turn(3 * 24 * 3600)
    assert bounds(aws)[1] == 7
    found = aws.client("application-autoscaling").describe_scaling_activities(ServiceNamespace="sagemaker")
    causes = [each["Cause"] for each in found["ScalingActivities"]]
    assert causes.count("scheduled action name x was triggered") == 2
    assert causes.count("scheduled action name svd-schedule-1 was triggered") == 3


def test_the_sandbox_refuses_what_application_auto_scaling_refuses(aws: Aws, live: Deployment) -> None:
    for schedule, action, message in (
        ("cron(0 8 * * *)", {"MinCapacity": 1}, "Invalid schedule: a cron expression has 6 fields"),
        ("rate(1 day)", {"MinCapacity": 3, "MaxCapacity": 2}, "must not be more"),
        ("rate(1 day)", {}, "one must be given"),
    ):
        with pytest.raises(ClientError, match=message):
            put(aws, "x", schedule, **action)
    scaling = aws.client("application-autoscaling")
    with pytest.raises(ClientError, match="No scheduled action found"):
        scaling.delete_scheduled_action(**TARGET, ScheduledActionName="nobody")
    scaling.deregister_scalable_target(**TARGET)
    assert actions(aws) == {}
    with pytest.raises(ClientError, match="No scalable target registered"):
        put(aws, "x", MinCapacity=1)
    assert reasons(aws, live) == ["automatic scaling: none -> 0 to 2 instances"]
