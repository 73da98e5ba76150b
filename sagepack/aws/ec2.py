"""Amazon EC2: the subnets and security groups of a VPC, and whether the VPC has an endpoint for S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from sagepack.aws.session import aws_call
from sagepack.decoding import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.aws.session import Aws

_Kind = TypeVar("_Kind")


class Subnet(msgspec.Struct, rename="pascal", frozen=True):
    """A subnet (API reference of EC2, Subnet)."""

    subnet_id: str
    vpc_id: str
    availability_zone: str


class SecurityGroup(msgspec.Struct, rename="pascal", frozen=True):
    """A security group (API reference of EC2, SecurityGroup)."""

    group_id: str
    vpc_id: str


class _VpcEndpoint(msgspec.Struct, rename="pascal"):
    service_name: str
    state: str


def describe_subnets(aws: Aws, ids: Sequence[str]) -> list[Subnet]:
    """Those of some subnets that exist in the account and region (DescribeSubnets).

    Raises:
        AccessDeniedError: the caller may not look at them.
    """
    return _found(aws, "describe_subnets", "Subnets", "subnet-id", ids, Subnet)


def describe_security_groups(aws: Aws, ids: Sequence[str]) -> list[SecurityGroup]:
    """Those of some security groups that exist in the account and region (DescribeSecurityGroups).

    Raises:
        AccessDeniedError: the caller may not look at them.
    """
    return _found(aws, "describe_security_groups", "SecurityGroups", "group-id", ids, SecurityGroup)


def has_s3_endpoint(aws: Aws, vpc: str) -> bool:
    """Whether a VPC has an endpoint for S3, of whatever kind (DescribeVpcEndpoints).

    Raises:
        AccessDeniedError: the caller may not look at them.
    """
    found = _found(aws, "describe_vpc_endpoints", "VpcEndpoints", "vpc-id", [vpc], _VpcEndpoint)
    return any(each.service_name.endswith(".s3") and each.state.lower() == "available" for each in found)


def _found(aws: Aws, operation: str, key: str, name: str, values: Sequence[str], kind: type[_Kind]) -> list[_Kind]:
    """What a filter finds. With ids in place of a filter EC2 would refuse the whole request for one that does not exist."""
    filters = [{"Name": name, "Values": list(values)}]
    with aws_call("looking at the VPC", ", ".join(values)):
        pages = aws.client("ec2").get_paginator(operation).paginate(Filters=filters)
        return [convert(entry, kind) for page in pages for entry in page.get(key, ())]
