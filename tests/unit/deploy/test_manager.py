from __future__ import annotations

import pytest

from sagepack.deploy.manager import manager

STACK = {"aws:cloudformation:stack-name": "svd-prod"}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"sagepack:name": "svd"}, None),
        ({"sagepack:managed-by": "terraform"}, "Terraform"),
        ({"sagepack:managed-by": "cdk"}, "the CDK"),
        ({"sagepack:managed-by": "pulumi"}, "pulumi"),
        ({"sagepack:managed-by": "cdk", **STACK}, "the CloudFormation stack svd-prod"),
        (STACK, "the CloudFormation stack svd-prod"),
        # AWS keeps its tags on what a stack leaves behind, and nobody can remove them.
        ({"sagepack:managed-by": "sagepack", **STACK}, None),
    ],
)
def test_the_tag_says_who_manages_a_resource_and_otherwise_that_of_its_stack(
    tags: dict[str, str], expected: str | None
) -> None:
    assert manager(tags) == expected
