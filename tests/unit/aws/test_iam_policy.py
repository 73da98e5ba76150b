from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.aws.iam_policy import Arns, concrete, literal
from tests.helpers.iam import allows

ARNS = Arns("aws", "eu-west-1", "123456789012")


@pytest.mark.parametrize(
    ("pattern", "resource"),
    [
        ("*", "*"),
        ("arn:aws:s3:::b/models/svd/*", "arn:aws:s3:::b/models/svd/any"),
        ("arn:aws:s3:::b/m${*}dels${?}/*", "arn:aws:s3:::b/m*dels?/any"),
        ("arn:aws:logs:r:1:log-group:/x:*", "arn:aws:logs:r:1:log-group:/x:log-stream:any"),
        ("arn:aws:logs:r:1:log-group:/x", "arn:aws:logs:r:1:log-group:/x"),
    ],
)
def test_a_simulation_is_about_a_resource_that_the_pattern_stands_for(pattern: str, resource: str) -> None:
    assert concrete(pattern) == resource


@given(st.text("ab*?${}/", max_size=8), st.text("ab*?${}/", max_size=8))
def test_a_literal_matches_itself_and_nothing_else(text: str, other: str) -> None:
    policy = {"Statement": [{"Action": "s3:GetObject", "Resource": literal(text)}]}
    assert allows(policy, "s3:GetObject", text)
    assert allows(policy, "s3:GetObject", other) == (text == other)


@pytest.mark.parametrize(
    ("key", "resource", "condition"),
    [
        ("1234", "arn:aws:kms:eu-west-1:123456789012:key/1234", None),
        ("arn:aws:kms:eu-west-1:999999999999:key/1234", "arn:aws:kms:eu-west-1:999999999999:key/1234", None),
        ("alias/models", "arn:aws:kms:eu-west-1:123456789012:key/*", "alias/models"),
        ("arn:aws:kms:eu-west-1:123456789012:alias/models", "arn:aws:kms:eu-west-1:123456789012:key/*", "alias/models"),
    ],
)
def test_a_key_is_named_by_its_arn_or_by_the_condition_of_its_alias(
    key: str, resource: str, condition: str | None
) -> None:
    found = ARNS.key("Encrypt", ["kms:Decrypt"], key)
    assert found["Resource"] == [resource]
    expected = condition and {"ForAnyValue:StringEquals": {"kms:ResourceAliases": condition}}
    assert found.get("Condition") == expected
