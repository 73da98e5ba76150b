"""The spec as values: the spec file merged with its overlays, and the defaults of what neither of them has.

Each field is a key of the spec, named like it. To add a key, add a field here and the key to `schemas/spec.schema.json`;
a value that AWS's own description of its services restricts gets the `member` of that description (see `keys.KeyFacts`).
"""
# Annotations are evaluated here, not postponed: `keys` reads them.

import re
from dataclasses import dataclass, field
from typing import Any

from sagepack.spec.keys import NOT_A_KEY, facts, keys_of

# A pinned revision: the full hash of a commit.
COMMIT = re.compile(r"[0-9a-f]{40}")

_VARIANT = ("sagemaker", "ProductionVariant")
_ASYNC = ("sagemaker", "AsyncInferenceConfig")
_TAG = (("sagemaker", "Tag", "Key"), ("sagemaker", "Tag", "Value"))
_ENVIRONMENT = ("sagemaker", "ContainerDefinition", "Environment")


def _without_final_slash(uri: str) -> str:
    return uri.rstrip("/")


def _without_final_slashes(uris: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_without_final_slash, uris))


@dataclass(frozen=True)
class ModelSource:
    """Which files of which repository of the Hugging Face Hub.

    Attributes:
        id: repository id, `owner/name`.
        revision: a commit of 40 hex digits; a branch or tag is accepted by `lock` alone.
        include: glob patterns of paths to take; empty means the default choice for the repository's layout.
        exclude: glob patterns of paths to leave out.
        variant: weight variant such as `fp16`; None takes fp16 if every component has it, else full precision.
    """

    id: str
    revision: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    variant: str | None = None


@dataclass(frozen=True)
class Code:
    """The folder of inference code (becomes `code/`) and extra requirements for the image (pinned with `==`)."""

    path: str
    requirements: tuple[str, ...] = ()


@dataclass(frozen=True)
class Image:
    """An AWS deep learning container image, by tag; the lock adds the digest.

    Attributes:
        account: registry account; None means the one AWS documents for the region.
    """

    repository: str
    tag: str
    account: str | None = None


@dataclass(frozen=True)
class Aws:
    """Where things are deployed: account, region, execution role, and the AWS profile to use."""

    account: str
    region: str
    role: str = field(metadata=facts(member=("sagemaker", "CreateModelInput", "ExecutionRoleArn")))
    profile: str | None = None


@dataclass(frozen=True)
class Artifact:
    """The published form of a package.

    Attributes:
        target: `s3://bucket/prefix` under which every package gets a key of its own.
        layout: `archive` (one model.tar.gz) or `prefix` (uncompressed objects under an S3 prefix).
        reuse_from: further `s3://bucket/prefix` targets to copy contents from.
        sse: None (the bucket's default), `AES256` or `aws:kms`; with `kms_key_id` for the latter.
        expected_bucket_owner: account the bucket must belong to.
        storage_class: S3 storage class of what is published; None means STANDARD.
        tags: object tags.
    """

    target: str = field(
        metadata=facts(member=("sagemaker", "ContainerDefinition", "ModelDataUrl"), normalize=_without_final_slash)
    )
    layout: str = "archive"
    reuse_from: tuple[str, ...] = field(default=(), metadata=facts(normalize=_without_final_slashes))
    sse: str | None = field(default=None, metadata=facts(member=("s3", "PutObjectRequest", "ServerSideEncryption")))
    kms_key_id: str | None = field(
        default=None, metadata=facts(member=("sagemaker", "CreateEndpointConfigInput", "KmsKeyId"))
    )
    expected_bucket_owner: str | None = None
    storage_class: str | None = field(default=None, metadata=facts(member=("s3", "PutObjectRequest", "StorageClass")))
    # S3's description sets no bounds for tags; its user guide has those of every service's tags.
    tags: dict[str, str] = field(default_factory=dict, metadata=facts(entries=_TAG))


@dataclass(frozen=True)
class AsyncInference:
    """Asynchronous inference, as in AsyncInferenceConfig of SageMaker's API reference.

    Results and failures go next to the target by default, never under it: what is under the target belongs to publishing.
    """

    s3_output_path: str = field(
        metadata=facts(
            member=(*_ASYNC, "OutputConfig", "S3OutputPath"), default="s3://{bucket}/async/{endpoint}/output/"
        )
    )
    s3_failure_path: str = field(
        metadata=facts(
            member=(*_ASYNC, "OutputConfig", "S3FailurePath"), default="s3://{bucket}/async/{endpoint}/failure/"
        )
    )
    max_concurrent_invocations_per_instance: int = field(
        default=1, metadata=facts(member=(*_ASYNC, "ClientConfig", "MaxConcurrentInvocationsPerInstance"))
    )
    success_topic: str | None = field(
        default=None, metadata=facts(member=(*_ASYNC, "OutputConfig", "NotificationConfig", "SuccessTopic"))
    )
    error_topic: str | None = field(
        default=None, metadata=facts(member=(*_ASYNC, "OutputConfig", "NotificationConfig", "ErrorTopic"))
    )


@dataclass(frozen=True)
class Scaling:
    """Bounds and targets of Application Auto Scaling; `min_capacity` 0 lets the endpoint sleep."""

    min_capacity: int
    max_capacity: int
    target_backlog_per_instance: float = 5.0
    scale_in_cooldown: int = 300
    scale_out_cooldown: int = 300


@dataclass(frozen=True)
class Endpoint:
    """The endpoint and its one production variant. Names follow SageMaker's API; time-outs are in seconds."""

    name: str = field(metadata=facts(member=("sagemaker", "CreateEndpointInput", "EndpointName")))
    instance_type: str = field(metadata=facts(member=(*_VARIANT, "InstanceType")))
    asynchronous: AsyncInference = field(metadata=facts(name="async"))  # `async` is a word of Python
    initial_instance_count: int = field(default=1, metadata=facts(member=(*_VARIANT, "InitialInstanceCount")))
    model_data_download_timeout_in_seconds: int = field(
        default=1800, metadata=facts(member=(*_VARIANT, "ModelDataDownloadTimeoutInSeconds"))
    )
    container_startup_health_check_timeout_in_seconds: int = field(
        default=900, metadata=facts(member=(*_VARIANT, "ContainerStartupHealthCheckTimeoutInSeconds"))
    )
    volume_size_in_gb: int | None = field(default=None, metadata=facts(member=(*_VARIANT, "VolumeSizeInGB")))
    inference_ami_version: str | None = field(default=None, metadata=facts(member=(*_VARIANT, "InferenceAmiVersion")))
    enable_network_isolation: bool = False
    scaling: Scaling | None = None
    tags: dict[str, str] = field(
        default_factory=dict, metadata=facts(member=("sagemaker", "CreateEndpointInput", "Tags"), entries=_TAG)
    )


@dataclass(frozen=True)
class Sample:
    """A request to try the endpoint with: a JSON value `request`, or the path of a `file`."""

    request: Any = None
    file: str | None = None
    content_type: str = "application/json"


@dataclass(frozen=True)
class Spec:
    """One model and everything that is declared about it, for one environment.

    Attributes:
        name: name of the model's packages.
        env: the environment: name of the overlay, which is no key of the spec.
        environment: environment variables of the container.
        sample: a request to try the endpoint with.
        not_secret: files of the code, and the sample, that are published although they look like secrets.
        sandbox: whether the environment is the embedded sandbox.
    """

    name: str
    env: str = field(metadata=NOT_A_KEY)
    model: ModelSource
    code: Code
    image: Image
    artifact: Artifact
    aws: Aws
    endpoint: Endpoint
    environment: dict[str, str] = field(
        default_factory=dict,
        metadata=facts(member=_ENVIRONMENT, entries=((*_ENVIRONMENT, "{key}"), (*_ENVIRONMENT, "{value}"))),
    )
    sample: Sample | None = None
    not_secret: tuple[str, ...] = ()
    sandbox: bool = False


# Every key of a spec that holds a value, in the order above.
KEYS = tuple(keys_of(Spec))
