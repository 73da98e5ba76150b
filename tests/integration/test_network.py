"""Containers in a VPC: what is checked before a byte moves, and what is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.network import vpc_setting

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.deploy.preflight.check import Check
    from sagepack.sandbox.servers import Servers

NOWHERE = "endpoint.vpc={subnets: [subnet-01234567, subnet-01234568], security_group_ids: [sg-01234567]}"


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def vpc_check(cloud: Cloud, setting: str) -> Check:
    (found,) = [check for check in cloud.project(setting).doctor().checks if check.id == "vpc"]
    return found


def test_the_model_of_a_deployment_in_a_vpc_has_its_subnets_and_security_groups(cloud: Cloud) -> None:
    aws = deployments.session_of(cloud.servers)
    setting = vpc_setting(aws)
    project = cloud.project(setting)
    project.deploy()
    found = cloud.project(setting).status()
    assert found.model is not None
    network = aws.client("sagemaker").describe_model(ModelName=found.model)["VpcConfig"]
    assert len(network["Subnets"]) == 2
    plan = cloud.project().plan("deploy")
    reasons = [reason for action in plan.actions if action.step == "deploy" for reason in action.reasons]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "endpoint.vpc.security_group_ids",
        "endpoint.vpc.subnets",
    ]


def test_a_vpc_with_an_endpoint_for_s3_and_subnets_of_two_zones_is_right(cloud: Cloud) -> None:
    aws = deployments.session_of(cloud.servers)
    setting, client = vpc_setting(aws), aws.client("ec2")
    assert vpc_check(cloud, setting).verdict == "warning"
    vpc = client.describe_subnets()["Subnets"][0]["VpcId"]
    client.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.s3", RouteTableIds=[])
    assert vpc_check(cloud, setting).verdict == "ok"


def test_subnets_that_do_not_exist_stop_a_deployment_before_a_byte_moves(cloud: Cloud) -> None:
    with pytest.raises(UserError, match="the account has no sg-01234567, subnet-01234567") as caught:
        cloud.project(NOWHERE).deploy()
    assert caught.value.fix == "correct endpoint.vpc"
    assert cloud.moved == []


def test_who_may_not_look_at_the_network_can_deploy(cloud: Cloud) -> None:
    cloud.servers.aws.denied.set(["ec2:*"])
    found = vpc_check(cloud, NOWHERE)
    assert (found.verdict, "ec2:DescribeSubnets" in found.detail) == ("unknown", True)
    assert found.fix is not None
    assert "policy --for deploy" in found.fix
    assert cloud.project(NOWHERE).deploy().endpoint is not None
