"""Specs, deployments, sessions and a checker of requests for the tests of `deploy`."""

from __future__ import annotations

import dataclasses
import functools
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber
from msgspec import structs

from sagepack.aws import service_model
from sagepack.aws.session import Aws, AwsConnection
from sagepack.deploy.deployment import Deployment
from sagepack.deploy.record import DeploymentRecord
from sagepack.deploy.waiter import WaiterConfig
from sagepack.digest import Digest
from sagepack.package.lock import Lock
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.spec import model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from botocore.model import OperationModel

    from sagepack.aws.session import Document
    from sagepack.errors import Diagnostic
    from sagepack.sandbox.servers import Servers

ROLE = "arn:aws:iam::123456789012:role/sagepack-sandbox"
BUCKET = "sagepack-sandbox"
IMAGE = "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
MANIFEST = Digest.sha256(b"a manifest")
ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/svd"
MOMENT = datetime(2026, 1, 1, tzinfo=timezone.utc)
RECORD = DeploymentRecord(
    name="svd",
    env="cloud",
    endpoint="svd",
    deployed=MOMENT,
    by="arn:aws:iam::123456789012:user/ann",
    commit="0" * 40,
    clean=True,
    manifest=str(MANIFEST),
    package=f"s3://{BUCKET}/models/svd/0123456789abcdef/model.tar.gz",
    lock=str(MANIFEST),
    image="763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0@sha256:0",
    model="svd-0123456789ab",
    config="svd-0123456789ab",
    variables=("HF_HUB_OFFLINE",),
    settings={"instance_type": "ml.g5.2xlarge"},
)
# Error code and message of SageMaker for an endpoint that does not exist.
GONE = ("ValidationException", 'Could not find endpoint "svd".')
violations = service_model.violations


def endpoint(name: str = "svd", **changes: Any) -> model.Endpoint:
    asynchronous = model.AsyncInference(f"s3://{BUCKET}/async/{name}/output/", f"s3://{BUCKET}/async/{name}/failure/")
    values: dict[str, Any] = {"instance_type": "ml.g5.2xlarge", "asynchronous": asynchronous, "tags": {"team": "video"}}
    return model.Endpoint(name, **{**values, **changes})


def spec(name: str = "svd", *, environment: dict[str, str] | None = None, **changes: Any) -> model.Spec:
    layout = changes.pop("layout", "archive")
    return model.Spec(
        name=name,
        env="local",
        model=model.ModelSource("stabilityai/stable-video-diffusion-img2vid-xt-1-1", "0" * 40),
        code=model.Code("inference_code/svd"),
        image=model.Image("huggingface-pytorch-inference", IMAGE),
        environment={"MMS_MAX_RESPONSE_SIZE": "100000000"} if environment is None else environment,
        artifact=model.Artifact(f"s3://{BUCKET}/models", layout=layout),
        aws=model.Aws("123456789012", "us-east-1", ROLE),
        endpoint=endpoint(changes.pop("endpoint_name", name), **changes),
        sample=None,
        sandbox=True,
    )


def lock() -> Lock:
    return Lock(
        spec_digest=Digest.sha256(b"spec"),
        revision=Revision("stabilityai/stable-video-diffusion-img2vid-xt-1-1", "0" * 40),
        files=(),
        excluded=(0, 0),
        image=f"huggingface-pytorch-inference:{IMAGE}",
        # The sandbox's digest of that tag.
        image_digest=Digest.sha256(f"huggingface-pytorch-inference:{IMAGE}".encode()),
        image_registry="763104351884.dkr.ecr.us-east-1.amazonaws.com",
    )


def deployment(name: str = "svd", *, manifest: Digest = MANIFEST, **changes: Any) -> Deployment:
    declared = spec(name, **changes)
    end = "" if declared.artifact.layout == "prefix" else "model.tar.gz"
    return Deployment.of(declared, lock(), f"s3://{BUCKET}/models/{name}/{manifest.short}/{end}", manifest)


def changed(value: Deployment, **changes: Any) -> Deployment:
    """The same deployment with another setting of the endpoint."""
    return dataclasses.replace(value, endpoint=structs.replace(value.endpoint, **changes))


def described(status: str, config: str = "svd-0123456789ab") -> dict[str, Any]:
    """The response of DescribeEndpoint for the endpoint svd."""
    return {
        "EndpointName": "svd",
        "EndpointArn": ARN,
        "EndpointConfigName": config,
        "EndpointStatus": status,
        "CreationTime": MOMENT,
        "LastModifiedTime": MOMENT,
    }


class RecordedProgress(Silent):
    """Progress that records its notes and warnings."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, warning: Diagnostic) -> None:
        self.notes += [f"warning: {line}" for line in warning.lines()]

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - nothing here has bytes to show
        yield lambda _count: None

    @property
    def text(self) -> str:
        return "\n".join(self.notes)


class FakeClock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waiter(self, timeout: float = 5400.0) -> WaiterConfig:
        return WaiterConfig(delay=15.0, timeout=timeout, sleep=self.sleep, clock=lambda: self.now)


def stubbed(*services: str) -> tuple[Aws, dict[str, Stubber]]:
    """A session whose clients return the responses that are added to their stubbers, in that order, and nothing else."""
    connection = AwsConnection("us-east-1", access_key="AKIA", secret_key="none")
    aws = Aws(connection)
    # One boto3 session for all: it caches the service models, and loading them takes most of the time.
    aws._session.__dict__["boto"] = _session(connection)._session.boto
    stubs = {service: Stubber(aws.client(service)) for service in services}
    for stub in stubs.values():
        stub.activate()
    return aws, stubs


def answering(aws: Aws, service: str, answers: Mapping[str, Document]) -> set[str]:
    """Let a client of the session answer each operation alike, in whatever order requests come that are sent side by side.

    Returns:
        the operations that were asked for, which grows.
    """
    asked: set[str] = set()

    def answer(model: OperationModel, **_: object) -> tuple[AWSResponse, Document]:
        asked.add(model.name)
        return AWSResponse("", 200, {}, None), answers[model.name]

    aws.client(service).meta.events.register_first("before-call", answer)
    return asked


def session_of(sandbox: Servers) -> Aws:
    """A session with the sandbox's AWS; its clients are made once, since that takes time."""
    return _session(AwsConnection(sandbox.region, None, sandbox.aws_url, sandbox.access_key, sandbox.secret_key))


@functools.cache
def _session(connection: AwsConnection) -> Aws:
    return Aws(connection)


def published(aws: Aws, value: Deployment) -> Deployment:
    """Put an object where the deployment's package should be: SageMaker checks that when the model is created."""
    bucket, _, key = value.model_data_uri.removeprefix("s3://").partition("/")
    aws.client("s3").put_object(Bucket=bucket, Key=f"{key}config.json" if key.endswith("/") else key, Body=b"a package")
    return value
