"""The network of the sandbox's account."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagepack.aws.session import Aws


def vpc_setting(aws: Aws, *, s3: bool = True) -> str:
    """A `--set` for `endpoint.vpc`: two subnets and the security group of the VPC that every account has at first.

    Args:
        aws: the session.
        s3: whether the VPC gets an endpoint for S3.
    """
    client = aws.client("ec2")
    subnets = sorted(client.describe_subnets()["Subnets"], key=lambda subnet: str(subnet["AvailabilityZone"]))[:2]
    vpc, ids = subnets[0]["VpcId"], ", ".join(subnet["SubnetId"] for subnet in subnets)
    groups = client.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
    if s3:
        client.create_vpc_endpoint(VpcId=vpc, ServiceName=f"com.amazonaws.{client.meta.region_name}.s3")
    return f"endpoint.vpc={{subnets: [{ids}], security_group_ids: [{groups[0]['GroupId']}]}}"
