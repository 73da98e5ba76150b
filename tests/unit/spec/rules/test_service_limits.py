"""AWS's own description of its services, as constraints."""

from __future__ import annotations

from typing import Any

import pytest

from sagepack.aws.service_model import Shape, shape


@pytest.mark.parametrize(
    ("member", "value", "problem"),
    [
        (("CreateEndpointInput", "EndpointName"), "a" * 63, None),
        (("CreateEndpointInput", "EndpointName"), "a" * 64, "is above the maximum of 63 characters"),
        (("CreateEndpointInput", "EndpointName"), "a_b", "does not match the service's pattern"),
        (("CreateEndpointInput", "EndpointName"), "ab\n", "does not match the service's pattern"),
        (("ProductionVariant", "VolumeSizeInGB"), 512, None),
        (("ProductionVariant", "VolumeSizeInGB"), 513, "is above the maximum of 512"),
        (("ProductionVariant", "VolumeSizeInGB"), 0, "is below the minimum of 1"),
        (("ProductionVariant", "InstanceType"), "ml.g5.2xlarge", None),
        (("ProductionVariant", "InstanceType"), "ml.nope", "is not a value that the service knows"),
        (("ContainerDefinition", "Environment"), {"A": "b"}, None),
        (("ContainerDefinition", "Environment"), dict.fromkeys(map(str, range(101)), ""), "the maximum of 100 entries"),
        (("ContainerDefinition", "Environment", "{key}"), "1A", "does not match"),
        (("Tag", "Value"), "caf\u00e9 \u6771\u4eac 1/2", None),
        (("Tag", "Value"), "what?", "does not match"),
        (("Tag", "Value"), "a\tb", "does not match"),
        (("CreateModelInput", "Tags", "[]", "Key"), "", "is below the minimum of 1 characters"),
    ],
)
def test_a_value_is_judged_as_the_service_would(member: tuple[str, ...], value: Any, problem: str | None) -> None:
    found = shape("sagemaker", *member).problem(value)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_every_service_is_described_offline() -> None:
    assert "STANDARD" in shape("s3", "PutObjectRequest", "StorageClass").enum
    assert "aws:kms" in shape("s3", "PutObjectRequest", "ServerSideEncryption").enum


def test_a_member_that_does_not_exist_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        shape("sagemaker", "CreateEndpointInput", "EndpointNam")


def test_a_pattern_that_cannot_be_translated_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="cannot translate"):
        Shape("S", "string", pattern=r"[\p{L}]+").problem("a")
