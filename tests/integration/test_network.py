"""Containers in a VPC: what is checked before a byte moves, and what is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from sagepack.deploy.drift import differences
from sagepack.deploy.observe import observe
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.spec.keys import build
from sagepack.spec.model import Vpc
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.network import vpc_setting

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.deploy.preflight.check import Check
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
NOWHERE = "endpoint.vpc={subnets: [subnet-01234567, subnet-01234568], security_group_ids: [sg-01234567]}"


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def vpc_check(cloud: Cloud, setting: str) -> Check:
    (found,) = [check for check in cloud.project(setting).doctor().checks if check.id == "vpc"]
    return found


def test_the_model_of_a_deployment_in_a_vpc_has_its_subnets_and_security_groups(sandbox: Servers) -> None:
    aws = deployments.session_of(sandbox)
    written = yaml.safe_load(vpc_setting(aws).partition("=")[2])
    value = deployments.published(aws, deployments.deployment(vpc=build(Vpc, written)))
    reconcile(aws, value, Silent(), WAITER)
    network = aws.client("sagemaker").describe_model(ModelName=value.model_name)["VpcConfig"]
    assert {key: sorted(ids) for key, ids in network.items()} == {
        "Subnets": sorted(written["subnets"]),
        "SecurityGroupIds": written["security_group_ids"],
    }
    assert differences(value, observe(aws, value.owner)) == []
    changes = differences(deployments.deployment(), observe(aws, value.owner))
    assert [change.subject for change in changes] == ["endpoint.vpc.security_group_ids", "endpoint.vpc.subnets"]


def test_without_a_way_to_s3_the_check_warns_and_the_endpoint_fails_with_what_to_do(cloud: Cloud) -> None:
    aws = deployments.session_of(cloud.servers)
    setting = vpc_setting(aws, s3=False)
    assert vpc_check(cloud, setting).verdict == "warning"
    network = build(Vpc, yaml.safe_load(setting.partition("=")[2]))
    value = deployments.published(aws, deployments.deployment(vpc=network))
    with pytest.raises(RemoteError, match="endpoint is Failed: Failed to download model data") as caught:
        reconcile(aws, value, Silent(), WAITER)
    assert "a gateway endpoint for S3" in (caught.value.fix or "")
    vpc_setting(aws)
    assert vpc_check(cloud, setting).verdict == "ok"
    reconcile(aws, value, Silent(), WAITER)


@pytest.mark.slow
def test_subnets_that_do_not_exist_stop_a_deployment_before_a_byte_moves(cloud: Cloud) -> None:
    with pytest.raises(UserError, match="the account has no sg-01234567, subnet-01234567") as caught:
        cloud.project(NOWHERE).deploy()
    assert caught.value.fix == "correct endpoint.vpc"
    assert cloud.moved == []


def test_who_may_not_look_at_the_network_can_deploy(cloud: Cloud) -> None:
    setting = vpc_setting(deployments.session_of(cloud.servers))
    cloud.servers.aws.denied.set(["ec2:*"])
    found = vpc_check(cloud, setting)
    assert (found.verdict, "ec2:DescribeSubnets" in found.detail) == ("unknown", True)
    assert found.fix is not None
    assert "policy --for deploy" in found.fix
    assert cloud.project(setting).deploy().endpoint is not None
