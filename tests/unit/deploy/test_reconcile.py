from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.reconcile import reconcile
from sagepack.errors import RemoteError, UserError
from tests.helpers.deployments import (
    ARN,
    GONE,
    MOMENT,
    FakeClock,
    RecordedProgress,
    answering,
    deployment,
    described,
    stubbed,
)

if TYPE_CHECKING:
    from botocore.stub import Stubber


def nothing_exists(stub: Stubber) -> None:
    """Add the responses for an endpoint and a model that do not exist."""
    value = deployment()
    stub.add_client_error("describe_endpoint", *GONE)
    missing = ("ValidationException", "Could not find model.")
    stub.add_client_error("describe_model", *missing, expected_params={"ModelName": value.model_name})


@pytest.mark.parametrize(
    ("text", "kind", "fix"),
    [
        ("Could not find model data at s3://b/k.", UserError, "invoke upload"),
        ("Role arn:aws:iam::1:role/x cannot pull img. Ensure that", UserError, "ecr:BatchGetImage"),
        ("Something new", UserError, "correct what the message names"),
    ],
)
def test_a_refusal_of_create_model_ends_the_deployment_before_anything_costs(
    text: str, kind: type[Exception], fix: str | None
) -> None:
    aws, stubs = stubbed("sagemaker")
    nothing_exists(stubs["sagemaker"])
    stubs["sagemaker"].add_client_error("create_model", "ValidationException", text)
    with pytest.raises(kind, match=text[:20]) as caught:
        reconcile(aws, deployment(), RecordedProgress(), FakeClock().waiter())
    assert fix is None or fix in str(caught.value)
    stubs["sagemaker"].assert_no_pending_responses()


def test_a_configuration_that_sagemaker_does_not_find_yet_is_sent_another_request() -> None:
    value = deployment()
    aws, stubs = stubbed("sagemaker", "logs", "cloudwatch")
    scaling: dict[str, Any] = {
        "DescribeScalableTargets": {"ScalableTargets": []},
        "DescribeScalingPolicies": {"ScalingPolicies": []},
        "DescribeScheduledActions": {"ScheduledActions": []},
    }
    asked, stub = answering(aws, "application-autoscaling", scaling), stubs["sagemaker"]
    nothing_exists(stub)
    stub.add_response("create_model", {"ModelArn": ARN.replace("endpoint", "model")}, value.create_model_request)
    unknown = ("ValidationException", "Could not find endpoint configuration")
    stub.add_response("create_endpoint_config", {"EndpointConfigArn": ARN}, value.create_endpoint_config_request)
    stub.add_client_error("create_endpoint", *unknown)
    stub.add_response("create_endpoint", {"EndpointArn": ARN}, value.create_endpoint_request)
    stub.add_response("describe_endpoint", described("InService", value.endpoint_config_name))
    stubs["cloudwatch"].add_response("describe_alarms", {"MetricAlarms": []})
    assert reconcile(aws, value, RecordedProgress(), FakeClock().waiter()).endpoint_arn == ARN
    assert asked == scaling.keys()
    for each in stubs.values():
        each.assert_no_pending_responses()


def test_a_configuration_that_sagemaker_never_finds_is_a_remote_error() -> None:
    value, time = deployment(), FakeClock()
    aws, stubs = stubbed("sagemaker")
    stub = stubs["sagemaker"]
    stub.add_client_error("describe_endpoint", *GONE)
    model = {"ModelName": value.model_name, "ModelArn": ARN.replace("endpoint", "model"), "CreationTime": MOMENT}
    stub.add_response("describe_model", model)
    known = {"EndpointConfigArn": ARN, "CreationTime": MOMENT, "EndpointConfigName": value.endpoint_config_name}
    variants = value.create_endpoint_config_request["ProductionVariants"]
    stub.add_response("describe_endpoint_config", {**known, "ProductionVariants": variants})
    for _ in range(6):
        unknown = f'Could not find endpoint configuration "{value.endpoint_config_name}".'
        stub.add_client_error("create_endpoint", "ValidationException", unknown)
    with pytest.raises(RemoteError, match="does not find endpoint configuration") as caught:
        reconcile(aws, value, RecordedProgress(), time.waiter())
    # The error document names the class, and its schema allows no other.
    assert type(caught.value) is RemoteError
    assert time.now == 75
    stub.assert_no_pending_responses()


def test_the_error_for_a_used_up_quota_names_the_quota() -> None:
    value = deployment()
    aws, stubs = stubbed("sagemaker")
    stub = stubs["sagemaker"]
    stub.add_client_error("describe_endpoint", *GONE)
    model = {"ModelName": value.model_name, "ModelArn": ARN.replace("endpoint", "model"), "CreationTime": MOMENT}
    stub.add_response("describe_model", model)
    known = {
        "EndpointConfigArn": ARN,
        "CreationTime": MOMENT,
        "ProductionVariants": value.create_endpoint_config_request["ProductionVariants"],
    }
    stub.add_response("describe_endpoint_config", {**known, "EndpointConfigName": value.endpoint_config_name})
    quota = (
        "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 0 Instances, with current utilization"
    )
    stub.add_client_error("create_endpoint", "ResourceLimitExceeded", quota)
    with pytest.raises(UserError) as caught:
        reconcile(aws, value, RecordedProgress(), FakeClock().waiter())
    assert caught.value.fix is not None
    assert "request a higher quota 'ml.g5.2xlarge for endpoint usage'" in caught.value.fix
