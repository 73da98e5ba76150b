"""How an update is rolled out, and rolled back by alarms, in the sandbox on its clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy import recorded
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import DeploymentOutcome, TransitionTime
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec.model import Alarms, BlueGreen, Rolling, Scaling, Update
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, deployment, published, session_of
from tests.helpers.hosting import config, error_of, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

FAILURES = "sagepack/svd/failures"
GUARDED: dict[str, Any] = {"alarms": Alarms(), "update": Update(rollback_alarms=("failures",))}
BLUE_GREEN = "BlueGreenUpdatePolicy"


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


class Waiting:
    """A wait that turns the sandbox's clock; what happens in it at some second.

    Attributes:
        slept: seconds so far.
    """

    def __init__(self, sandbox: Servers, at: float = 0.0, happens: Callable[[], object] | None = None) -> None:
        self.slept, self._sandbox, self._at, self._happens = 0.0, sandbox, at, happens

    def _sleep(self, seconds: float) -> None:
        self._sandbox.aws.clock.turn(seconds)
        self.slept += seconds
        if self._happens and self.slept >= self._at:
            happens, self._happens = self._happens, None
            happens()

    @property
    def waiter(self) -> WaiterConfig:
        return WaiterConfig(delay=60, sleep=self._sleep, clock=self._sandbox.aws.clock.now)


@pytest.fixture
def live(aws: Aws, sandbox: Servers) -> Deployment:
    """An endpoint with alarms, before the update."""
    value = published(aws, deployment(**GUARDED))
    reconcile(aws, value, Silent(), Waiting(sandbox).waiter)
    sandbox.aws.scenario.transition_time = TransitionTime(polls=0, seconds=300)
    return value


def endpoint(aws: Aws) -> dict[str, Any]:
    return dict(aws.client("sagemaker").describe_endpoint(EndpointName="svd"))


def alarm(aws: Aws, state: str = "ALARM") -> None:
    aws.client("cloudwatch").set_alarm_state(AlarmName=FAILURES, StateValue=state, StateReason="two requests failed")


@pytest.mark.usefixtures("live")
def test_a_guarded_update_takes_as_long_as_its_instances_and_its_waits(aws: Aws, sandbox: Servers) -> None:
    slow = Update(
        BlueGreen(wait_interval_in_seconds=900, termination_wait_in_seconds=600), rollback_alarms=("failures",)
    )
    value, waiting = deployment(environment={}, alarms=Alarms(), update=slow), Waiting(sandbox)
    reconcile(aws, value, progress := RecordedProgress(), waiting.waiter)
    assert 1800 <= waiting.slept < 1900
    assert endpoint(aws)["EndpointConfigName"] == value.endpoint_config_name
    assert "the alarms are watched for 25 min" in progress.text


@pytest.mark.parametrize("at", [15, 400], ids=["while the instances start", "while it waits"])
def test_an_alarm_rolls_the_update_back_and_is_named_with_its_reason(
    aws: Aws, sandbox: Servers, live: Deployment, at: float
) -> None:
    waiting = Waiting(sandbox, at, lambda: alarm(aws))
    with pytest.raises(RemoteError, match=f"rolled back to {live.endpoint_config_name}, which serves") as caught:
        reconcile(aws, deployment(environment={}, **GUARDED), Silent(), waiting.waiter)
    assert FAILURES in caught.value.message
    assert f"alarm {FAILURES} is ALARM: two requests failed" in "\n".join(map(str, caught.value.details))
    assert "deploy again once the alarm has ended" in (caught.value.fix or "")
    assert caught.value.exit_code == 3
    assert (endpoint(aws)["EndpointStatus"], endpoint(aws)["EndpointConfigName"]) == (
        "InService",
        live.endpoint_config_name,
    )


def test_requests_that_fail_on_the_new_instances_roll_the_update_back(
    aws: Aws, sandbox: Servers, live: Deployment
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"CUDA out of memory", 500))

    def invoke() -> None:
        aws.client("sagemaker-runtime").invoke_endpoint_async(EndpointName="svd", Body=b"{}")
        while not sandbox.aws.invocations.received:
            time.sleep(0.005)

    with pytest.raises(RemoteError, match="rolled back") as caught:
        reconcile(aws, deployment(environment={}, **GUARDED), Silent(), Waiting(sandbox, 400, invoke).waiter)
    assert "Threshold Crossed" in str(caught.value)
    assert endpoint(aws)["EndpointConfigName"] == live.endpoint_config_name
    # Once the alarm has ended, and the cause with it, the same command deploys.
    sandbox.aws.clock.turn(600)
    sandbox.aws.invocations.reset()
    value = deployment(environment={}, **GUARDED)
    reconcile(aws, value, Silent(), Waiting(sandbox).waiter)
    assert endpoint(aws)["EndpointConfigName"] == value.endpoint_config_name


def test_a_roll_back_for_another_reason_is_told_as_that(aws: Aws, sandbox: Servers, live: Deployment) -> None:
    ping = "The primary container for production variant AllTraffic did not pass the ping health check."
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", ping))
    with pytest.raises(RemoteError, match="ping health check") as caught:
        reconcile(aws, deployment(environment={}, **GUARDED), Silent(), Waiting(sandbox).waiter)
    assert "container_startup_health_check" in (caught.value.fix or "")
    assert "alarm" not in str(caught.value)
    assert endpoint(aws)["EndpointConfigName"] == live.endpoint_config_name


@pytest.mark.usefixtures("live")
def test_an_update_that_takes_too_long_is_given_up(aws: Aws, sandbox: Servers) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(seconds=1000)
    limited = Update(BlueGreen(maximum_execution_timeout_in_seconds=600))
    with pytest.raises(RemoteError, match="did not end within 600 seconds"):
        reconcile(aws, deployment(environment={}, update=limited), Silent(), Waiting(sandbox).waiter)


def test_alarms_that_are_declared_with_the_update_are_there_before_it(aws: Aws, sandbox: Servers) -> None:
    reconcile(aws, published(aws, deployment()), Silent(), Waiting(sandbox).waiter)
    value = deployment(environment={}, **GUARDED)
    reconcile(aws, value, Silent(), Waiting(sandbox).waiter)  # the sandbox refuses an alarm that does not exist
    assert endpoint(aws)["LastDeploymentConfig"]["AutoRollbackConfiguration"] == {"Alarms": [{"AlarmName": FAILURES}]}


@pytest.mark.usefixtures("live")
def test_another_way_of_updating_alone_is_no_work(aws: Aws, sandbox: Servers) -> None:
    other = deployment(alarms=Alarms(), update=Update(BlueGreen(wait_interval_in_seconds=60)))
    assert reconcile(aws, other, Silent(), Waiting(sandbox).waiter).changes == ()


@pytest.mark.parametrize(("count", "policy"), [(1, "ALL_AT_ONCE"), (2, "CANARY")])
def test_an_update_has_steps_only_where_there_is_something_to_divide(
    aws: Aws, sandbox: Servers, count: int, policy: str
) -> None:
    way: dict[str, Any] = {"scaling": Scaling(1, 4), "initial_instance_count": count}
    way["update"] = Update(BlueGreen("canary", canary_size="50%"))
    reconcile(aws, published(aws, deployment(**way)), Silent(), Waiting(sandbox).waiter)
    reconcile(aws, deployment(environment={}, **way), progress := RecordedProgress(), Waiting(sandbox).waiter)
    routing = endpoint(aws)["LastDeploymentConfig"][BLUE_GREEN]["TrafficRoutingConfiguration"]
    assert routing["Type"] == policy
    assert ("traffic: canary means nothing with one instance" in progress.text) == (count == 1)


def test_a_rolling_update_waits_after_each_batch(aws: Aws, sandbox: Servers) -> None:
    way: dict[str, Any] = {"initial_instance_count": 4, "update": Update(rolling=Rolling("1", 300))}
    reconcile(aws, published(aws, deployment(**way)), Silent(), Waiting(sandbox).waiter)
    waiting = Waiting(sandbox)
    reconcile(aws, deployment(environment={}, **way), Silent(), waiting.waiter)
    assert 1200 <= waiting.slept < 1300


def routed(kind: str, wait: int = 60, **more: Any) -> dict[str, Any]:
    outer = {key: more.pop(key) for key in list(more) if key.endswith("Seconds")}
    return {BLUE_GREEN: {"TrafficRoutingConfiguration": {"Type": kind, "WaitIntervalInSeconds": wait, **more}, **outer}}


def share(value: int) -> dict[str, Any]:
    return {"Type": "CAPACITY_PERCENT", "Value": value}


@pytest.mark.parametrize(
    ("rollout", "text"),
    [
        (routed("ALL_AT_ONCE", 600, MaximumExecutionTimeoutInSeconds=600), "larger than the total waiting time"),
        (routed("CANARY"), "CanarySize is required"),
        (routed("CANARY", CanarySize=share(51)), "0% to 50%"),
        (routed("CANARY", CanarySize=share(50)), "at most 50% of the variant's total instance count, which is 1"),
        (routed("LINEAR", LinearStepSize=share(9)), "10% to 50%"),
        ({"RollingUpdatePolicy": {"MaximumBatchSize": share(4), "WaitIntervalInSeconds": 1}}, "5% to 50%"),
        (
            {
                **routed("ALL_AT_ONCE"),
                "RollingUpdatePolicy": {"MaximumBatchSize": share(50), "WaitIntervalInSeconds": 1},
            },
            "Specify either",
        ),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "none"}]}}, "alarm none does not exist"),
    ],
)
def test_what_the_api_reference_does_not_allow_is_refused(
    aws: Aws, sandbox: Servers, rollout: dict[str, Any], text: str
) -> None:
    hosting = aws.client("sagemaker")
    aws.client("s3").put_object(Bucket="sagepack-sandbox", Key="models/model.tar.gz", Body=b"a package")
    model(hosting, sandbox)
    config(hosting)
    config(hosting, "c2")
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    while hosting.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Creating":
        pass
    update = {"EndpointName": "e", "EndpointConfigName": "c2", "DeploymentConfig": rollout}
    assert text in error_of(lambda: hosting.update_endpoint(**update))


def test_another_variant_name_is_refused(aws: Aws, sandbox: Servers) -> None:
    hosting = aws.client("sagemaker")
    aws.client("s3").put_object(Bucket="sagepack-sandbox", Key="models/model.tar.gz", Body=b"a package")
    model(hosting, sandbox)
    config(hosting)
    config(hosting, "c2", VariantName="Other")
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    while hosting.describe_endpoint(EndpointName="e")["EndpointStatus"] == "Creating":
        pass
    update = {"EndpointName": "e", "EndpointConfigName": "c2", "DeploymentConfig": routed("ALL_AT_ONCE")}
    assert "same variant names" in error_of(lambda: hosting.update_endpoint(**update))


def test_a_release_that_is_put_back_is_not_rolled_back_by_an_alarm_that_is_on(
    aws: Aws, sandbox: Servers, live: Deployment
) -> None:
    reconcile(aws, deployment(environment={}, **GUARDED), Silent(), Waiting(sandbox).waiter)
    sandbox.aws.clock.turn(60)
    alarm(aws)
    before = recorded.of_config(aws, live.owner, live.endpoint_config_name, live.endpoint)
    waiting = Waiting(sandbox)
    reconcile(aws, before, Silent(), waiting.waiter)
    assert endpoint(aws)["EndpointConfigName"] == live.endpoint_config_name
    assert "LastDeploymentConfig" not in endpoint(aws)
    assert waiting.slept < 600


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


WAY = ("endpoint.alarms={}", "endpoint.update.rollback_alarms=[failures]")


def test_doctor_tells_of_a_roll_back_alarm_that_does_not_exist(cloud: Cloud) -> None:
    found = cloud.project(*WAY, "endpoint.update.rollback_alarms=[failures, mine]").doctor().checks
    (check,) = [check for check in found if check.id == "rollback-alarms"]
    assert (check.verdict, "there is no alarm mine" in check.detail) == ("failed", True)


@pytest.mark.slow
def test_an_alarm_that_is_on_stops_an_update_and_nothing_else(cloud: Cloud, aws: Aws) -> None:
    cloud.project(*WAY).deploy()
    alarm(aws)
    with pytest.raises(UserError, match="is in ALARM now"):
        cloud.project(*WAY, "environment.MORE=1").deploy()
    assert cloud.moved == []
    changed = cloud.project(*WAY, "endpoint.alarms.failures=5").deploy()
    assert [change.kind for action in changed.actions for change in action.changes] == ["alarms"]
