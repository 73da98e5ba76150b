"""What an exported stack makes is what `deploy` makes: each request that `deploy` really sends, against what the template asks for."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sagepack.deploy.alarms import desired_alarms
from sagepack.deploy.deployment import TAG_MANAGED_BY
from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.observe import observe_scaling
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.progress import Silent
from sagepack.spec.keys import build
from sagepack.spec.model import Vpc
from tests.helpers.deployments import changed, published, session_of
from tests.helpers.exports import EVERYTHING, FULL
from tests.helpers.network import vpc_setting
from tests.helpers.stacks import CONFIG, MODEL, renamed, requests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers
from tests.helpers.stacks import Requests

NAMES = ("PolicyName", "AlarmName", "ScheduledActionName")
WRITES = {
    "sagemaker": ("CreateModel", "CreateEndpointConfig", "CreateEndpoint", "UpdateEndpoint"),
    "application-autoscaling": ("RegisterScalableTarget", "PutScalingPolicy", "PutScheduledAction"),
    "cloudwatch": ("PutMetricAlarm",),
    "logs": ("PutRetentionPolicy",),
}


@pytest.fixture
def sent(sandbox: Servers) -> Iterator[tuple[Aws, Requests]]:
    """A session, and what it sends that makes or changes something, by operation and name."""
    aws = session_of(sandbox)
    found: Requests = {}

    def keep(params: dict[str, Any], model: Any, **_: Any) -> None:
        name = next((params[key] for key in NAMES if key in params), "")
        found[f"{model.name} {name}".strip()] = copy.deepcopy(params)

    events = [
        (service, f"provide-client-params.{service}.{name}") for service, names in WRITES.items() for name in names
    ]
    for service, event in events:
        aws.client(service).meta.events.register(event, keep)
    yield aws, found
    for service, event in events:
        aws.client(service).meta.events.unregister(event, keep)


def as_in_a_stack(sent: Requests, value: Deployment, arns: dict[str, str]) -> Requests:
    """The requests without the names that CloudFormation gives, and in the names of the inverse."""
    names = {value.model_name: MODEL, value.endpoint_config_name: CONFIG, **arns}
    found: Requests = renamed(sent, names)
    del found["CreateModel"]["ModelName"], found["CreateEndpointConfig"]["EndpointConfigName"]
    if "PutRetentionPolicy" in found:  # whose API has names of another form
        of_log = found["PutRetentionPolicy"]
        found["PutRetentionPolicy"] = {name[0].upper() + name[1:]: value for name, value in of_log.items()}
    return found


def without_manager(asked: Requests) -> Requests:
    """The requests without the tag that tells what a stack makes from what `deploy` makes."""
    for request in asked.values():
        if "Tags" in request:
            request["Tags"] = [tag for tag in request["Tags"] if tag["Key"] != TAG_MANAGED_BY]
    return asked


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_stack_asks_for_what_deploy_sends(name: str, sent: tuple[Aws, Requests], sandbox: Servers) -> None:
    aws, found = sent
    waiter = WaiterConfig(delay=60, sleep=sandbox.aws.clock.turn, clock=sandbox.aws.clock.now)
    value = published(aws, EVERYTHING[name])
    scales = value.endpoint.scaling is not None
    if value.endpoint.vpc:
        value = changed(value, vpc=build(Vpc, yaml.safe_load(vpc_setting(aws).partition("=")[2])))
    reconcile(aws, value, Silent(), waiter)
    live = observe_scaling(aws, value.endpoint_name)
    arns = {policy.arn: f"<arn of {name}>" for name, policy in live.policies.items()}
    asked = without_manager(requests(template(value)))
    update = asked.pop("UpdateEndpoint")
    assert as_in_a_stack(found, value, arns) == asked

    aws.client("cloudwatch").put_metric_alarm(AlarmName="somebodys", **desired_alarms(FULL)["sagepack/svd/failures"])
    found.clear()
    reconcile(aws, changed(value, container_startup_health_check_timeout_in_seconds=901), Silent(), waiter)
    assert found["UpdateEndpoint"]["RetainAllVariantProperties"] is scales
    assert {**found["UpdateEndpoint"], "EndpointConfigName": CONFIG} == update
