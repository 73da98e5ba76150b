"""`wake` and `sleep`: instances that start and stop at once, beside automatic scaling that does so too."""

from __future__ import annotations

import dataclasses
import io
import time
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3
from sagepack.aws.session import Patience
from sagepack.cli import endpoint
from sagepack.deploy import fleet
from sagepack.deploy.deployment import tag_list
from sagepack.deploy.predict import predict
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import DeploymentOutcome, FleetTimes
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec.model import Scaling
from tests.helpers.cloud import OVERLAY, Cloud
from tests.helpers.deployments import RecordedProgress, deployment, published, session_of, spec

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.sandbox.servers import Servers

TIMES = FleetTimes(alarm=120, resize=240, idle=900)
NAME = "svd-cloud"
SPEC = spec(scaling=Scaling(0, 2))
ALARM = "svd-has-backlog-without-capacity"
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/svd/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
BUSY = 'Cannot update in-progress endpoint "arn".'


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    sandbox.aws.scenario.fleet_times = TIMES
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    return session_of(sandbox)


@pytest.fixture
def waiter(sandbox: Servers) -> WaiterConfig:
    def sleep(seconds: float) -> None:
        sandbox.aws.clock.turn(seconds)
        time.sleep(0.001)  # for the thread that answers

    return WaiterConfig(sleep=sleep, clock=sandbox.aws.clock.now)


@pytest.fixture
def awake(aws: Aws, waiter: WaiterConfig) -> None:
    reconcile(aws, published(aws, deployment(scaling=Scaling(0, 2))), Silent(), waiter)


@pytest.fixture
def asleep(awake: None, sandbox: Servers, aws: Aws) -> None:  # noqa: ARG001 - it is put to sleep
    sandbox.aws.clock.turn(TIMES.idle + TIMES.resize)
    assert instances(aws) == ("InService", 0)


def instances(aws: Aws) -> tuple[str, int]:
    """Status, and the number of instances."""
    described = aws.client("sagemaker").describe_endpoint(EndpointName="svd")
    return described["EndpointStatus"], described["ProductionVariants"][0]["CurrentInstanceCount"]


def send(aws: Aws) -> None:
    aws.client("s3").put_object(Bucket="sagepack-sandbox", Key="async/svd/input/1", Body=b"{}")
    aws.client("sagemaker-runtime").invoke_endpoint_async(
        EndpointName="svd", InputLocation="s3://sagepack-sandbox/async/svd/input/1"
    )


def register(aws: Aws, **changes: Any) -> None:
    aws.client("application-autoscaling").register_scalable_target(**TARGET, **changes)


@pytest.mark.usefixtures("asleep")
def test_a_sleeping_endpoint_is_woken_stays_awake_for_the_idle_time_and_sleeps_again(
    aws: Aws, waiter: WaiterConfig, sandbox: Servers
) -> None:
    progress = RecordedProgress()
    found = fleet.wake(aws, SPEC, progress, waiter)
    assert (found.instances, found.changed) == (1, True)
    assert instances(aws) == ("InService", 1)
    assert progress.notes[:2] == ["endpoint svd: from 0 to 1 instance", "endpoint svd: Updating"]
    sandbox.aws.clock.turn(TIMES.idle - 60)
    assert instances(aws) == ("InService", 1)
    sandbox.aws.clock.turn(60 + TIMES.resize)
    assert instances(aws) == ("InService", 0)


@pytest.mark.usefixtures("awake")
def test_an_endpoint_that_is_awake_is_left_alone(aws: Aws, waiter: WaiterConfig) -> None:
    progress = RecordedProgress()
    found = fleet.wake(aws, SPEC, progress, waiter)
    assert (found.instances, found.changed, progress.notes) == (1, False, [])


@pytest.mark.usefixtures("asleep")
def test_an_endpoint_wakes_to_the_fewest_instances_that_are_allowed(aws: Aws, waiter: WaiterConfig) -> None:
    register(aws, MinCapacity=0, MaxCapacity=2, SuspendedState={"DynamicScalingOutSuspended": True})
    assert fleet.wake(aws, SPEC, Silent(), waiter).instances == 1
    fleet_of_two = spec(initial_instance_count=2)
    aws.client("application-autoscaling").deregister_scalable_target(**TARGET)
    aws.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="svd", DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]
    )
    found = fleet.wake(aws, fleet_of_two, Silent(), waiter)
    assert (found.instances, found.changed, found.bounds) == (2, True, None)


@pytest.mark.usefixtures("asleep")
def test_missing_capacity_is_told_and_the_next_wake_succeeds(aws: Aws, waiter: WaiterConfig, sandbox: Servers) -> None:
    sandbox.aws.scenario.without_capacity = frozenset({"ml.g5.2xlarge"})
    send(aws)
    sandbox.aws.clock.turn(TIMES.alarm + TIMES.resize)
    with pytest.raises(RemoteError, match="InService with 0 instances, not 1: Unable to provision") as caught:
        fleet.wake(aws, SPEC, Silent(), waiter)
    assert caught.value.exit_code == 3
    assert "Failed: Failed to set desired instance count to 1. Reason: Unable" in caught.value.details[0]
    assert "no free instance" in str(caught.value.fix)
    with pytest.raises(RemoteError, match="no result after") as caught:
        predict(
            aws, S3(aws.client("s3")), SPEC.endpoint, b"{}", Silent(), waiter=dataclasses.replace(waiter, timeout=60)
        )
    assert "with 0 instances, which wakes; newest scaling activity" in caught.value.details[0]
    assert "Failed to set desired instance count to 1. Reason: Unable" in caught.value.details[0]
    sandbox.aws.scenario.without_capacity = frozenset()
    assert fleet.wake(aws, SPEC, Silent(), waiter).instances == 1


@pytest.mark.usefixtures("asleep")
def test_a_used_up_quota_is_the_users_to_raise(aws: Aws, waiter: WaiterConfig, sandbox: Servers) -> None:
    message = "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 0 Instances"
    sandbox.aws.scenario.fail_operation("UpdateEndpointWeightsAndCapacities", "ResourceLimitExceeded", message)
    with pytest.raises(UserError, match="service limit") as caught:
        fleet.wake(aws, SPEC, Silent(), waiter)
    assert "request a higher quota" in str(caught.value.fix)


@pytest.mark.parametrize("task", ["wake", "sleep"])
@pytest.mark.usefixtures("asleep")
def test_an_endpoint_that_no_instance_can_start_for_has_to_be_deployed(
    aws: Aws, waiter: WaiterConfig, task: str
) -> None:
    aws.client("sagemaker").delete_model(ModelName=deployment(scaling=Scaling(0, 2)).model_name)
    with pytest.raises(UserError, match="model was deleted: no instance can start") as caught:
        getattr(fleet, task)(aws, SPEC, Silent(), waiter)
    assert "invoke deploy" in str(caught.value.fix)


@pytest.mark.usefixtures("awake")
def test_an_endpoint_is_put_to_sleep_and_a_request_wakes_it(aws: Aws, waiter: WaiterConfig, sandbox: Servers) -> None:
    found = fleet.sleep(aws, SPEC, Silent(), waiter)
    assert (found.instances, found.changed, found.queued) == (0, True, 0)
    assert instances(aws) == ("InService", 0)
    assert fleet.sleep(aws, SPEC, Silent(), waiter).changed is False
    send(aws)
    sandbox.aws.clock.turn(TIMES.alarm + TIMES.resize)
    assert instances(aws) == ("InService", 1)


@pytest.mark.usefixtures("awake")
def test_an_endpoint_with_requests_is_put_to_sleep_only_on_demand(
    aws: Aws, waiter: WaiterConfig, sandbox: Servers
) -> None:
    sandbox.aws.invocations.reset()
    sandbox.aws.invocations.script(ScriptedResult(b"{}", delay=600))
    send(aws)
    with pytest.raises(UserError, match="1 request in the queue or running") as caught:
        fleet.sleep(aws, SPEC, Silent(), waiter)
    assert "--yes" in str(caught.value.fix)
    assert instances(aws) == ("InService", 1)
    found = fleet.sleep(aws, SPEC, Silent(), waiter, even_if_busy=True)
    assert (found.instances, found.queued) == (0, 1)


@pytest.mark.parametrize("scaling", [None, Scaling(1, 2)])
@pytest.mark.usefixtures("awake")
def test_an_endpoint_that_may_not_sleep_is_not_put_to_sleep(
    aws: Aws, waiter: WaiterConfig, scaling: Scaling | None
) -> None:
    with pytest.raises(UserError, match="nothing would wake") as caught:
        fleet.sleep(aws, spec(scaling=scaling), Silent(), waiter)
    assert caught.value.where == "endpoint.scaling.min_capacity"
    assert "set it to 0 and deploy" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        ("target", "automatic scaling"),
        ("policy", "scaling policy svd-wake is missing"),
        ("alarm", f"alarm {ALARM} is missing"),
        ("actions", f"alarm {ALARM}, ActionsEnabled: false -> true"),
        ("scaling out", "automatic scaling, DynamicScalingOutSuspended: true -> false"),
        ("other policy", f"alarm {ALARM}, AlarmActions"),
    ],
)
@pytest.mark.usefixtures("awake")
def test_an_endpoint_that_nothing_would_wake_is_not_put_to_sleep(
    aws: Aws, waiter: WaiterConfig, lacking: str, reason: str
) -> None:
    scaling, cloudwatch = aws.client("application-autoscaling"), aws.client("cloudwatch")
    if lacking == "target":
        scaling.deregister_scalable_target(**TARGET)
    elif lacking == "policy":
        scaling.delete_scaling_policy(**TARGET, PolicyName="svd-wake")
    elif lacking == "alarm":
        cloudwatch.delete_alarms(AlarmNames=[ALARM])
    elif lacking == "actions":
        cloudwatch.disable_alarm_actions(AlarmNames=[ALARM])
    elif lacking == "scaling out":
        register(aws, SuspendedState={"DynamicScalingOutSuspended": True})
    else:
        alarm = cloudwatch.describe_alarms(AlarmNames=[ALARM])["MetricAlarms"][0]
        names = ("AlarmName", "MetricName", "Namespace", "Statistic", "Dimensions", "Period", "EvaluationPeriods")
        more = ("DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData")
        cloudwatch.put_metric_alarm(**{name: alarm[name] for name in (*names, *more)}, AlarmActions=[])
    with pytest.raises(UserError, match="nothing would wake") as caught:
        fleet.sleep(aws, SPEC, Silent(), waiter)
    assert any(line.startswith(reason) for line in caught.value.details)
    assert instances(aws) == ("InService", 1)


@pytest.mark.usefixtures("awake")
def test_an_endpoint_whose_backlog_target_differs_is_put_to_sleep(aws: Aws, waiter: WaiterConfig) -> None:
    other = spec(scaling=Scaling(0, 4, target_backlog_per_instance=2.0))
    assert fleet.sleep(aws, other, Silent(), waiter).instances == 0


@pytest.mark.usefixtures("awake")
def test_an_endpoint_whose_live_bounds_hold_an_instance_is_not_put_to_sleep(aws: Aws, waiter: WaiterConfig) -> None:
    register(aws, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(UserError, match="keeps 1 to 2 instances now"):
        fleet.sleep(aws, SPEC, Silent(), waiter)


@pytest.mark.usefixtures("awake")
def test_an_endpoint_that_is_falling_asleep_is_waited_for_and_then_woken(
    aws: Aws, waiter: WaiterConfig, sandbox: Servers
) -> None:
    sandbox.aws.clock.turn(TIMES.idle)
    assert instances(aws) == ("Updating", 1)
    assert fleet.wake(aws, SPEC, Silent(), waiter).instances == 1
    assert instances(aws) == ("InService", 1)


@pytest.mark.usefixtures("asleep")
def test_a_change_by_something_else_meanwhile_is_settled_by_looking_again(
    aws: Aws, waiter: WaiterConfig, sandbox: Servers
) -> None:
    sandbox.aws.scenario.fail_operation("UpdateEndpointWeightsAndCapacities", "ValidationException", BUSY)
    progress = RecordedProgress()
    assert fleet.wake(aws, SPEC, progress, waiter).changed
    assert "looking again" in progress.text


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["UpdateEndpointWeightsAndCapacities", "DescribeEndpoint"])
@pytest.mark.usefixtures("asleep")
def test_an_outage_ends_neither(aws: Aws, waiter: WaiterConfig, sandbox: Servers, operation: str) -> None:
    sandbox.aws.scenario.fail_operation(operation, "InternalFailure", "later", times=8, status=500)
    progress, patient = RecordedProgress(), aws.with_patience(Patience(attempts=1))
    assert fleet.wake(patient, SPEC, progress, waiter).instances == 1
    assert "AWS responds again, after" in progress.text
    assert fleet.sleep(patient, SPEC, progress, waiter).instances == 0


@pytest.mark.usefixtures("asleep")
def test_an_interrupt_leaves_what_was_begun_and_says_so(aws: Aws, waiter: WaiterConfig) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    progress = RecordedProgress()
    with pytest.raises(KeyboardInterrupt):
        fleet.wake(aws, SPEC, progress, dataclasses.replace(waiter, sleep=interrupt))
    assert "endpoint svd is still Updating, which goes on in AWS" in progress.text
    waiter.sleep(TIMES.resize)
    assert instances(aws) == ("InService", 1)


@pytest.mark.parametrize("task", ["wake", "sleep"])
def test_an_endpoint_of_another_environment_or_none_is_refused(aws: Aws, waiter: WaiterConfig, task: str) -> None:
    with pytest.raises(UserError, match="there is no such endpoint"):
        getattr(fleet, task)(aws, SPEC, Silent(), waiter)
    reconcile(aws, published(aws, deployment(scaling=Scaling(0, 2))), Silent(), waiter)
    other = spec("other", endpoint_name="svd", scaling=Scaling(0, 2))
    with pytest.raises(UserError, match="does not belong to other/local"):
        getattr(fleet, task)(aws, other, Silent(), waiter)


@pytest.mark.parametrize("task", ["wake", "sleep"])
def test_an_endpoint_that_failed_has_to_be_deployed(
    aws: Aws, waiter: WaiterConfig, sandbox: Servers, task: str
) -> None:
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail"))
    with pytest.raises(RemoteError):
        reconcile(aws, published(aws, deployment(scaling=Scaling(0, 2))), Silent(), waiter)
    with pytest.raises(UserError, match="the endpoint is Failed"):
        getattr(fleet, task)(aws, SPEC, Silent(), waiter)


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A project whose environment is protected, and its endpoint."""
    cloud = Cloud(tmp_path, sandbox, monkeypatch)
    (tmp_path / "config" / "env" / "cloud.yaml").write_text(f"{OVERLAY}protected: true\n")
    value = deployment(endpoint_name=NAME, scaling=Scaling(0, 2))
    value = dataclasses.replace(value, owner=dataclasses.replace(value.owner, env="cloud"))
    aws = session_of(sandbox)
    reconcile(aws, published(aws, value), Silent(), WaiterConfig(delay=0.01, timeout=30))
    return cloud


def test_a_project_wakes_its_endpoint_and_puts_it_to_sleep(cloud: Cloud) -> None:
    project = cloud.project(f"endpoint.name={NAME}")
    assert project.sleep().changed
    woken = project.wake()
    assert (woken.endpoint, woken.instances, woken.changed, woken.sleeps_again) == (NAME, 1, True, True)


def test_a_protected_environment_is_changed_after_a_yes_only(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    project = cloud.project(f"endpoint.name={NAME}")
    assert not endpoint.wake(project, yes=False).changed  # nothing to do, nothing to ask
    with pytest.raises(UserError, match="cannot ask for confirmation to stop all instances in cloud"):
        endpoint.sleep(project, yes=False)
    assert endpoint.sleep(project, yes=True).changed
    with pytest.raises(UserError, match="cannot ask for confirmation to start an instance in cloud"):
        endpoint.wake(project, yes=False)


@pytest.mark.parametrize("task", ["wake", "sleep"])
def test_credentials_of_another_account_are_refused(cloud: Cloud, task: str) -> None:
    other = "210987654321"
    sets = (f"endpoint.name={NAME}", f"aws.account={other}", f"aws.role=arn:aws:iam::{other}:role/x")
    with pytest.raises(UserError, match=other):
        getattr(cloud.project(*sets), task)()


def test_what_another_tool_manages_is_put_to_sleep_and_woken_and_mended_by_that_tool_alone(
    awake: None,  # noqa: ARG001 - the endpoint is there
    aws: Aws,
    waiter: WaiterConfig,
) -> None:
    sagemaker, cloudwatch = aws.client("sagemaker"), aws.client("cloudwatch")
    arn = sagemaker.describe_endpoint(EndpointName="svd")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=tag_list({"sagepack:managed-by": "terraform"}))
    assert fleet.sleep(aws, SPEC, Silent(), waiter).changed
    assert fleet.wake(aws, SPEC, Silent(), waiter).instances == 1
    cloudwatch.delete_alarms(AlarmNames=[ALARM])
    with pytest.raises(UserError, match="nothing would wake the endpoint again") as caught:
        fleet.sleep(aws, SPEC, Silent(), waiter)
    assert caught.value.fix == "let Terraform mend it, which manages the endpoint, and then run this again"
