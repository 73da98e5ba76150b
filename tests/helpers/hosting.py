"""Models, configurations and requests for the tests of the sandbox's endpoints, with the real boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Servers

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference"
TAG = images.known_tags()[-1]
IMAGE = f"{REGISTRY}:{TAG}"
DATA = "s3://sagepack-sandbox/models/model.tar.gz"
WAIT = {"Delay": 0, "MaxAttempts": 20}


def model(hosting: Any, sandbox: Servers, name: str = "m", **container: Any) -> Any:
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


def error_of(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def wait_for_object(s3: Any, uri: str) -> bytes:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
