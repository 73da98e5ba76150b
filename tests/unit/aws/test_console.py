"""Addresses in the AWS console are those of the partition."""

from __future__ import annotations

import pytest

from sagepack.aws.console import endpoint_page, log_page


@pytest.mark.parametrize(
    ("partition", "region", "begins"),
    [
        ("aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/svd"),
        ("aws-cn", "cn-north-1", "https://cn-north-1.console.amazonaws.cn/sagemaker/home?region=cn-north-1#"),
        ("aws-us-gov", "us-gov-west-1", "https://us-gov-west-1.console.amazonaws-us-gov.com/sagemaker/"),
    ],
)
def test_each_partition_has_its_console(partition: str, region: str, begins: str) -> None:
    assert (endpoint_page(partition, region, "svd") or "").startswith(begins)


def test_a_partition_without_a_public_console_has_no_address() -> None:
    assert endpoint_page("aws-iso", "us-iso-east-1", "svd") is None


def test_the_name_of_a_log_group_is_written_as_the_console_writes_it() -> None:
    assert log_page("aws", "us-east-1", "/aws/sagemaker/Endpoints/svd") == (
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1"
        "#logsV2:log-groups/log-group/$252Faws$252Fsagemaker$252FEndpoints$252Fsvd"
    )
