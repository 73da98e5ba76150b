"""Single values against AWS's own description of its services, as the installed botocore ships it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.service_model import Shape, shape
from sagepack.errors import Diagnostic
from sagepack.spec.rules.secrets import safe
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

_VARIANT = ("sagemaker", "ProductionVariant")
_ASYNC = ("sagemaker", "AsyncInferenceConfig")
_TAG = ("sagemaker", "Tag")

# Key of the spec -> member of the service's description.
MEMBERS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("aws", "role"): ("sagemaker", "CreateModelInput", "ExecutionRoleArn"),
    ("artifact", "kms_key_id"): ("sagemaker", "CreateEndpointConfigInput", "KmsKeyId"),
    ("artifact", "sse"): ("s3", "PutObjectRequest", "ServerSideEncryption"),
    ("artifact", "storage_class"): ("s3", "PutObjectRequest", "StorageClass"),
    ("artifact", "target"): ("sagemaker", "ContainerDefinition", "ModelDataUrl"),
    ("endpoint", "name"): ("sagemaker", "CreateEndpointInput", "EndpointName"),
    ("endpoint", "instance_type"): (*_VARIANT, "InstanceType"),
    ("endpoint", "initial_instance_count"): (*_VARIANT, "InitialInstanceCount"),
    ("endpoint", "model_data_download_timeout_in_seconds"): (*_VARIANT, "ModelDataDownloadTimeoutInSeconds"),
    ("endpoint", "container_startup_health_check_timeout_in_seconds"): (
        *_VARIANT,
        "ContainerStartupHealthCheckTimeoutInSeconds",
    ),
    ("endpoint", "volume_size_in_gb"): (*_VARIANT, "VolumeSizeInGB"),
    ("endpoint", "inference_ami_version"): (*_VARIANT, "InferenceAmiVersion"),
    ("endpoint", "tags"): ("sagemaker", "CreateEndpointInput", "Tags"),
    ("endpoint", "async", "s3_output_path"): (*_ASYNC, "OutputConfig", "S3OutputPath"),
    ("endpoint", "async", "s3_failure_path"): (*_ASYNC, "OutputConfig", "S3FailurePath"),
    ("endpoint", "async", "success_topic"): (*_ASYNC, "OutputConfig", "NotificationConfig", "SuccessTopic"),
    ("endpoint", "async", "error_topic"): (*_ASYNC, "OutputConfig", "NotificationConfig", "ErrorTopic"),
    ("endpoint", "async", "max_concurrent_invocations_per_instance"): (
        *_ASYNC,
        "ClientConfig",
        "MaxConcurrentInvocationsPerInstance",
    ),
    ("environment",): ("sagemaker", "ContainerDefinition", "Environment"),
}
# Maps of the spec -> members that describe their keys and values.
ENTRIES: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("environment",): (
        ("sagemaker", "ContainerDefinition", "Environment", "{key}"),
        ("sagemaker", "ContainerDefinition", "Environment", "{value}"),
    ),
    ("endpoint", "tags"): ((*_TAG, "Key"), (*_TAG, "Value")),
    # S3's description sets no bounds; its guide has those of every service's tags.
    ("artifact", "tags"): ((*_TAG, "Key"), (*_TAG, "Value")),
}
_KINDS: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "map": dict, "list": (list, dict)}


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Every value that a service's description bounds."""
    for path, member in MEMBERS.items():
        value = view.get(*path)
        found = shape(*member)
        if isinstance(value, _KINDS[found.kind]) and not isinstance(value, bool):
            yield from _judge(path, value, found)
    for path, (key_member, value_member) in ENTRIES.items():
        for key, value in view.text_map(*path).items():
            for part, text, member in (("name", key, key_member), ("value", value, value_member)):
                if problem := shape(*member).problem(text):
                    what = safe((*path, key), text) if part == "value" else f"the name {key!r}"
                    yield Diagnostic((*path, key), f"{what} {problem}")


def _judge(path: KeyPath, value: Any, found: Shape) -> Iterator[Diagnostic]:
    problem = found.problem(value)
    if problem is None:
        return
    fix = None
    if found.enum:
        fix = did_you_mean(str(value), found.enum) or f"known are: {one_of(_likely(str(value), found.enum))}"
    what = f"with {len(value)} entries it" if isinstance(value, (dict, list)) else safe(path, value)
    yield Diagnostic(path, f"{what} {problem}", fix)


def _likely(value: str, enum: tuple[str, ...]) -> list[str]:
    """The members of a long enum that a reader may have meant: those of the same family first."""
    family = value.rpartition(".")[0]
    return sorted(enum, key=lambda name: not (family and name.startswith(f"{family}.")))
