"""What deploy, predict and destroy do with an endpoint that sleeps, wakes or changes its number of instances meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from sagepack.aws.s3 import S3
from sagepack.deploy import observe as observing
from sagepack.deploy.destroy import destroy
from sagepack.deploy.drift import differences
from sagepack.deploy.predict import predict
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import FleetTimes
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec.model import Scaling
from tests.helpers.deployments import deployment, published, session_of

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

# As slow as AWS: the waits below turn the clock instead of sleeping.
TIMES = FleetTimes(alarm=120, resize=240, idle=900)


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
def live(aws: Aws, waiter: WaiterConfig) -> Deployment:
    """An endpoint that may sleep, and has one instance."""
    value = published(aws, deployment(scaling=Scaling(0, 2)))
    reconcile(aws, value, Silent(), waiter)
    return value


def instances(aws: Aws) -> tuple[str, int]:
    """Status, and the number of instances."""
    described = aws.client("sagemaker").describe_endpoint(EndpointName="svd")
    return described["EndpointStatus"], described["ProductionVariants"][0]["CurrentInstanceCount"]


def fall_asleep(aws: Aws, sandbox: Servers) -> None:
    sandbox.aws.clock.turn(TIMES.idle + TIMES.resize)
    assert instances(aws) == ("InService", 0)


def test_a_sleeping_endpoint_is_as_declared_and_is_deployed_to(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    fall_asleep(aws, sandbox)
    assert differences(live, observing.observe(aws, live.owner)) == []
    reconcile(aws, deployment(environment={}, scaling=Scaling(0, 2)), Silent(), waiter)
    assert instances(aws) == ("InService", 1)


def test_a_request_wakes_an_endpoint_and_is_answered(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    fall_asleep(aws, sandbox)
    before = sandbox.aws.clock.now()
    assert predict(aws, S3(aws.client("s3")), live.endpoint, b"{}", Silent(), waiter=waiter).body == b"{}"
    assert sandbox.aws.clock.now() - before >= TIMES.alarm + TIMES.resize
    assert instances(aws) == ("InService", 1)


def test_an_endpoint_that_changes_its_number_of_instances_is_waited_for_and_then_updated(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    sandbox.aws.clock.turn(TIMES.idle)
    assert instances(aws) == ("Updating", 1)
    value = deployment(environment={}, scaling=Scaling(0, 2))
    reconcile(aws, value, Silent(), waiter)
    assert instances(aws)[0] == "InService"
    assert differences(value, observing.observe(aws, live.owner)) == []


def test_an_endpoint_is_destroyed_while_it_falls_asleep(
    aws: Aws, live: Deployment, sandbox: Servers, waiter: WaiterConfig
) -> None:
    sandbox.aws.clock.turn(TIMES.idle)
    assert instances(aws) == ("Updating", 1)
    removed = destroy(aws, live.owner, Silent(), waiter)
    assert "endpoint" in {resource.kind for resource in removed.resources}
    assert aws.client("sagemaker").list_endpoints()["Endpoints"] == []
