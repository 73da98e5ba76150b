"""The alarms that a spec declares: set up, changed and removed with the endpoint, and going off in the sandbox."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy import observe as observing
from sagepack.deploy.destroy import Resource, destroy
from sagepack.deploy.drift import differences
from sagepack.deploy.overview import overview
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.progress import Silent
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec.model import Alarms, Scaling
from tests.helpers.deployments import RecordedProgress, deployment, published, session_of

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.observe import EndpointState
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
NAMES = [
    f"sagepack/svd/{key}" for key in ("age-of-oldest-request", "backlog", "expired-requests", "failures", "no-capacity")
]
TOPIC = "arn:aws:sns:us-east-1:123456789012:on-call"


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


def deploy(aws: Aws, value: Deployment) -> list[str]:
    """Deploy, and give back the reasons."""
    return [change.reason for change in reconcile(aws, published(aws, value), Silent(), WAITER).changes]


def observe(aws: Aws, value: Deployment) -> EndpointState:
    observed = observing.observe(aws, value.owner)
    assert observed is not None
    return observed


def described(aws: Aws, name: str) -> dict[str, Any]:
    (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(alarm)


def test_alarms_are_set_up_with_the_endpoint_and_a_second_deploy_changes_nothing(aws: Aws) -> None:
    value = deployment(alarms=Alarms((TOPIC,)), scaling=Scaling(0, 2))
    deploy(aws, value)
    assert sorted(observe(aws, value).alarms) == NAMES
    assert deploy(aws, value) == []
    alarm = described(aws, "sagepack/svd/failures")
    assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
    tags = aws.client("cloudwatch").list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    assert {"Key": "sagepack:name", "Value": "svd"} in tags


def test_alarms_are_changed_and_removed_without_an_update(aws: Aws) -> None:
    value = deployment(alarms=Alarms())
    deploy(aws, value)
    before = observe(aws, value).endpoint.last_modified_time
    changed = deployment(alarms=Alarms(failures=9, backlog=0))
    assert deploy(aws, changed) == ["endpoint.alarms.failures: 1 -> 9", "endpoint.alarms.backlog is not declared"]
    assert described(aws, "sagepack/svd/failures")["Threshold"] == 9
    assert len(deploy(aws, deployment())) == 4
    assert observe(aws, value).alarms == {}
    assert observe(aws, value).endpoint.last_modified_time == before


def test_an_alarm_without_actions_or_one_that_was_deleted_is_mended(aws: Aws) -> None:
    value = deployment(alarms=Alarms())
    deploy(aws, value)
    cloudwatch = aws.client("cloudwatch")
    cloudwatch.disable_alarm_actions(AlarmNames=["sagepack/svd/backlog"])
    cloudwatch.delete_alarms(AlarmNames=["sagepack/svd/failures"])
    assert deploy(aws, value) == [
        "endpoint.alarms.failures is missing",
        "endpoint.alarms.backlog, ActionsEnabled: false -> true",
    ]
    assert differences(value, observe(aws, value)) == []


def test_alarms_of_other_names_are_left_alone(aws: Aws) -> None:
    cloudwatch = aws.client("cloudwatch")
    own = {"MetricName": "InvocationFailures", "Namespace": "AWS/SageMaker", "Statistic": "Sum", "Period": 60}
    for name in ("svd-failures", "sagepack/svd-2/failures"):
        cloudwatch.put_metric_alarm(
            AlarmName=name, EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold", **own
        )
    deploy(aws, deployment(alarms=Alarms()))
    deploy(aws, deployment())
    destroy(aws, deployment().owner, Silent(), WAITER)
    left = cloudwatch.describe_alarms()["MetricAlarms"]
    assert sorted(alarm["AlarmName"] for alarm in left) == ["sagepack/svd-2/failures", "svd-failures"]


def test_an_update_sets_up_the_alarms_before_it_begins(aws: Aws) -> None:
    deploy(aws, deployment())
    calls = list[str]()
    names = ("sagemaker.UpdateEndpoint", "cloudwatch.PutMetricAlarm")
    value = deployment(environment={}, alarms=Alarms())

    def note(model: Any, **_: Any) -> None:
        calls.append(model.name)

    for name in names:
        aws.client(name.split(".")[0]).meta.events.register(f"before-call.{name}", note)
    try:
        deploy(aws, value)
    finally:
        for name in names:
            aws.client(name.split(".")[0]).meta.events.unregister(f"before-call.{name}", note)
    assert calls == ["PutMetricAlarm"] * 5 + ["UpdateEndpoint"]


@pytest.mark.parametrize("exists", [True, False], ids=["with the endpoint", "after it"])
def test_destroy_removes_the_alarms(aws: Aws, exists: bool) -> None:
    value = deployment(alarms=Alarms(), scaling=Scaling(0, 2))
    deploy(aws, value)
    if not exists:
        aws.client("sagemaker").delete_endpoint(EndpointName="svd")
        while observing.observe(aws, value.owner) is not None:
            pass
    removed = destroy(aws, value.owner, Silent(), WAITER)
    assert {Resource("alarm", name) for name in NAMES} <= set(removed.resources)
    assert aws.client("cloudwatch").describe_alarms()["MetricAlarms"] == []


def test_a_status_shows_the_alarms_and_what_they_are_about(aws: Aws, sandbox: Servers) -> None:
    value = deployment(alarms=Alarms(), scaling=Scaling(0, 2))
    deploy(aws, value)
    sandbox.aws.invocations.script(ScriptedResult(b"CUDA out of memory", 500))
    aws.client("sagemaker-runtime").invoke_endpoint_async(EndpointName="svd", Body=b"{}")
    found = wait_for_alarm(aws, value)
    assert found["sagepack/svd/failures"].state == "ALARM"
    assert found["svd-has-backlog-without-capacity"].state == "OK"
    sandbox.aws.clock.turn(301)
    after = overview(aws, value.owner)
    assert after is not None
    assert after.alarms["sagepack/svd/failures"].state == "OK"


def wait_for_alarm(aws: Aws, value: Deployment) -> dict[str, Any]:
    """The alarms, once one of them has gone off."""
    for _ in range(200):
        found = overview(aws, value.owner)
        assert found is not None
        if any(alarm.state == "ALARM" for alarm in found.alarms.values()):
            return dict(found.alarms)
        time.sleep(0.01)
    raise AssertionError("no alarm")


def test_requests_that_wait_without_an_instance_set_off_their_alarm_after_as_long_as_declared(
    aws: Aws, sandbox: Servers
) -> None:
    value = deployment(alarms=Alarms(no_capacity=1200), scaling=Scaling(0, 2))
    deploy(aws, value)
    sandbox.aws.clock.turn(1000)
    aws.client("application-autoscaling").register_scalable_target(
        ServiceNamespace="sagemaker",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        ResourceId="endpoint/svd/variant/AllTraffic",
        SuspendedState={"DynamicScalingOutSuspended": True},
    )
    client = aws.client("sagemaker")
    while client.describe_endpoint(EndpointName="svd")["ProductionVariants"][0]["CurrentInstanceCount"]:
        sandbox.aws.clock.turn(60)
    for minutes, state in ((0, "OK"), (19, "OK"), (1, "ALARM")):
        if minutes == 0:
            aws.client("sagemaker-runtime").invoke_endpoint_async(EndpointName="svd", Body=b"{}")
        sandbox.aws.clock.turn(60 * minutes)
        assert described(aws, "sagepack/svd/no-capacity")["StateValue"] in {
            state,
            *(["INSUFFICIENT_DATA"] * (state == "OK")),
        }


def test_removing_alarms_is_said(aws: Aws) -> None:
    deploy(aws, deployment(alarms=Alarms()))
    reconcile(aws, deployment(), progress := RecordedProgress(), WAITER)
    assert progress.notes == ["removing the alarms"]
