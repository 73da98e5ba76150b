"""Endpoints of the sandbox, through the real boto3: the model of AWS that deployments are tested against."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError, WaiterError

from sagepack.sandbox.aws.hosting import Outcome, Pace
from sagepack.sandbox.aws.invocations import Answer
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Service

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference"
TAG = images.known_tags()[-1]
IMAGE = f"{REGISTRY}:{TAG}"
DATA = "s3://sagepack-sandbox/models/model.tar.gz"
WAIT = {"Delay": 0, "MaxAttempts": 20}


@pytest.fixture
def hosting(sandbox: Service, client: Callable[[str], Any]) -> Any:
    client("s3").put_object(Bucket=sandbox.bucket, Key="models/model.tar.gz", Body=b"data")
    return client("sagemaker")


def model(hosting: Any, sandbox: Service, name: str = "m", **container: Any) -> Any:
    container = {"Image": IMAGE, "ModelDataUrl": DATA, **container}
    return hosting.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=sandbox.role)


def config(hosting: Any, name: str = "c1", kind: str = "ml.g5.xlarge", **more: Any) -> Any:
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": kind, "InitialInstanceCount": 1}
    output = {"S3OutputPath": "s3://sagepack-sandbox/out/", "S3FailurePath": "s3://sagepack-sandbox/fail"}
    return hosting.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[{**variant, **more}],
        AsyncInferenceConfig={"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1}},
    )


@pytest.fixture
def endpoint(hosting: Any, sandbox: Service) -> str:
    model(hosting, sandbox)
    config(hosting)
    config(hosting, "c2")
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1", Tags=[{"Key": "a", "Value": "b"}])
    hosting.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)
    return "e"


def says(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


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


def test_what_was_asked_for_is_described(hosting: Any, sandbox: Service) -> None:
    container = {"Image": IMAGE, "ModelDataUrl": DATA, "Environment": {"A": "1"}}
    asked = {"PrimaryContainer": container, "ExecutionRoleArn": sandbox.role, "EnableNetworkIsolation": True}
    hosting.create_model(ModelName="m", **asked)
    described = hosting.describe_model(ModelName="m")
    assert {key: described[key] for key in asked} == asked
    config(hosting, ContainerStartupHealthCheckTimeoutInSeconds=600)
    variant = hosting.describe_endpoint_config(EndpointConfigName="c1")["ProductionVariants"][0]
    assert variant["ContainerStartupHealthCheckTimeoutInSeconds"] == 600
    assert hosting.list_models(NameContains="m")["Models"][0]["ModelArn"] == described["ModelArn"]


def test_transitions_take_as_long_as_they_are_told_to(hosting: Any, endpoint: str, sandbox: Service) -> None:
    sandbox.aws.script.pace = Pace(polls=3)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert hosting.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]["EndpointConfigName"] == "c2"
    assert statuses(hosting, 3) == ["Updating", "Updating", "InService"]
    sandbox.aws.script.pace = Pace(polls=0, seconds=3600)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c1")
    assert set(statuses(hosting)) == {"Updating"}


def test_a_failed_creation_says_why_and_allows_deletion_only(hosting: Any, sandbox: Service) -> None:
    model(hosting, sandbox)
    config(hosting)
    sandbox.aws.script.outcome("e", Outcome("fail", "no ping", log=("Traceback", "boom")))
    hosting.create_endpoint(EndpointName="e", EndpointConfigName="c1")
    with pytest.raises(WaiterError):
        hosting.get_waiter("endpoint_in_service").wait(EndpointName="e", WaiterConfig=WAIT)
    live = hosting.describe_endpoint(EndpointName="e")
    assert (live["EndpointStatus"], live["FailureReason"]) == ("Failed", "no ping")
    assert "Cannot update" in says(lambda: hosting.update_endpoint(EndpointName="e", EndpointConfigName="c1"))
    hosting.delete_endpoint(EndpointName="e")


def test_a_failed_update_rolls_back(hosting: Any, endpoint: str, sandbox: Service) -> None:
    sandbox.aws.script.outcome(endpoint, Outcome("fail", "no ping"))
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert statuses(hosting) == ["Updating", "RollingBack", "RollingBack", "InService", "InService", "InService"]
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointConfigName"], live["FailureReason"]) == ("c1", "no ping")


@pytest.mark.parametrize(
    ("kind", "status"), [("silent_rollback", "InService"), ("rollback_failed", "UpdateRollbackFailed")]
)
def test_a_rollback_can_be_silent_or_fail(
    hosting: Any, endpoint: str, sandbox: Service, kind: Any, status: str
) -> None:
    sandbox.aws.script.outcome(endpoint, Outcome(kind, "capacity"))
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2")
    assert statuses(hosting, 3) == ["Updating", status, status]
    live = hosting.describe_endpoint(EndpointName=endpoint)
    assert (live["EndpointConfigName"], live["FailureReason"]) == ("c1", "capacity")


def test_nothing_is_created_twice(hosting: Any, endpoint: str, sandbox: Service) -> None:
    assert "ValidationException: Cannot create already existing model" in says(lambda: model(hosting, sandbox))
    assert "Cannot create already existing endpoint configuration" in says(lambda: config(hosting))
    again = {"EndpointName": endpoint.upper(), "EndpointConfigName": "c1"}
    assert "Cannot create already existing endpoint" in says(lambda: hosting.create_endpoint(**again))


def test_missing_things_are_said_to_be_missing(hosting: Any) -> None:
    for call in (
        lambda: hosting.describe_model(ModelName="no"),
        lambda: hosting.describe_endpoint_config(EndpointConfigName="no"),
        lambda: hosting.describe_endpoint(EndpointName="no"),
        lambda: hosting.delete_endpoint(EndpointName="no"),
        lambda: hosting.update_endpoint(EndpointName="no", EndpointConfigName="no"),
        lambda: config(hosting),
    ):
        assert says(call).startswith("ValidationException: Could not find ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Image": f"{REGISTRY}:no-such-tag"}, "cannot pull"),
        ({"Image": IMAGE.replace("us-east-1", "eu-west-1")}, "cannot pull"),
        ({"ModelDataUrl": "s3://sagepack-sandbox/no"}, "Could not find model data at"),
        ({"ModelDataUrl": "s3://no-such-bucket/x"}, "Could not access model data at"),
    ],
)
def test_create_model_checks_image_and_data(hosting: Any, sandbox: Service, change: dict[str, str], told: str) -> None:
    assert told in says(lambda: model(hosting, sandbox, **change))


def test_create_model_checks_the_role_and_takes_prefixes_and_digests(
    hosting: Any, sandbox: Service, client: Callable[[str], Any]
) -> None:
    source = {"S3Uri": "s3://sagepack-sandbox/models/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    asked = {"registryId": "763104351884", "repositoryName": images.repository(), "imageIds": [{"imageTag": TAG}]}
    digest = client("ecr").describe_images(**asked)["imageDetails"][0]["imageDigest"]
    container = {"Image": f"{REGISTRY}@{digest}", "ModelDataSource": {"S3DataSource": source}}
    create = partial(hosting.create_model, ModelName="m", PrimaryContainer=container)
    assert "Could not assume role" in says(lambda: create(ExecutionRoleArn="arn:aws:iam::123456789012:role/none"))
    assert create(ExecutionRoleArn=sandbox.role)["ModelArn"].endswith(":model/m")


def test_any_instance_type_of_today_is_taken_and_volumes_only_where_they_exist(hosting: Any, sandbox: Service) -> None:
    model(hosting, sandbox)
    for kind in ("ml.g6e.xlarge", "ml.p5en.48xlarge", "ml.inf2.xlarge"):
        assert config(hosting, kind.replace(".", "-"), kind)
    assert "instanceType" in says(lambda: config(hosting, "x", "g5.xlarge"))
    assert "VolumeSize" in says(lambda: config(hosting, "x", "ml.g4dn.xlarge", VolumeSizeInGB=100))


def test_what_is_in_use_stays_and_deleting_takes_the_scaling_along(
    hosting: Any, endpoint: str, client: Callable[[str], Any]
) -> None:
    target = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    scaling = client("application-autoscaling")
    missing = {**target, "ResourceId": "endpoint/none/variant/AllTraffic"}
    assert "Could not find" in says(lambda: scaling.register_scalable_target(**missing, MinCapacity=0, MaxCapacity=1))
    scaling.register_scalable_target(**target, MinCapacity=0, MaxCapacity=1)
    step = {
        "AdjustmentType": "ChangeInCapacity",
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    }
    scaling.put_scaling_policy(**target, PolicyName="p", PolicyType="StepScaling", StepScalingPolicyConfiguration=step)
    assert "in use" in says(lambda: hosting.delete_endpoint_config(EndpointConfigName="c1"))
    config(hosting, "c3", "ml.g6.xlarge")
    assert "scalable target" in says(lambda: hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c3"))
    hosting.delete_endpoint(EndpointName=endpoint)
    hosting.get_waiter("endpoint_deleted").wait(EndpointName=endpoint, WaiterConfig=WAIT)
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    hosting.delete_endpoint_config(EndpointConfigName="c1")
    hosting.delete_model(ModelName="m")


def test_tags_and_instance_counts_are_kept(hosting: Any, endpoint: str) -> None:
    arn = hosting.describe_endpoint(EndpointName=endpoint)["EndpointArn"]
    hosting.add_tags(ResourceArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    assert hosting.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]
    wanted = [{"VariantName": "AllTraffic", "DesiredInstanceCount": 3}]
    hosting.update_endpoint_weights_and_capacities(EndpointName=endpoint, DesiredWeightsAndCapacities=wanted)
    hosting.update_endpoint(EndpointName=endpoint, EndpointConfigName="c2", RetainAllVariantProperties=True)
    assert statuses(hosting, 3)[-1] == "InService"
    assert hosting.describe_endpoint(EndpointName=endpoint)["ProductionVariants"][0]["DesiredInstanceCount"] == 3


def test_an_operation_can_be_refused(hosting: Any, sandbox: Service) -> None:
    model(hosting, sandbox)
    config(hosting)
    sandbox.aws.script.refuse("CreateEndpoint", "ResourceLimitExceeded", "The account-level service limit")
    create = partial(hosting.create_endpoint, EndpointName="e", EndpointConfigName="c1")
    assert says(create).startswith("ResourceLimitExceeded: The account-level")
    assert create()


def awaited(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def test_an_answer_appears_in_the_output_path_and_a_failure_in_its_own(
    sandbox: Service, endpoint: str, client: Callable[[str], Any]
) -> None:
    s3, runtime = client("s3"), client("sagemaker-runtime")
    s3.put_object(Bucket=sandbox.bucket, Key="in/a.json", Body=b'{"inputs": 1}')
    sandbox.aws.invocations.answer(Answer(b'{"frames": []}', times=1))
    sandbox.aws.invocations.answer(Answer(b"boom", status=400, times=1))
    asked = {"EndpointName": endpoint, "InputLocation": f"s3://{sandbox.bucket}/in/a.json", "InferenceId": "mine"}
    first = runtime.invoke_endpoint_async(**asked)
    assert first["OutputLocation"].startswith("s3://sagepack-sandbox/out/")
    assert first["InferenceId"] == "mine"
    assert awaited(s3, first["OutputLocation"]) == b'{"frames": []}'
    second = runtime.invoke_endpoint_async(**asked)
    assert second["FailureLocation"].startswith("s3://sagepack-sandbox/fail/")
    assert awaited(s3, second["FailureLocation"]) == b"boom"
    assert sandbox.aws.invocations.received == [(endpoint, b'{"inputs": 1}')] * 2


def test_an_invocation_needs_an_endpoint_and_an_input(
    sandbox: Service, endpoint: str, client: Callable[[str], Any]
) -> None:
    runtime, there = client("sagemaker-runtime"), f"s3://{sandbox.bucket}/models/model.tar.gz"
    call = runtime.invoke_endpoint_async
    assert "Could not find endpoint" in says(lambda: call(EndpointName="none", InputLocation=there))
    nowhere = f"s3://{sandbox.bucket}/in/none"
    assert "does not exist" in says(lambda: call(EndpointName=endpoint, InputLocation=nowhere))
    assert "asynchronous" in says(lambda: runtime.invoke_endpoint(EndpointName=endpoint, Body=b"{}"))


def test_the_registry_of_aws_knows_its_tags(client: Callable[[str], Any]) -> None:
    ecr = client("ecr")
    asked = {"registryId": "763104351884", "repositoryName": images.repository()}
    details = ecr.describe_images(**asked)["imageDetails"]
    assert sorted(tag for item in details for tag in item["imageTags"]) == sorted(images.known_tags())
    got = ecr.batch_get_image(**asked, imageIds=[{"imageTag": TAG}, {"imageTag": "none"}])
    digests = {item["imageTags"][0]: item["imageDigest"] for item in details}
    assert got["images"][0]["imageId"]["imageDigest"] == digests[TAG]
    assert got["failures"][0]["failureCode"] == "ImageNotFound"
    assert "ImageNotFound" in says(lambda: ecr.describe_images(**asked, imageIds=[{"imageTag": "none"}]))
    other = {**asked, "repositoryName": "none"}
    assert "RepositoryNotFound" in says(lambda: ecr.describe_images(**other, imageIds=[{"imageTag": TAG}]))


def test_another_process_scripts_the_server_with_its_token(sandbox: Service, hosting: Any) -> None:
    address, control = f"{sandbox.aws_url}/_sandbox", {"X-Sandbox-Token": sandbox.credentials.control}
    with httpx.Client() as http:
        refusal = {"operation": "ListModels", "code": "Busy", "message": "later"}
        assert http.post(f"{address}/refusals", json=refusal).status_code == 403
        assert http.post(f"{address}/refusals", json=refusal, headers=control).status_code == 200
        assert says(hosting.list_models) == "Busy: later"
        outcomes = {"endpoint": "e", "outcomes": [{"kind": "fail", "log": ["a"]}]}
        for route, body in (("outcomes", outcomes), ("pace", {"polls": 2}), ("answers", {"body": "{}"}), ("reset", {})):
            assert http.post(f"{address}/{route}", json=body, headers=control).status_code == 200, route
        assert http.post(f"{address}/fire", json={}, headers=control).status_code == 400
        assert json.loads(http.get(f"{address}/faults", headers=control).content) == []
