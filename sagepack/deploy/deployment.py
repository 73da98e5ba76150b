"""Everything an endpoint should be, as one value, and its rendering as the requests of the SageMaker API.

Models and endpoint configurations cannot be changed once they exist, so each is named by the digest of its own request: the
same request has the same name for ever, and any change has another. The endpoint's name stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.package.lock import Lock
    from sagepack.spec.model import AsyncInference, Endpoint, Spec

VARIANT = "AllTraffic"
NAME_LIMIT = 63  # characters; every name of SageMaker's API
_DIGITS = 12
TAG_ENDPOINT, TAG_NAME, TAG_ENV, TAG_MANIFEST = (
    "sagepack:endpoint",
    "sagepack:name",
    "sagepack:env",
    "sagepack:manifest",
)


@dataclass(frozen=True)
class Owner:
    """Whose endpoint it is: what the tags of everything made for it say.

    Attributes:
        endpoint: name of the endpoint.
        name, env: the spec's name and environment.
    """

    endpoint: str
    name: str
    env: str

    @classmethod
    def of(cls, spec: Spec) -> Owner:
        """The owner that `spec` declares."""
        return cls(spec.endpoint.name, spec.name, spec.env)

    @property
    def tags(self) -> dict[str, str]:
        """Tags that mark a resource as this owner's."""
        return {TAG_ENDPOINT: self.endpoint, TAG_NAME: self.name, TAG_ENV: self.env}

    @property
    def base(self) -> str:
        """What the names of models and configurations start with; leaves room for the digest."""
        return self.endpoint[: NAME_LIMIT - _DIGITS - 1].rstrip("-")

    def names(self, text: str) -> bool:
        """Whether `text` is the name of a model or configuration made for this owner; the tags have the last word."""
        return re.fullmatch(re.escape(self.base) + f"-[0-9a-f]{{{_DIGITS}}}", text) is not None

    def owns(self, tags: dict[str, str]) -> bool:
        """Whether `tags` mark a resource as this owner's."""
        return self.tags.items() <= tags.items()


@dataclass(frozen=True)
class Deployment:
    """What an endpoint should be.

    Attributes:
        owner: whose endpoint it is.
        endpoint: its settings.
        role: execution role.
        image: container image by digest.
        uri: the published package: `s3://.../model.tar.gz`, or a prefix that ends in `/`.
        layout: `archive` or `prefix`.
        manifest: identity of the package.
        environment: environment variables of the container.
    """

    owner: Owner
    endpoint: Endpoint
    role: str
    image: str
    uri: str
    layout: str
    manifest: Digest
    environment: dict[str, str]

    @classmethod
    def of(cls, spec: Spec, lock: Lock, uri: str, manifest: Digest) -> Deployment:
        """The deployment of the package at `uri`, whose identity is `manifest`.

        Raises:
            UserError: `uri` does not fit the layout of the spec's artifact.
        """
        layout = spec.artifact.layout
        if uri.endswith("/") != (layout == "prefix"):
            raise UserError(f"{uri} is not an artifact of layout {layout!r}", fix="publish the package again")
        return cls(
            Owner.of(spec),
            spec.endpoint,
            spec.aws.role,
            lock.image_uri,
            uri,
            layout,
            manifest,
            dict(spec.environment),
        )

    @cached_property
    def model(self) -> dict[str, Any]:
        """The CreateModel request."""
        request = {
            "PrimaryContainer": {
                "Image": self.image,
                "ModelDataSource": {"S3DataSource": {"S3Uri": self.uri, **_DATA[self.layout]}},
                "Environment": dict(self.environment),
            },
            "ExecutionRoleArn": self.role,
            "EnableNetworkIsolation": self.endpoint.enable_network_isolation,
        }
        return {"ModelName": self._named(request), **request, "Tags": tag_list(self.tags)}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The CreateEndpointConfig request."""
        request = {
            "ProductionVariants": [self._variant()],
            "AsyncInferenceConfig": _asynchronous(self.endpoint.asynchronous),
            # Said because the default for new configurations is to ask the container for :8080/metrics, and the
            # server of this image has no such page.
            "MetricsConfig": {"EnableDetailedObservability": False},
        }
        return {"EndpointConfigName": self._named(request), **request, "Tags": tag_list(self.tags)}

    @property
    def request(self) -> dict[str, Any]:
        """The CreateEndpoint request."""
        return {"EndpointName": self.name, "EndpointConfigName": self.config_name, "Tags": tag_list(self.tags)}

    def update(self, *, retain: bool) -> dict[str, Any]:
        """The UpdateEndpoint request.

        Args:
            retain: keep the number of instances that automatic scaling chose; without it SageMaker goes back to the
                initial count (API reference, UpdateEndpoint, RetainAllVariantProperties).
        """
        request: dict[str, Any] = {"EndpointName": self.name, "EndpointConfigName": self.config_name}
        if not retain:
            return {**request, "RetainAllVariantProperties": False}
        return {
            **request,
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [
                {"VariantPropertyType": "DesiredWeight"},
                {"VariantPropertyType": "DataCaptureConfig"},
            ],
        }

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.endpoint.name

    @property
    def model_name(self) -> str:
        """Name of the model, by the digest of its request."""
        return str(self.model["ModelName"])

    @property
    def config_name(self) -> str:
        """Name of the endpoint configuration, by the digest of its request."""
        return str(self.config["EndpointConfigName"])

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the endpoint, its model and its configuration: the spec's, then ours.

        They are no part of a name: tags can be changed in place, and a new one is no reason to start new instances.
        """
        return {**self.endpoint.tags, **self.owner.tags, TAG_MANIFEST: str(self.manifest)}

    def _named(self, request: dict[str, Any]) -> str:
        return f"{self.owner.base}-{fingerprint(request).value[:_DIGITS]}"

    def _variant(self) -> dict[str, Any]:
        endpoint = self.endpoint
        variant = {
            "VariantName": VARIANT,
            "ModelName": self.model_name,
            "InitialInstanceCount": endpoint.initial_instance_count,
            "InstanceType": endpoint.instance_type,
            "ModelDataDownloadTimeoutInSeconds": endpoint.model_data_download_timeout_in_seconds,
            "ContainerStartupHealthCheckTimeoutInSeconds": endpoint.container_startup_health_check_timeout_in_seconds,
            "VolumeSizeInGB": endpoint.volume_size_in_gb,
            "InferenceAmiVersion": endpoint.inference_ami_version,
        }
        return _without_none(variant)


_DATA = {
    "archive": {"S3DataType": "S3Object", "CompressionType": "Gzip"},
    "prefix": {"S3DataType": "S3Prefix", "CompressionType": "None"},
}


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """`tags` as the API takes them, in a steady order."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _asynchronous(settings: AsyncInference) -> dict[str, Any]:
    topics = _without_none({"SuccessTopic": settings.success_topic, "ErrorTopic": settings.error_topic})
    output: dict[str, Any] = {"S3OutputPath": settings.s3_output_path, "S3FailurePath": settings.s3_failure_path}
    return {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": settings.max_concurrent_invocations_per_instance},
        "OutputConfig": {**output, "NotificationConfig": topics} if topics else output,
    }


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
