"""Fleets of the sandbox: they take time, fall asleep and wake, on a clock that these tests turn."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.sandbox.aws.hosting import FleetTimes
from sagepack.sandbox.aws.invocations import ScriptedResult
from tests.helpers.hosting import DATA, WAIT, config, error_of, model, wait_for_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Servers

TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
DIMENSIONS = [{"Name": "EndpointName", "Value": "e"}]
# As slow as AWS: nothing happens in a test unless it turns the clock.
TIMES = FleetTimes(alarm=120, resize=240, busy=180, idle=900)


class Fleet:
    """The endpoint `e` with one instance, the clients of its services, and the clock."""

    def __init__(self, sandbox: Servers, client: Callable[[str], Any]) -> None:
        self.sandbox, self.s3, self.sagemaker = sandbox, client("s3"), client("sagemaker")
        self.scaling, self.cloudwatch = client("application-autoscaling"), client("cloudwatch")
        self.runtime = client("sagemaker-runtime")
        self.s3.put_object(Bucket=sandbox.bucket, Key="models/model.tar.gz", Body=b"data")
        model(self.sagemaker, sandbox)
        config(self.sagemaker)
        self.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c1")
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)
        sandbox.aws.scenario.fleet_times = TIMES
        sandbox.aws.invocations.script(ScriptedResult(b"{}"))

    def register(self, least: int, most: int, **suspended: bool) -> None:
        more = {"SuspendedState": suspended} if suspended else {}
        self.scaling.register_scalable_target(**TARGET, MinCapacity=least, MaxCapacity=most, **more)

    def sleep_policy(self) -> None:
        metric = {"MetricName": "ApproximateBacklogSizePerInstance", "Namespace": "AWS/SageMaker"}
        tracking = {
            "TargetValue": 5.0,
            "CustomizedMetricSpecification": {**metric, "Dimensions": DIMENSIONS, "Statistic": "Average"},
        }
        self.scaling.put_scaling_policy(
            **TARGET,
            PolicyName="e-backlog",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=tracking,
        )

    def wake_policy(self) -> None:
        step = {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        }
        made = self.scaling.put_scaling_policy(
            **TARGET, PolicyName="e-wake", PolicyType="StepScaling", StepScalingPolicyConfiguration=step
        )
        self.cloudwatch.put_metric_alarm(
            AlarmName="e-no-capacity",
            MetricName="HasBacklogWithoutCapacity",
            Namespace="AWS/SageMaker",
            Dimensions=DIMENSIONS,
            Statistic="Average",
            Period=60,
            EvaluationPeriods=2,
            Threshold=1.0,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            AlarmActions=[made["PolicyARN"]],
        )

    def turn(self, seconds: float) -> None:
        self.sandbox.aws.clock.turn(seconds)

    def resize(self, instances: int) -> None:
        desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": instances}]
        self.sagemaker.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=desired)

    def fall_asleep(self) -> None:
        self.resize(0)
        self.turn(TIMES.resize)
        assert self.state() == ("InService", 0, 0)

    def state(self) -> tuple[str, int, int]:
        """Status, current and desired number of instances."""
        live = self.sagemaker.describe_endpoint(EndpointName="e")
        variant = live["ProductionVariants"][0]
        return live["EndpointStatus"], variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]

    def send(self, **more: Any) -> str:
        """Send a request, and return where its answer will be."""
        return str(self.runtime.invoke_endpoint_async(EndpointName="e", InputLocation=DATA, **more)["OutputLocation"])

    def answered(self) -> int:
        """How many answers there are."""
        return int(self.s3.list_objects_v2(Bucket=self.sandbox.bucket, Prefix="out/")["KeyCount"])

    def metric(self, name: str) -> list[float]:
        """The newest values of a metric of the endpoint."""
        now = datetime.now(timezone.utc)
        metric = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": DIMENSIONS}
        found = self.cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}],
            StartTime=now - timedelta(minutes=10),
            EndTime=now,
        )
        return list(found["MetricDataResults"][0]["Values"])

    def alarm(self) -> str:
        """State of the wake alarm."""
        return str(self.cloudwatch.describe_alarms(AlarmNames=["e-no-capacity"])["MetricAlarms"][0]["StateValue"])

    def activities(self) -> list[tuple[str, str, str]]:
        """Status, description and cause of the scaling activities, the newest first."""
        found = self.scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=TARGET["ResourceId"])
        return [(each["StatusCode"], each["Description"], each["Cause"]) for each in found["ScalingActivities"]]


@pytest.fixture
def fleet(sandbox: Servers, client: Callable[[str], Any]) -> Fleet:
    return Fleet(sandbox, client)


def test_a_change_of_the_number_of_instances_takes_time_in_which_the_endpoint_cannot_be_updated(fleet: Fleet) -> None:
    fleet.resize(3)
    assert fleet.state() == ("Updating", 1, 3)
    for change in (
        lambda: fleet.resize(2),
        lambda: fleet.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c1"),
        lambda: fleet.sagemaker.delete_endpoint(EndpointName="e"),
    ):
        assert "Cannot update in-progress endpoint" in error_of(change)
    wait_for_object(fleet.s3, fleet.send())
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", 3, 3)
    assert fleet.activities() == []


@pytest.mark.parametrize(
    ("least", "most", "after", "cause"),
    [(2, 4, 2, "minimum capacity was set to 2"), (0, 1, 1, "maximum capacity was set to 1"), (0, 3, 3, "")],
)
def test_registering_a_target_moves_the_fleet_into_its_bounds(
    fleet: Fleet, least: int, most: int, after: int, cause: str
) -> None:
    before = 1 if least else 3
    if before == 3:
        fleet.resize(3)
        fleet.turn(TIMES.resize)
    fleet.register(least, most)
    if not cause:
        assert fleet.state() == ("InService", 3, 3)
        return
    assert fleet.state() == ("Updating", before, after)
    assert fleet.activities() == [("InProgress", f"Setting desired instance count to {after}.", cause)]
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", after, after)
    assert [status for status, *_ in fleet.activities()] == ["Successful"]


def test_a_count_that_is_set_outside_of_the_bounds_stays_there(fleet: Fleet) -> None:
    fleet.register(1, 2)
    fleet.resize(4)
    fleet.turn(TIMES.resize + TIMES.idle - 1)
    assert fleet.state() == ("InService", 4, 4)


def test_an_idle_fleet_falls_asleep_and_a_request_wakes_it(fleet: Fleet) -> None:
    fleet.register(0, 2)
    fleet.sleep_policy()
    fleet.wake_policy()
    wait_for_object(fleet.s3, fleet.send())
    fleet.turn(TIMES.idle - 60)
    assert fleet.state() == ("InService", 1, 1)
    fleet.turn(60)
    assert fleet.state() == ("Updating", 1, 0)
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", 0, 0)
    answer = fleet.send()
    fleet.turn(TIMES.alarm - 60)
    assert fleet.state() == ("InService", 0, 0)
    fleet.turn(60)
    assert fleet.state() == ("Updating", 0, 1)
    assert fleet.answered() == 1
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", 1, 1)
    assert wait_for_object(fleet.s3, answer) == b"{}"
    assert fleet.activities() == [
        (
            "Successful",
            "Setting desired instance count to 1.",
            "monitor alarm e-no-capacity in state ALARM triggered policy e-wake",
        ),
        (
            "Successful",
            "Setting desired instance count to 0.",
            "monitor alarm TargetTracking-endpoint/e/variant/AllTraffic-AlarmLow in state ALARM triggered policy e-backlog",
        ),
    ]


def test_a_fleet_sleeps_and_wakes_in_one_turn_of_the_clock(fleet: Fleet) -> None:
    fleet.register(0, 2)
    fleet.sleep_policy()
    fleet.wake_policy()
    fleet.turn(TIMES.idle + TIMES.resize)
    assert fleet.state() == ("InService", 0, 0)
    answer = fleet.send()
    fleet.turn(TIMES.alarm + TIMES.resize)
    assert wait_for_object(fleet.s3, answer) == b"{}"


@pytest.mark.parametrize("lacking", ["target", "policy", "alarm", "alarm actions", "scaling out"])
def test_a_sleeping_fleet_that_nothing_wakes_never_answers(fleet: Fleet, lacking: str) -> None:
    if lacking != "target":
        fleet.register(0, 2)
        fleet.sleep_policy()
    if lacking not in {"target", "policy"}:
        fleet.wake_policy()
    if lacking == "alarm":
        fleet.cloudwatch.delete_alarms(AlarmNames=["e-no-capacity"])
    if lacking == "alarm actions":
        fleet.cloudwatch.disable_alarm_actions(AlarmNames=["e-no-capacity"])
    if lacking == "scaling out":
        fleet.register(0, 2, DynamicScalingOutSuspended=True)
    fleet.fall_asleep()
    answer = fleet.send()
    fleet.turn(5 * 3600)
    assert fleet.state() == ("InService", 0, 0)
    assert fleet.answered() == 0
    fleet.resize(1)
    fleet.turn(TIMES.resize)
    assert wait_for_object(fleet.s3, answer) == b"{}"


@pytest.mark.parametrize("lacking", ["model", "capacity", "quota"])
def test_a_fleet_that_cannot_start_an_instance_says_so_in_its_activities_and_tries_again(
    fleet: Fleet, sandbox: Servers, lacking: str
) -> None:
    fleet.register(0, 2)
    fleet.wake_policy()
    fleet.fall_asleep()
    if lacking == "model":
        fleet.sagemaker.delete_model(ModelName="m")
    elif lacking == "quota":
        config(fleet.sagemaker, "others", InitialInstanceCount=8)
        fleet.sagemaker.create_endpoint(EndpointName="others", EndpointConfigName="others")
        fleet.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="others", WaiterConfig=WAIT)
    else:
        sandbox.aws.scenario.fail_operation(
            "UpdateEndpointWeightsAndCapacities", "ResourceLimitExceeded", "The account-level service limit"
        )
    answer = fleet.send()
    fleet.turn(TIMES.alarm)
    assert fleet.state() == ("InService", 0, 0)
    assert [status for status, *_ in fleet.activities()] == ["Failed"]
    if lacking == "model":
        model(fleet.sagemaker, sandbox)
    if lacking == "quota":
        fleet.sagemaker.delete_endpoint(EndpointName="others")
        fleet.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="others", WaiterConfig=WAIT)
    fleet.turn(60)
    assert fleet.state() == ("Updating", 0, 1)
    fleet.turn(TIMES.resize)
    assert wait_for_object(fleet.s3, answer) == b"{}"


def test_a_fleet_whose_scaling_in_is_suspended_stays_awake(fleet: Fleet) -> None:
    fleet.register(0, 2, DynamicScalingInSuspended=True)
    fleet.sleep_policy()
    fleet.turn(24 * 3600)
    assert fleet.state() == ("InService", 1, 1)


def test_requests_for_a_deleted_endpoint_are_forgotten(fleet: Fleet, sandbox: Servers) -> None:
    fleet.fall_asleep()
    fleet.send()
    fleet.sagemaker.delete_endpoint(EndpointName="e")
    fleet.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="e", WaiterConfig=WAIT)
    assert fleet.answered() == 0
    assert sandbox.aws.invocations.received == []


def test_without_a_turn_of_the_clock_a_sleeping_fleet_answers_within_a_second(fleet: Fleet, sandbox: Servers) -> None:
    fleet.register(0, 2)
    fleet.wake_policy()
    fleet.fall_asleep()
    sandbox.aws.scenario.fleet_times = FleetTimes()
    assert wait_for_object(fleet.s3, fleet.send()) == b"{}"


def test_scaling_that_does_not_exist_is_not_found(fleet: Fleet) -> None:
    where = "service namespace: sagemaker, resource ID: endpoint/e/variant/AllTraffic, scalable dimension: sagemaker:variant:DesiredInstanceCount"
    assert error_of(lambda: fleet.scaling.deregister_scalable_target(**TARGET)) == (
        f"ObjectNotFoundException: No scalable target found for {where}"
    )
    assert error_of(fleet.sleep_policy) == f"ObjectNotFoundException: No scalable target registered for {where}"
    fleet.register(0, 2)
    assert error_of(lambda: fleet.scaling.delete_scaling_policy(**TARGET, PolicyName="p")) == (
        f"ObjectNotFoundException: No scaling policy found for {where}, policy name: p"
    )
    fleet.sleep_policy()
    fleet.scaling.delete_scaling_policy(**TARGET, PolicyName="e-backlog")
    fleet.scaling.deregister_scalable_target(**TARGET)


def test_metrics_and_the_alarm_say_that_requests_wait_for_a_fleet_that_sleeps(fleet: Fleet) -> None:
    fleet.register(0, 2, DynamicScalingOutSuspended=True)
    fleet.wake_policy()
    assert fleet.alarm() == "INSUFFICIENT_DATA"
    assert fleet.metric("ApproximateBacklogSize") == []
    fleet.fall_asleep()
    fleet.send()
    answer = fleet.send()
    assert fleet.alarm() == "INSUFFICIENT_DATA"
    fleet.turn(TIMES.alarm)
    assert fleet.alarm() == "ALARM"
    assert fleet.metric("ApproximateBacklogSize") == [2]
    assert fleet.metric("HasBacklogWithoutCapacity") == [1]
    assert fleet.metric("ApproximateBacklogSizePerInstance") == []
    assert fleet.metric("ApproximateAgeOfOldestRequest")[0] >= TIMES.alarm
    fleet.resize(1)
    fleet.turn(TIMES.resize)
    wait_for_object(fleet.s3, answer)
    assert fleet.alarm() == "OK"
    assert fleet.metric("HasBacklogWithoutCapacity") == [0]


def test_a_request_that_waits_longer_than_its_time_to_live_is_forgotten(fleet: Fleet) -> None:
    fleet.fall_asleep()
    fleet.send(RequestTTLSeconds=60)
    answer = fleet.send()
    fleet.turn(61)
    assert fleet.metric("ApproximateBacklogSize") == [1]
    fleet.resize(1)
    fleet.turn(TIMES.resize)
    assert wait_for_object(fleet.s3, answer) == b"{}"
    assert fleet.answered() == 1


def test_a_fleet_that_woke_in_time_took_the_request_however_late_one_looks(fleet: Fleet) -> None:
    fleet.register(0, 2)
    fleet.wake_policy()
    fleet.fall_asleep()
    answer = fleet.send()
    fleet.turn(24 * 3600)
    assert wait_for_object(fleet.s3, answer) == b"{}"


def test_more_instances_than_the_quota_allows_are_refused(fleet: Fleet) -> None:
    assert "request delta of 8 Instances" in error_of(lambda: fleet.resize(9))
    assert fleet.state() == ("InService", 1, 1)
    fleet.resize(8)
    assert fleet.state() == ("Updating", 1, 8)


@pytest.mark.parametrize(("most", "after"), [(2, 2), (4, 3), (1, 1)])
def test_a_backlog_adds_instances_up_to_the_maximum(fleet: Fleet, sandbox: Servers, most: int, after: int) -> None:
    fleet.register(0, most)
    fleet.sleep_policy()
    sandbox.aws.invocations.reset()
    sandbox.aws.invocations.script(ScriptedResult(b"{}", delay=600))
    for _ in range(11):
        fleet.send()
    fleet.turn(TIMES.busy - 60)
    assert fleet.state() == ("InService", 1, 1)
    fleet.turn(60)
    assert fleet.state() == ("InService" if after == 1 else "Updating", 1, after)
    fleet.turn(TIMES.resize + TIMES.idle)
    assert fleet.state() == ("InService", after, after)


def test_a_new_alarm_has_no_data_until_somebody_sets_its_state(fleet: Fleet) -> None:
    fleet.cloudwatch.put_metric_alarm(
        AlarmName="e-no-capacity",
        MetricName="InvocationFailures",
        Namespace="AWS/SageMaker",
        Dimensions=[*DIMENSIONS, {"Name": "VariantName", "Value": "AllTraffic"}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1.0,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    assert fleet.alarm() == "INSUFFICIENT_DATA"
    fleet.cloudwatch.set_alarm_state(AlarmName="e-no-capacity", StateValue="ALARM", StateReason="a test")
    assert fleet.alarm() == "ALARM"


def test_without_capacity_no_instance_starts_and_those_that_run_go_on(fleet: Fleet, sandbox: Servers) -> None:
    sandbox.aws.scenario.without_capacity = frozenset({"ml.g5.xlarge"})
    fleet.resize(2)
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", 1, 1)
    assert "InsufficientInstanceCapacity" in fleet.sagemaker.describe_endpoint(EndpointName="e")["FailureReason"]
    fleet.resize(0)
    fleet.turn(TIMES.resize)
    assert fleet.state() == ("InService", 0, 0)
    assert "FailureReason" not in fleet.sagemaker.describe_endpoint(EndpointName="e")
    fleet.sagemaker.create_endpoint(EndpointName="other", EndpointConfigName="c1")
    for _ in range(2):
        other = fleet.sagemaker.describe_endpoint(EndpointName="other")
    assert other["EndpointStatus"] == "Failed"
    assert "InsufficientInstanceCapacity" in other["FailureReason"]


def test_a_fleet_without_capacity_says_so_in_its_activities_and_wakes_later(fleet: Fleet, sandbox: Servers) -> None:
    fleet.register(0, 2)
    fleet.wake_policy()
    fleet.fall_asleep()
    sandbox.aws.scenario.without_capacity = frozenset({"ml.g5.xlarge"})
    answer = fleet.send()
    fleet.turn(TIMES.alarm + TIMES.resize)
    assert fleet.state() == ("InService", 0, 0)
    assert [status for status, *_ in fleet.activities()] == ["Failed"]
    sandbox.aws.scenario.without_capacity = frozenset()
    fleet.turn(TIMES.alarm + TIMES.resize)
    assert wait_for_object(fleet.s3, answer) == b"{}"
    assert [status for status, *_ in fleet.activities()] == ["Successful", "Failed"]
