from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.logs import Tail
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig, wait_until_stable
from sagepack.errors import RemoteError, UserError
from tests.helpers.deployments import FakeClock, RecordedProgress, deployment, spec, stubbed

if TYPE_CHECKING:
    from botocore.stub import Stubber

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/svd"
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
GONE = ("ValidationException", 'Could not find endpoint "svd".')


def described(status: str, config: str = "svd-0123456789ab") -> dict[str, Any]:
    return {
        "EndpointName": "svd",
        "EndpointArn": ARN,
        "EndpointConfigName": config,
        "EndpointStatus": status,
        "CreationTime": MOMENT,
        "LastModifiedTime": MOMENT,
    }


def add_statuses(stub: Stubber, *statuses: str) -> None:
    for status in statuses:
        stub.add_response("describe_endpoint", described(status))


def event(number: int, text: str) -> dict[str, Any]:
    return {"eventId": str(number), "timestamp": 1767225600000 + number, "message": text}


def test_a_status_is_reported_when_it_changes_and_once_a_minute() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], *["Creating"] * 6, "InService")
    for _ in range(7):
        stubs["logs"].add_client_error("filter_log_events", "ResourceNotFoundException")
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert progress.notes == [
        "endpoint svd: Creating (0 ms)",
        "endpoint svd: Creating (1 min 00 s)",
        "endpoint svd: InService (1 min 30 s)",
    ]


def test_a_stable_endpoint_is_not_reported() -> None:
    aws, stubs = stubbed("sagemaker")
    add_statuses(stubs["sagemaker"], "InService")
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert progress.notes == []


def test_each_log_line_is_reported_once() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating", "Creating", "InService")
    one, two = event(1, "starting\n"), event(2, "Traceback\n  line 1\n")
    request = {"logGroupName": "/aws/sagemaker/Endpoints/svd", "startTime": int(MOMENT.timestamp() * 1000)}
    for events in ([one], [one, two], [one, two]):
        stubs["logs"].add_response("filter_log_events", {"events": events}, request)
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert [note for note in progress.notes if "|" in note] == ["  | starting", "  | Traceback", "  |   line 1"]


def test_a_log_that_cannot_be_read_is_reported_once_and_stops_no_wait() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating", "Creating", "InService")
    stubs["logs"].add_client_error("filter_log_events", "AccessDeniedException")
    progress = RecordedProgress()
    live = wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert live is not None
    assert live.endpoint_status == "InService"
    assert progress.text.count("cannot be read: AccessDeniedException") == 1


def test_a_log_is_read_past_the_events_of_one_response() -> None:
    aws, stubs = stubbed("logs")
    many = [{**event(number, str(number)), "timestamp": 5} for number in range(1000)]
    group = "/aws/sagemaker/Endpoints/svd"
    stubs["logs"].add_response("filter_log_events", {"events": many}, {"logGroupName": group, "startTime": 5})
    rest = {"events": [event(1001, "last")]}
    stubs["logs"].add_response("filter_log_events", rest, {"logGroupName": group, "startTime": 6})
    tail = Tail(aws, "svd", 5)
    assert len(tail.lines()) == 1000
    assert tail.lines() == ["last"]


def test_waiting_for_an_endpoint_that_is_deleted_returns_none() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Deleting")
    stubs["logs"].add_client_error("filter_log_events", "ResourceNotFoundException")
    stubs["sagemaker"].add_client_error("describe_endpoint", *GONE)
    progress = RecordedProgress()
    assert wait_until_stable(aws, "svd", progress, FakeClock().waiter()) is None
    assert progress.notes[-1] == "endpoint svd: deleted (15.0 s)"


def test_the_timeout_covers_the_declared_timeouts_of_the_endpoint() -> None:
    declared = spec(model_data_download_timeout_in_seconds=3600, container_startup_health_check_timeout_in_seconds=60)
    assert WaiterConfig.of(declared).timeout == 3600 + 60 + 1800


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
        ("Something new", RemoteError, None),
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


def test_a_configuration_that_sagemaker_does_not_find_yet_is_requested_again() -> None:
    value = deployment()
    aws, stubs = stubbed("sagemaker", "logs", "application-autoscaling", "cloudwatch")
    stub = stubs["sagemaker"]
    nothing_exists(stub)
    stub.add_response("create_model", {"ModelArn": ARN.replace("endpoint", "model")}, value.create_model_request)
    config = {"EndpointConfigName": value.endpoint_config_name}
    unknown = ("ValidationException", "Could not find endpoint configuration")
    stub.add_client_error("describe_endpoint_config", *unknown, expected_params=config)
    stub.add_response("create_endpoint_config", {"EndpointConfigArn": ARN}, value.create_endpoint_config_request)
    stub.add_client_error("describe_endpoint_config", *unknown, expected_params=config)
    known = {"EndpointConfigArn": ARN, "CreationTime": MOMENT, **config}
    known["ProductionVariants"] = value.create_endpoint_config_request["ProductionVariants"]
    stub.add_response("describe_endpoint_config", known, config)
    stub.add_client_error("create_endpoint", *unknown)
    stub.add_response("create_endpoint", {"EndpointArn": ARN}, value.create_endpoint_request)
    stub.add_response("describe_endpoint", described("InService", value.endpoint_config_name))
    stubs["application-autoscaling"].add_response("describe_scalable_targets", {"ScalableTargets": []})
    stubs["application-autoscaling"].add_response("describe_scaling_policies", {"ScalingPolicies": []})
    stubs["cloudwatch"].add_response("describe_alarms", {"MetricAlarms": []})
    assert reconcile(aws, value, RecordedProgress(), FakeClock().waiter()).endpoint_arn == ARN
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


def test_delays_double_up_to_the_configured_one_and_end_at_the_timeout() -> None:
    waiter = FakeClock().waiter(timeout=40)
    assert list(waiter.attempts()) == [0, 15, 30, 40]
    assert list(waiter.attempts(first_delay=2)) == [0, 2, 6, 14, 29, 40]


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
