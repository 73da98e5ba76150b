"""Actions that the sandbox's AWS denies: each service says it with its own code, in AWS's words."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.helpers.hosting import error_of, model

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Servers

BUCKET, KEY = "sagepack-sandbox", "models/model.tar.gz"
OBJECT = {"Bucket": BUCKET, "Key": KEY}
TOPIC = "arn:aws:sns:us-east-1:123456789012:t"
SCALING = {"ServiceNamespace": "sagemaker"}
CALLS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "s3:GetObject": ("s3", "get_object", OBJECT, "AccessDenied"),
    "s3:PutObject": ("s3", "put_object", OBJECT, "AccessDenied"),
    "s3:DeleteObject": ("s3", "delete_object", OBJECT, "AccessDenied"),
    "s3:ListBucket": ("s3", "list_objects_v2", {"Bucket": BUCKET}, "AccessDenied"),
    "s3:ListBucketMultipartUploads": ("s3", "list_multipart_uploads", {"Bucket": BUCKET}, "AccessDenied"),
    "s3:GetLifecycleConfiguration": (
        "s3",
        "get_bucket_lifecycle_configuration",
        {"Bucket": BUCKET},
        "AccessDenied",
    ),
    "s3:AbortMultipartUpload": ("s3", "abort_multipart_upload", {**OBJECT, "UploadId": "u"}, "AccessDenied"),
    "s3:ListMultipartUploadParts": ("s3", "list_parts", {**OBJECT, "UploadId": "u"}, "AccessDenied"),
    "sagemaker:ListModels": ("sagemaker", "list_models", {}, "AccessDeniedException"),
    "sagemaker:DescribeEndpoint": ("sagemaker", "describe_endpoint", {"EndpointName": "e"}, "AccessDeniedException"),
    "sagemaker:InvokeEndpointAsync": (
        "sagemaker-runtime",
        "invoke_endpoint_async",
        {"EndpointName": "e", "InputLocation": "s3://sagepack-sandbox/in"},
        "AccessDeniedException",
    ),
    "application-autoscaling:DescribeScalableTargets": (
        "application-autoscaling",
        "describe_scalable_targets",
        SCALING,
        "AccessDeniedException",
    ),
    "cloudwatch:DescribeAlarms": ("cloudwatch", "describe_alarms", {}, "AccessDeniedException"),
    "iam:GetRole": ("iam", "get_role", {"RoleName": "sagepack-sandbox"}, "AccessDenied"),
    "SNS:GetTopicAttributes": ("sns", "get_topic_attributes", {"TopicArn": TOPIC}, "AuthorizationError"),
    "logs:FilterLogEvents": ("logs", "filter_log_events", {"logGroupName": "g"}, "AccessDeniedException"),
    "ec2:DescribeSubnets": ("ec2", "describe_subnets", {}, "UnauthorizedOperation"),
    "ecr:DescribeImages": ("ecr", "describe_images", {"repositoryName": "repository"}, "AccessDeniedException"),
}


@pytest.mark.parametrize("action", CALLS)
def test_a_denied_action_is_refused_in_the_words_of_its_service(
    sandbox: Servers, client: Callable[[str], Any], action: str
) -> None:
    service, operation, arguments, code = CALLS[action]
    sandbox.aws.denied.set([action])
    text = error_of(partial(getattr(client(service), operation), **arguments))
    assert text.startswith(
        f"{code}: User: arn:aws:sts::123456789012:user/moto is not authorized to perform: {action} on"
    )
    assert text.endswith(f"because no identity-based policy allows the {action} action")


def test_actions_that_no_pattern_matches_are_allowed_and_a_reset_allows_all(
    sandbox: Servers, client: Callable[[str], Any]
) -> None:
    sandbox.aws.denied.set(["sagemaker:*", "s3:put*"])
    assert client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    assert client("sts").get_caller_identity()["Account"] == sandbox.account
    assert "sagemaker:ListModels" in error_of(client("sagemaker").list_models)
    assert "s3:PutObject" in error_of(partial(client("s3").put_object, **OBJECT))
    sandbox.reset()
    assert client("sagemaker").list_models()["Models"] == []


def test_a_missing_object_is_forbidden_to_those_who_may_not_list_the_bucket(
    sandbox: Servers, client: Callable[[str], Any]
) -> None:
    s3 = client("s3")
    assert error_of(partial(s3.head_object, **OBJECT)).startswith("404")
    sandbox.aws.denied.set(["s3:ListBucket"])
    assert error_of(partial(s3.head_object, **OBJECT)).startswith("403")
    assert 's3:ListBucket on resource: "arn:aws:s3:::sagepack-sandbox"' in error_of(partial(s3.get_object, **OBJECT))
    s3.put_object(**OBJECT, Body=b"data")
    assert s3.get_object(**OBJECT)["Body"].read() == b"data"


def test_a_copy_needs_to_read_its_source_and_tags_their_own_permission(
    sandbox: Servers, client: Callable[[str], Any]
) -> None:
    s3 = client("s3")
    s3.put_object(**OBJECT, Body=b"data")
    sandbox.aws.denied.set(["s3:GetObject", "s3:PutObjectTagging"])
    copy = partial(s3.copy_object, Bucket=BUCKET, Key="b", CopySource=f"{BUCKET}/{KEY}")
    assert f's3:GetObject on resource: "arn:aws:s3:::{BUCKET}/{KEY}"' in error_of(copy)
    assert "s3:PutObjectTagging" in error_of(partial(s3.put_object, **OBJECT, Tagging="a=b"))


def test_a_model_needs_the_permission_to_pass_its_role(sandbox: Servers, client: Callable[[str], Any]) -> None:
    sandbox.aws.denied.set(["iam:PassRole"])
    with pytest.raises(ClientError, match=f"iam:PassRole on resource: {sandbox.role}"):
        model(client("sagemaker"), sandbox)
