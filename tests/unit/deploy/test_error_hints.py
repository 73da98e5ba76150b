from __future__ import annotations

import pytest

from sagepack.deploy.error_hints import hint_for, refused_value, with_hints
from sagepack.deploy.known_failures import OF_AWS
from sagepack.errors import IntegrityError, RemoteError, UserError

TEXTS = [
    (
        (
            "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 0 Instances, with current utilization of 0 "
            "Instances and a request delta of 1 Instances."
        ),
        "higher quota 'ml.g5.2xlarge for endpoint usage'",
        True,
    ),
    (
        "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry.",
        "run the command again later",
        False,
    ),
    (
        (
            "The primary container for production variant AllTraffic did not pass the ping health check. Please check CloudWatch "
            "logs for this endpoint."
        ),
        "container_startup_health_check_timeout_in_seconds",
        True,
    ),
    ("Could not find model data at s3://b/models/x/model.tar.gz.", "invoke upload", True),
    (
        (
            'Failed to download model data from URL "s3://b/m/". Please ensure that an S3 VPC endpoint exists in route table or NAT '
            "gateway for the VPC mode and the URL is reachable from within the subnets provided."
        ),
        "a gateway endpoint for S3",
        True,
    ),
    ("Could not access model data at s3://b/x. Please ensure that the role can", "s3:GetObject", True),
    (
        "Role arn:aws:iam::1:role/x cannot pull 7.dkr.ecr.us-east-1.amazonaws.com/x. Ensure that",
        "ecr:BatchGetImage",
        True,
    ),
    ("CannotStartContainerError. Please ensure the model container can be invoked with 'docker run'", "driver", True),
    ("Failed to extract model data archive from URL s3://b/x", "artifact.layout: prefix", True),
    ("VolumeSize parameter is not allowed for the selected Instance type ml.g4dn.xlarge", "volume_size_in_gb", True),
    ("Role arn:aws:iam::1:role/x is not authorized to perform cloudwatch:DescribeAlarms", "--for execution", True),
    ("User: arn is not authorized to perform: iam:PassRole on resource", "iam:PassRole", True),
    ("it does not have application-autoscaling:DeregisterScalableTarget permission", "allow the caller", True),
    (
        "Request to service failed. If failure persists after retry, contact customer support.",
        "run the command again",
        False,
    ),
    ("creating failed: KMS.DisabledException: arn:aws:kms:us-east-1:1:key/k is disabled", "key policy", True),
    ("Could not assume role arn:aws:iam::1:role/x. Please ensure that the role exists", "trust policy", True),
]


@pytest.mark.parametrize(("text", "fix", "user_can_fix"), TEXTS)
def test_each_known_error_message_has_a_fix(text: str, fix: str, user_can_fix: bool) -> None:
    found = hint_for(text)
    assert found is not None
    assert fix in found.fix
    assert found.user_can_fix is user_can_fix


def test_every_hint_is_for_some_message() -> None:
    assert {found.id for text, _, _ in TEXTS if (found := hint_for(text))} == {entry.id for entry in OF_AWS}


def test_an_unknown_message_has_no_hint() -> None:
    assert hint_for("something else") is None


@pytest.mark.parametrize(("text", "kind"), [(TEXTS[0][0], UserError), (TEXTS[1][0], RemoteError)])
def test_a_hint_decides_the_class_of_the_error(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught, with_hints():
        raise RemoteError(text, where="endpoint svd")
    assert "endpoint svd" in str(caught.value)


@pytest.mark.parametrize("error", [RemoteError("something else"), IntegrityError("other bytes")])
def test_an_error_without_a_hint_passes_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, with_hints():
        raise error
    assert caught.value is error


# As SageMaker and moto word it.
AWS_REFUSAL = (
    "creating failed: ValidationException: 1 validation error detected: Value 'ml.g5.3xlarge' at "
    "'productionVariants.1.member.instanceType' failed to satisfy constraint: Member must satisfy enum value set: "
    "[ml.m5.large, ml.g5.2xlarge, ml.p4d.24xlarge, ml.g5.8xlarge, ml.g5.xlarge, ml.c5.large]"
)


def test_a_refused_value_is_told_with_its_key_and_the_three_nearest() -> None:
    with pytest.raises(UserError) as caught, with_hints():
        raise UserError(AWS_REFUSAL, where="endpoint configuration svd-1")
    assert caught.value.message == "AWS does not know 'ml.g5.3xlarge' for endpoint.instance_type in this region"
    assert caught.value.where == "endpoint configuration svd-1"
    assert caught.value.fix is not None
    assert caught.value.fix.endswith("the nearest ones are ml.g5.xlarge, ml.g5.8xlarge, ml.g5.2xlarge")
    assert "c5.large" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            (
                "Value '9000' at 'modelDataDownloadTimeoutInSeconds' failed to satisfy constraint: Member must have value less than "
                "or equal to 3600"
            ),
            "AWS refuses '9000' for endpoint.model_data_download_timeout_in_seconds: it must have value less than or equal to 3600",
        ),
        (
            "Value 'x' at 'somethingNew' failed to satisfy constraint: Member must have length at least 2",
            "AWS refuses 'x' for somethingNew: it must have length at least 2",
        ),
        (
            "Value 'a b' at 'asyncInferenceConfig.outputConfig.kmsKeyId' failed to satisfy constraint: Member must satisfy x",
            "AWS refuses 'a b' for endpoint.async.kms_key_id: it must satisfy x",
        ),
        (
            "Value 'a b' at 'kmsKeyId' failed to satisfy constraint: Member must satisfy x",
            "AWS refuses 'a b' for endpoint.kms_key_id: it must satisfy x",
        ),
        # moto's list without an end, as a very long message is cut.
        (
            "Value 'ml.g5' at 'instanceType' failed to satisfy constraint: Member must satisfy enum value set: ['ml.g5.xlarge', 'ml",
            "AWS does not know 'ml.g5' for endpoint.instance_type in this region",
        ),
    ],
)
def test_every_refused_value_is_told_with_its_rule(text: str, message: str) -> None:
    refused = refused_value(text, None)
    assert refused is not None
    assert refused.message == message


def test_other_messages_are_about_no_value() -> None:
    assert refused_value("Could not find model data at s3://b/k.", None) is None
