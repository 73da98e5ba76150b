"""`endpoint.instance_pools`: several instance types, of which the first with capacity serves."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from sagepack.aws import quotas
from sagepack.deploy import fleet
from sagepack.deploy import observe as observing
from sagepack.deploy.drift import differences
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError
from sagepack.progress import Silent
from sagepack.sandbox.aws import price_list
from sagepack.spec.model import InstancePool, Scaling
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, deployment, published, session_of, spec

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
FIRST, SECOND, THIRD = "ml.g5.2xlarge", "ml.g6.2xlarge", "ml.g6e.2xlarge"
POOLS = (InstancePool(SECOND, 2), InstancePool(FIRST, 1))


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


def pooled(*pools: InstancePool, **changes: Any) -> Deployment:
    return deployment(**{"instance_type": None, "instance_pools": pools or POOLS, **changes})


def kinds(aws: Aws) -> dict[str, int]:
    """The instances by their type."""
    variant = aws.client("sagemaker").describe_endpoint(EndpointName="svd")["ProductionVariants"][0]
    return {pool["InstanceType"]: pool["CurrentInstanceCount"] for pool in variant["InstancePools"]}


def resize(aws: Aws, instances: int) -> None:
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": instances}]
    aws.client("sagemaker").update_endpoint_weights_and_capacities(
        EndpointName="svd", DesiredWeightsAndCapacities=desired
    )


def reasons(aws: Aws, value: Deployment) -> list[str]:
    return [change.reason for change in differences(value, observing.observe(aws, value.owner))]


def test_an_endpoint_with_pools_is_deployed_once(aws: Aws) -> None:
    value = published(aws, pooled(variant_instance_provision_timeout_in_seconds=600))
    reconcile(aws, value, Silent(), WAITER)
    assert kinds(aws) == {FIRST: 1, SECOND: 0}
    assert reconcile(aws, value, Silent(), WAITER).changes == ()


def test_what_one_pool_lacks_the_next_one_has(aws: Aws, sandbox: Servers) -> None:
    sandbox.aws.scenario.without_capacity = frozenset({FIRST})
    value = published(aws, pooled(initial_instance_count=2))
    reconcile(aws, value, Silent(), WAITER)
    assert kinds(aws) == {FIRST: 0, SECOND: 2}
    assert reasons(aws, value) == []
    sandbox.aws.scenario.without_capacity = frozenset()
    resize(aws, 3)
    sandbox.aws.clock.turn(1)
    assert kinds(aws) == {FIRST: 1, SECOND: 2}
    resize(aws, 1)
    sandbox.aws.clock.turn(1)
    assert kinds(aws) == {FIRST: 1, SECOND: 0}


def test_without_any_capacity_a_deployment_and_a_wake_fail_with_the_reason(aws: Aws, sandbox: Servers) -> None:
    value = published(aws, pooled(scaling=Scaling(0, 2)))
    reconcile(aws, value, Silent(), WAITER)
    sleeping = spec(instance_type=None, instance_pools=POOLS, scaling=Scaling(0, 2))
    fleet.sleep(aws, sleeping, Silent(), WAITER)
    sandbox.aws.scenario.without_capacity = frozenset({FIRST, SECOND})
    with pytest.raises(RemoteError, match="InsufficientInstanceCapacity"):
        fleet.wake(aws, sleeping, Silent(), WAITER)
    with pytest.raises(RemoteError, match="InsufficientInstanceCapacity"):
        reconcile(aws, pooled(scaling=Scaling(0, 2), environment={}), Silent(), WAITER)
    sandbox.aws.scenario.without_capacity = frozenset({FIRST})
    assert fleet.wake(aws, sleeping, Silent(), WAITER).instances == 1
    assert kinds(aws) == {FIRST: 0, SECOND: 1}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"instance_pools": (InstancePool(FIRST, 1), InstancePool(THIRD, 2))},
            [
                f"endpoint.instance_pools.0.instance_type: {SECOND} -> {FIRST}",
                "endpoint.instance_pools.0.priority: 2 -> 1",
                f"endpoint.instance_pools.1.instance_type: {FIRST} -> {THIRD}",
                "endpoint.instance_pools.1.priority: 1 -> 2",
            ],
        ),
        ({"variant_instance_provision_timeout_in_seconds": 600}, None),
        ({"instance_type": FIRST, "instance_pools": ()}, None),
    ],
)
def test_a_change_of_the_pools_of_a_scaled_variant_is_made_as_one_of_its_type(
    aws: Aws, changes: dict[str, Any], expected: list[str] | None
) -> None:
    reconcile(aws, published(aws, pooled(scaling=Scaling(0, 2))), Silent(), WAITER)
    value = published(aws, pooled(scaling=Scaling(0, 2), **changes))
    found = reasons(aws, value)
    assert expected is None or found == expected
    assert all(reason.startswith(("endpoint.instance_", "endpoint.variant_instance_")) for reason in found)
    progress = RecordedProgress()
    reconcile(aws, value, progress, WAITER)
    is_new_type = "variant_instance_provision_timeout_in_seconds" not in changes
    assert ("automatic scaling is removed while the instance type changes" in progress.text) == is_new_type
    assert reasons(aws, value) == []


def test_pools_take_the_place_of_one_type(aws: Aws) -> None:
    reconcile(aws, published(aws, deployment(scaling=Scaling(0, 2))), Silent(), WAITER)
    value = published(aws, pooled(scaling=Scaling(0, 2)))
    assert any(reason.startswith(f"endpoint.instance_type: {FIRST} -> none") for reason in reasons(aws, value))
    reconcile(aws, value, Silent(), WAITER)
    assert kinds(aws) == {FIRST: 1, SECOND: 0}


def test_status_and_doctor_look_at_every_pool(
    tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws, cloud = session_of(sandbox), Cloud(tmp_path, sandbox, monkeypatch)
    value = published(aws, pooled(endpoint_name="svd-cloud"))
    value = dataclasses.replace(value, owner=dataclasses.replace(value.owner, env="cloud"))
    reconcile(aws, value, Silent(), WAITER)
    entries = f"[{{instance_type: {FIRST}, priority: 1}}, {{instance_type: {SECOND}, priority: 2}}]"
    sets = ("endpoint.name=svd-cloud", "endpoint.instance_type=null", f"endpoint.instance_pools={entries}")
    found = cloud.project(*sets).status()
    assert found.instance_type is None
    assert {pool.instance_type: pool.instances for pool in found.instance_pools} == {FIRST: 1, SECOND: 0}
    assert found.cost_per_hour == price_list.HOUR[FIRST]
    monkeypatch.setattr(quotas, "endpoint_quota", lambda _aws, kind, **_: 0 if kind == SECOND else 8)
    (quota,) = (check for check in cloud.project(*sets).doctor().checks if check.id == "quota")
    assert (quota.verdict, SECOND in quota.detail, FIRST in quota.detail) == ("failed", True, False)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({"InstanceType": FIRST, "InstancePools": [{"InstanceType": FIRST, "Priority": 1}]}, "exactly one of"),
        ({}, "exactly one of"),
        ({"InstancePools": [{"InstanceType": FIRST, "Priority": 1}]}, "at least 2 entries"),
        ({"InstanceType": FIRST, "VariantInstanceProvisionTimeoutInSeconds": 600}, "with InstancePools only"),
    ],
)
def test_the_sandbox_refuses_what_sagemaker_refuses(aws: Aws, variant: dict[str, Any], message: str) -> None:
    value = published(aws, deployment())
    aws.client("sagemaker").create_model(**value.create_model_request)
    common = {"VariantName": "AllTraffic", "ModelName": value.model_name, "InitialInstanceCount": 1}
    with pytest.raises(ClientError, match=message):
        aws.client("sagemaker").create_endpoint_config(
            EndpointConfigName="c", ProductionVariants=[{**common, **variant}]
        )
