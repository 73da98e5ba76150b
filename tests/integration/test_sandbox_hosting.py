"""Endpoints of the sandbox, called by the real boto3: the model of AWS that deployments are tested against."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import httpx2 as httpx
import pytest
from botocore.exceptions import WaiterError

from sagepack.sandbox.aws.hosting import DeploymentOutcome, TransitionTime
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.sandbox.aws.server import AwsServer
from sagepack.serving import model_server, stack
from sagepack.spec import images
from tests.helpers import serving_stack
from tests.helpers.hosting import DATA, IMAGE, REGISTRY, TAG, WAIT, config, error_of, model, wait_for_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.sandbox.servers import Servers


@pytest.fixture
def hosting(sandbox: Servers, client: Callable[[str], Any]) -> Any:
    client("s3").put_object(Bucket=sandbox.bucket, Key="models/model.tar.gz", Body=b"data")
    return client("sagemaker")


@pytest.fixture
def endpoint(hosting: Any, sandbox: Servers) -> str:
    model(hosting, sandbox)
    config(hosting)
    config(hosting, "c2")
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1", Tags=[{"Key": "a", "Value": "b"}])
    hosting.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)
    return "e"


def statuses(hosting: Any, count: int = 6) -> list[str]:
    seen = [hosting.describe_endpoint(EndpointName="e") for _ in range(count)]
    return [described["EndpointStatus"] for described in seen]


def test_an_endpoint_is_created_and_then_in_service(hosting: Any, endpoint: str) -> None:
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointStatus"], live["EndpointConfigName"]) == ("InService", "c1")
    assert live["AsyncInferenceConfig"]["OutputConfig"]["S3FailurePath"] == "s3://sagepack-sandbox/fail"
    variant = live["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    assert variant["DeployedImages"][0]["ResolvedImage"].startswith(f"{REGISTRY}@sha256:")


def test_descriptions_have_all_fields_of_the_request(hosting: Any, sandbox: Servers) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": DATA, "Environment": {"A": "1"}}
    request = {"PrimaryContainer": container, "ExecutionRoleArn": sandbox.role, "EnableNetworkIsolation": True}
    hosting.create_model(ModelName="m", **request)
    described = hosting.describe_model(ModelName="m")
    assert {key: described[key] for key in request} == request
    config(hosting, ContainerStartupHealthCheckTimeoutInSeconds=600)
    variant = hosting.describe_endpoint_config(EndpointConfigName="c1")["ProductionVariants"][0]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    assert hosting.list_models(NameContains="m")["Models"][0]["ModelArn"] == described["ModelArn"]


def test_transitions_take_the_time_of_the_scenario(hosting: Any, endpoint: str, sandbox: Servers) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(polls=3)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert hosting.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]["EndpointConfigName"] == "c2"
    assert statuses(hosting, 3) == ["Updating", "Updating", "InService"]
    sandbox.aws.scenario.transition_time = TransitionTime(polls=0, seconds=3600)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c1")
    assert set(statuses(hosting)) == {"Updating"}
    sandbox.aws.clock.turn(3600)
    assert statuses(hosting, 1) == ["InService"]


def test_an_endpoint_whose_creation_failed_has_a_reason_and_can_only_be_deleted(hosting: Any, sandbox: Servers) -> None:
    model(hosting, sandbox)
    config(hosting)
    sandbox.aws.scenario.end_deployments("e", DeploymentOutcome("fail", "no ping", log=("Traceback", "boom")))
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    with pytest.raises(WaiterError):
        hosting.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)
    live = hosting.describe_endpoint(EndpointName="e")
    assert (live["EndpointStatus"], live["FailureReason"]) == ("Failed", "no ping")
    assert "Cannot update" in error_of(lambda: hosting.update_endpoint(EndpointName="e", EndpointConfigName="c1"))
    hosting.delete_endpoint(EndpointName="e")


def test_a_failed_update_passes_through_rolling_back(hosting: Any, endpoint: str, sandbox: Servers) -> None:
    sandbox.aws.scenario.end_deployments(endpoint, DeploymentOutcome("fail", "no ping"))
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert statuses(hosting) == ["Updating", "RollingBack", "RollingBack", "InService", "InService", "InService"]
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointConfigName"], live["FailureReason"]) == ("c1", "no ping")


@pytest.mark.parametrize(
    ("kind", "status"), [("silent_rollback", "InService"), ("rollback_failed", "UpdateRollbackFailed")]
)
def test_a_rollback_can_be_silent_or_fail(
    hosting: Any, endpoint: str, sandbox: Servers, kind: Any, status: str
) -> None:
    sandbox.aws.scenario.end_deployments(endpoint, DeploymentOutcome(kind, "capacity"))
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert statuses(hosting, 3) == ["Updating", status, status]
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointConfigName"], live["FailureReason"]) == ("c1", "capacity")


def test_resources_that_exist_cannot_be_created_again(hosting: Any, endpoint: str, sandbox: Servers) -> None:
    assert "ValidationException: Cannot create already existing model" in error_of(lambda: model(hosting, sandbox))
    assert "Cannot create already existing endpoint configuration" in error_of(lambda: config(hosting))
    again = {"EndpointName": endpoint.upper(), "EndpointConfigName": "c1"}
    assert "Cannot create already existing endpoint" in error_of(lambda: hosting.create_endpoint(**again))


def test_operations_on_resources_that_do_not_exist_could_not_find_them(hosting: Any) -> None:
    for call in (
        lambda: hosting.describe_model(ModelName="no"),
        lambda: hosting.describe_endpoint_config(EndpointConfigName="no"),
        lambda: hosting.describe_endpoint(EndpointName="no"),
        lambda: hosting.delete_endpoint(EndpointName="no"),
        lambda: hosting.update_endpoint(EndpointName="no", EndpointConfigName="no"),
        lambda: config(hosting),
    ):
        assert error_of(call).startswith("ValidationException: Could not find ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Image": f"{REGISTRY}:no-such-tag"}, "cannot pull"),
        ({"Image": IMAGE.replace("us-east-1", "eu-west-1")}, "cannot pull"),
        ({"ModelDataUrl": "s3://sagepack-sandbox/no"}, "Could not find model data at"),
        ({"ModelDataUrl": "s3://no-such-bucket/x"}, "Could not access model data at"),
    ],
)
def test_create_model_checks_image_and_model_data(
    hosting: Any, sandbox: Servers, change: dict[str, str], message: str
) -> None:
    assert message in error_of(lambda: model(hosting, sandbox, **change))


def test_create_model_checks_the_role_and_accepts_prefixes_and_image_digests(
    hosting: Any, sandbox: Servers, client: Callable[[str], Any]
) -> None:
    source = {"S3Uri": "s3://sagepack-sandbox/models/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    repository = {"registryId": "763104351884", "repositoryName": images.repository(), "imageIds": [{"imageTag": TAG}]}
    digest = client("ecr").describe_images(**repository)["imageDetails"][0]["imageDigest"]
    container = {"Image": f"{REGISTRY}@{digest}", "ModelDataSource": {"S3DataSource": source}}
    create = partial(hosting.create_model, ModelName="m", PrimaryContainer=container)
    assert "Could not assume role" in error_of(lambda: create(ExecutionRoleArn="arn:aws:iam::123456789012:role/none"))
    client("iam").create_role(RoleName="other", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    untrusting = sandbox.role.replace("sagepack-sandbox", "other")
    assert "Could not assume role" in error_of(lambda: create(ExecutionRoleArn=untrusting))
    assert create(ExecutionRoleArn=sandbox.role)["ModelArn"].endswith(":model/m")


def test_all_current_instance_types_are_accepted_and_volumes_only_for_those_without_local_disks(
    hosting: Any, sandbox: Servers
) -> None:
    model(hosting, sandbox)
    for kind in ("ml.g6e.xlarge", "ml.p5en.48xlarge", "ml.inf2.xlarge"):
        assert config(hosting, kind.replace(".", "-"), kind)
    assert "instanceType" in error_of(lambda: config(hosting, "x", "g5.xlarge"))
    assert "VolumeSize" in error_of(lambda: config(hosting, "x", "ml.g4dn.xlarge", VolumeSizeInGB=100))


def test_a_live_endpoint_serves_on_without_its_configuration_and_model_but_cannot_be_updated(
    hosting: Any, sandbox: Servers, endpoint: str, client: Callable[[str], Any]
) -> None:
    arn = hosting.describe_endpoint_config(EndpointConfigName="c1")["EndpointConfigArn"]
    hosting.delete_endpoint_config(EndpointConfigName="c1")
    assert f'ValidationException: Could not find endpoint configuration "{arn}".' in error_of(
        lambda: hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    )
    hosting.delete_model(ModelName="m")
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointStatus"], live["EndpointConfigName"]) == ("InService", "c1")
    assert live["ProductionVariants"][0]["DeployedImages"][0]["SpecifiedImage"] == IMAGE
    sandbox.aws.invocations.script(ScriptedResult(b"{}", times=1))
    accepted = client("sagemaker-runtime").invoke_endpoint_async(EndpointName=endpoint, InputLocation=DATA)
    assert wait_for_object(client("s3"), accepted["OutputLocation"]) == b"{}"


def test_deleting_an_endpoint_deletes_its_scaling(hosting: Any, endpoint: str, client: Callable[[str], Any]) -> None:
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling = client("application-autoscaling")
    missing = {**target, "ResourceId": "endpoint/none/variant/AllTraffic"}
    assert "Could not find" in error_of(
        lambda: scaling.register_scalable_target(**missing, MinCapacity=0, MaxCapacity=1)
    )
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=1)
    step = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    scaling.put_scaling_policy(**target, PolicyName="p", PolicyType="StepScaling", StepScalingPolicyConfiguration=step)
    config(hosting, "c3", "ml.g6.xlarge")
    assert "scalable target" in error_of(
        lambda: hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c3")
    )
    hosting.delete_endpoint(EndpointName=endpoint)
    hosting.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=WAIT)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    hosting.delete_endpoint_config(EndpointConfigName="c1")
    hosting.delete_model(ModelName="m")


def test_tags_and_instance_counts_are_kept(hosting: Any, endpoint: str, sandbox: Servers) -> None:
    arn = hosting.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    hosting.add_tags(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    assert hosting.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]
    desired = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
    hosting.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=desired)
    sandbox.aws.clock.turn(1)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2", RetainAllVariantProperties=True)
    assert statuses(hosting, 3)[-1] == "InService"
    assert hosting.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]["DesiredInstanceCount"] == 3


def test_the_scenario_can_make_an_operation_fail_once(hosting: Any, sandbox: Servers) -> None:
    model(hosting, sandbox)
    config(hosting)
    sandbox.aws.scenario.fail_operation("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit")
    create = partial(hosting.create_endpoint, EndpointName="e", EndpointConfigName="c1")
    assert error_of(create).startswith("ResourceLimitExceeded: The account-level")
    assert create()


def test_results_are_written_to_the_output_path_and_failures_to_the_failure_path(
    sandbox: Servers, endpoint: str, client: Callable[[str], Any]
) -> None:
    s3, runtime = client("s3"), client("sagemaker-runtime")
    s3.put_object(Bucket=sandbox.bucket, Key="in/a.json", Body=b'{"inputs": 1}')
    sandbox.aws.invocations.script(ScriptedResult(b'{"frames": []}', times=1))
    sandbox.aws.invocations.script(ScriptedResult(b"boom", status=400, times=1))
    request = {"EndpointName": endpoint, "InputLocation": f"s3://{sandbox.bucket}/in/a.json", "InferenceId": "mine"}
    first = runtime.invoke_endpoint_async(**request)
    assert first["OutputLocation"].startswith("s3://sagepack-sandbox/out/")
    assert first["InferenceId"] == "mine"
    assert wait_for_object(s3, first["OutputLocation"]) == b'{"frames": []}'
    second = runtime.invoke_endpoint_async(**request)
    assert second["FailureLocation"].startswith("s3://sagepack-sandbox/fail/")
    assert wait_for_object(s3, second["FailureLocation"]) == b"boom"
    assert sandbox.aws.invocations.received == [(endpoint, b'{"inputs": 1}')] * 2


def test_two_servers_in_one_process_do_not_share_their_containers(
    sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving_stack.install(tmp_path, monkeypatch)
    monkeypatch.setattr(model_server, "unavailable", lambda: None)
    first, second = AwsServer(), AwsServer()
    keys = {
        "aws_access_key_id": second.credentials.access_key,
        "aws_secret_access_key": second.credentials.secret_key,
    }
    client = partial(boto3.client, region_name=sandbox.region, endpoint_url=second.url, **keys)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("weights"))
    first.start()
    try:
        second.start()
        s3, hosting, runtime = client("s3"), client("sagemaker"), client("sagemaker-runtime")
        s3.put_object(Bucket=sandbox.bucket, Key="models/model.tar.gz", Body=packed.getvalue())
        s3.put_object(Bucket=sandbox.bucket, Key="in", Body=b"{}")
        model(hosting, sandbox)
        config(hosting)
        hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1")
        hosting.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)

        def process_id() -> int:
            response = runtime.invoke_endpoint_async(EndpointName="e", InputLocation=f"s3://{sandbox.bucket}/in")
            return int(json.loads(wait_for_object(s3, response["OutputLocation"]))["pid"])

        before = process_id()
        first.invocations.reset()
        assert process_id() == before
        first.stop()
        assert process_id() == before
    finally:
        second.stop()


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def containers(
    sandbox: Servers,
    client: Callable[[str], Any],
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """An endpoint whose package runs under the stand-in of the serving stack."""
    serving_stack.install(tmp_path, monkeypatch)
    monkeypatch.setattr(model_server, "unavailable", lambda: None)
    monkeypatch.setattr(sandbox.aws.invocations, "default", None)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("weights"))
    client("s3").put_object(Bucket=sandbox.bucket, Key="models/model.tar.gz", Body=packed.getvalue())
    return endpoint


def test_the_container_of_an_endpoint_that_is_deleted_is_stopped(
    hosting: Any, client: Callable[[str], Any], containers: str
) -> None:
    s3, runtime = client("s3"), client("sagemaker-runtime")
    response = runtime.invoke_endpoint_async(EndpointName=containers, Body=b"{}")
    process = int(json.loads(wait_for_object(s3, response["OutputLocation"]))["pid"])
    hosting.delete_endpoint(EndpointName=containers)
    hosting.get_waiter("endpoint_deleted").wait(EndpointName=containers, WaiterConfig=WAIT)
    until = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < until
        hosting.list_endpoints()
        time.sleep(0.05)


def test_each_deployment_starts_a_container_of_its_own_that_writes_to_the_log_of_the_endpoint(
    hosting: Any, client: Callable[[str], Any], containers: str
) -> None:
    s3, runtime, logs = client("s3"), client("sagemaker-runtime"), client("logs")
    pids = set()
    for update in (False, True):
        if update:
            hosting.update_endpoint(EndpointName=containers, EndpointConfigName="c2")
            hosting.get_waiter("endpoint_in_service").wait(EndpointName=containers, WaiterConfig=WAIT)
        for _ in range(2):
            response = runtime.invoke_endpoint_async(EndpointName=containers, Body=b"{}")
            pids.add(json.loads(wait_for_object(s3, response["OutputLocation"]))["pid"])
    assert len(pids) == 2
    until = time.monotonic() + 20
    started: list[dict[str, Any]] = []
    while len(started) < 2:
        assert time.monotonic() < until
        events = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/e")["events"]
        started = [event for event in events if event["message"] == "starting"]
    assert len({event["logStreamName"] for event in events}) == 2
    assert all(re.fullmatch(r"AllTraffic/i-[0-9a-f]{17}", event["logStreamName"]) for event in events)


def test_events_of_several_streams_come_in_the_order_of_their_times(client: Callable[[str], Any]) -> None:
    logs, now = client("logs"), int(time.time() * 1000)
    logs.create_log_group(logGroupName="g")
    for stream, times in {"a": [0, 2], "b": [1, 3]}.items():
        logs.create_log_stream(logGroupName="g", logStreamName=stream)
        events = [{"timestamp": now + at, "message": str(at)} for at in times]
        logs.put_log_events(logGroupName="g", logStreamName=stream, logEvents=events)
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="g", PaginationConfig={"PageSize": 1})
    assert [event["message"] for page in pages for event in page["events"]] == ["0", "1", "2", "3"]


def test_an_input_is_read_when_an_instance_takes_the_request(
    sandbox: Servers, endpoint: str, client: Callable[[str], Any]
) -> None:
    s3, runtime = client("s3"), client("sagemaker-runtime")
    missing = f"s3://{sandbox.bucket}/in/none"
    accepted = runtime.invoke_endpoint_async(EndpointName=endpoint, InputLocation=missing)
    assert missing.encode() in wait_for_object(s3, accepted["FailureLocation"])
    assert sandbox.aws.invocations.received == []


def test_an_invocation_needs_an_endpoint_and_an_input(
    sandbox: Servers, endpoint: str, client: Callable[[str], Any]
) -> None:
    runtime, there = client("sagemaker-runtime"), f"s3://{sandbox.bucket}/models/model.tar.gz"
    call = runtime.invoke_endpoint_async
    assert "Could not find endpoint" in error_of(lambda: call(EndpointName="none", InputLocation=there))
    assert "InputLocation" in error_of(lambda: call(EndpointName=endpoint, InputLocation=there, Body=b"{}"))
    assert "asynchronous" in error_of(lambda: runtime.invoke_endpoint(EndpointName=endpoint, Body=b"{}"))


def test_the_registry_of_aws_has_the_known_tags(client: Callable[[str], Any]) -> None:
    ecr = client("ecr")
    repository = {"registryId": "763104351884", "repositoryName": images.repository()}
    details = ecr.describe_images(**repository)["imageDetails"]
    assert sorted(tag for item in details for tag in item["imageTags"]) == sorted(images.known_tags())
    got = ecr.batch_get_image(**repository, imageIds=[{"imageTag": TAG}, {"imageTag": "none"}])
    digests = {item["imageTags"][0]: item["imageDigest"] for item in details}
    assert got["images"][0]["imageId"]["imageDigest"] == digests[TAG]
    assert got["failures"][0]["failureCode"] == "ImageNotFound"
    assert "ImageNotFound" in error_of(lambda: ecr.describe_images(**repository, imageIds=[{"imageTag": "none"}]))
    other = {**repository, "repositoryName": "none"}
    assert "RepositoryNotFound" in error_of(lambda: ecr.describe_images(**other, imageIds=[{"imageTag": TAG}]))


def test_another_process_needs_the_token_to_change_the_scenario(
    sandbox: Servers, hosting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stack.PYTHON, "/none")
    address, control = f"{sandbox.aws_url}/_sandbox", {"X-Sandbox-Token": sandbox.credentials.control_token}
    with httpx.Client() as http:
        error = {"operation": "ListModels", "code": "Busy", "message": "later"}
        assert http.post(f"{address}/errors", json=error).status_code == 403
        assert http.post(f"{address}/errors", json=error, headers=control).status_code == 200
        assert error_of(hosting.list_models) == "Busy: later"
        actions: dict[str, dict[str, Any]] = {
            "outcomes": {"endpoint": "e", "outcomes": [{"kind": "fail", "log": ["a"]}]},
            "transitions": {"polls": 2},
            "clock": {"turn": 60},
            "fleets": {"alarm": 1, "idle": 60},
            "denied": {"actions": ["sagemaker:Delete*"]},
            "results": {"body": "{}", "log": ["a"]},
            "container-log": {"endpoint": "e", "lines": ["a"]},
            "reset": {},
        }
        for route, body in actions.items():
            assert http.post(f"{address}/{route}", json=body, headers=control).status_code == 200, route
        assert "names no Python" in http.get(f"{address}/answers", headers=control).json()["problem"]
        assert http.post(f"{address}/clock", json={"turn": -1}, headers=control).status_code == 400
        before = http.get(f"{address}/clock", headers=control).json()["now"]
        after = http.post(f"{address}/clock", json={"turn": 3600}, headers=control).json()["now"]
        assert 3600 <= after - before < 3660
        assert http.post(f"{address}/fire", json={}, headers=control).status_code == 400
        assert json.loads(http.get(f"{address}/faults", headers=control).content) == []
