"""The spec as values: what the user wrote, merged with its overlay. `loader` reads it, `validate` judges it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

# A revision that is pinned: the full name of a commit.
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelSource:
    """Which files of which repository of the Hugging Face Hub.

    Attributes:
        id: repository id, `owner/name`.
        revision: a commit of 40 hex digits; a branch or tag is accepted by `lock` alone.
        include: glob patterns of paths to take; empty means the default choice for the repository's layout.
        exclude: glob patterns of paths to leave out.
        variant: weight variant such as `fp16`; None takes fp16 where the repository has it whole.
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
    role: str
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

    target: str
    layout: str = "archive"
    reuse_from: tuple[str, ...] = ()
    sse: str | None = None
    kms_key_id: str | None = None
    expected_bucket_owner: str | None = None
    storage_class: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AsyncInference:
    """Asynchronous settings (API reference: AsyncInferenceConfig). Paths default to `<bucket>/async/<endpoint>/`."""

    s3_output_path: str
    s3_failure_path: str
    max_concurrent_invocations_per_instance: int = 1
    success_topic: str | None = None
    error_topic: str | None = None


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
    """The endpoint as SageMaker is asked for it; names follow the API's, time-outs are seconds."""

    name: str
    instance_type: str
    asynchronous: AsyncInference
    initial_instance_count: int = 1
    model_data_download_timeout_in_seconds: int = 1800
    container_startup_health_check_timeout_in_seconds: int = 900
    volume_size_in_gb: int | None = None
    inference_ami_version: str | None = None
    enable_network_isolation: bool = False
    scaling: Scaling | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """A request to try the endpoint with: a JSON value `request`, or the path of a `file`."""

    request: Any = None
    file: str | None = None
    content_type: str = "application/json"


@dataclass(frozen=True)
class Spec:
    """One model and all that is declared about it, for one environment.

    Attributes:
        not_secret: files of the code, and the sample, that are published although they look like secrets.
        sandbox: whether the environment is the embedded sandbox.
    """

    name: str
    env: str
    model: ModelSource
    code: Code
    image: Image
    environment: dict[str, str]
    artifact: Artifact
    aws: Aws
    endpoint: Endpoint
    sample: Sample | None
    not_secret: tuple[str, ...] = ()
    sandbox: bool = False
