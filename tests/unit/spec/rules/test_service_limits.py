"""AWS's own description of its services, as constraints."""

from __future__ import annotations

from typing import Any

import pytest

from sagepack.aws.service_model import Shape, shape, violations


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
def test_a_value_is_refused_if_the_service_would_refuse_it(
    member: tuple[str, ...], value: Any, problem: str | None
) -> None:
    found = shape("sagemaker", *member).problem(value)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_every_service_is_described_offline() -> None:
    assert "STANDARD" in shape("s3", "PutObjectRequest", "StorageClass").enum
    assert "aws:kms" in shape("s3", "PutObjectRequest", "ServerSideEncryption").enum


def test_an_unknown_member_is_a_bug_of_the_caller() -> None:
    with pytest.raises(KeyError):
        shape("sagemaker", "CreateEndpointInput", "EndpointNam")


def test_a_pattern_that_cannot_be_translated_is_not_guessed() -> None:
    with pytest.raises(ValueError, match="cannot translate"):
        Shape("S", "string", pattern=r"[\p{L}]+").problem("a")


VARIANT = {"VariantName": "a", "ModelName": "m", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        ({}, "Value null at 'endpointConfigName' failed to satisfy constraint: Member must not be null"),
        ({"EndpointConfigNam": "a"}, "at 'endpointConfigNam' failed to satisfy constraint: Member must be known"),
        ({"EndpointConfigName": "a" * 64}, "Member must have length less than or equal to 63"),
        (
            {"EndpointConfigName": "a_b"},
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ({"ProductionVariants": []}, "Member must have length greater than or equal to 1"),
        (
            {"ProductionVariants": [VARIANT, {**VARIANT, "VolumeSizeInGB": 9999}]},
            "'productionVariants.2.member.volumeSizeInGB' failed to satisfy constraint: Member must have value less than or equal to",
        ),
        (
            {"ProductionVariants": [{**VARIANT, "InstanceType": "ml.nope"}]},
            "Value 'ml.nope' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: Member must satisfy enum",
        ),
    ],
)
def test_a_request_is_refused_in_the_words_of_the_service(request_: dict[str, Any], rule: str) -> None:
    found = violations("sagemaker", "CreateEndpointConfig", request_)
    assert [text for text in found if rule in text]


def test_the_keys_and_values_of_maps_are_checked() -> None:
    container = {"Image": "i", "Environment": {"1A": "b" * 1025}}
    found = violations("sagemaker", "CreateModel", {"ModelName": "m", "PrimaryContainer": container})
    assert [text.partition("failed")[0][-45:] for text in found] == [
        "Value '1A' at 'primaryContainer.environment.key' "[-45:],
        f"Value '{'b' * 1025}' at 'primaryContainer.environment.1A.value' "[-45:],
    ]
