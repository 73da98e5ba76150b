"""Everything an endpoint should be, as one value, and its rendering as requests of the SageMaker API.

Models and endpoint configurations cannot be changed once they exist, so each is named by the digest of its own request: equal
requests have equal names, and any change gives another name. The endpoint keeps its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from sagepack.deploy.rollout import deployment_config
from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError
from sagepack.spec.keys import request_members

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.package.lock import Lock
    from sagepack.spec.model import Endpoint, Spec

VARIANT_NAME = "AllTraffic"
MAX_NAME_LENGTH = 63  # characters; of every name in SageMaker's API
_DIGEST_LENGTH = 12  # hex digits at the end of the name of a model or configuration
TAG_PREFIX = "sagepack:"
TAG_ENDPOINT, TAG_NAME, TAG_ENV, TAG_MANIFEST, TAG_RELEASE, TAG_FAILED = (
    f"{TAG_PREFIX}{name}" for name in ("endpoint", "name", "env", "manifest", "release", "failed")
)
TAG_MANAGED_BY = f"{TAG_PREFIX}managed-by"
"""The tag of what another tool manages, from an export: `cloudformation`, `cdk` or `terraform`."""
_S3_DATA_SOURCE = {
    "archive": {"S3DataType": "S3Object", "CompressionType": "Gzip"},
    "prefix": {"S3DataType": "S3Prefix", "CompressionType": "None"},
}


@dataclass(frozen=True)
class Owner:
    """The spec, environment and endpoint to which resources in AWS belong; their tags name it.

    Attributes:
        endpoint_name: name of the endpoint.
        name, env: the spec's name and environment.
    """

    endpoint_name: str
    name: str
    env: str

    @classmethod
    def of(cls, spec: Spec) -> Owner:
        """The owner that `spec` declares."""
        return cls(spec.endpoint.name, spec.name, spec.env)

    @property
    def tags(self) -> dict[str, str]:
        """Tags of every resource that belongs to this owner."""
        return {TAG_ENDPOINT: self.endpoint_name, TAG_NAME: self.name, TAG_ENV: self.env}

    @property
    def name_prefix(self) -> str:
        """The beginning of the names of models and configurations, short enough for `-` and the digest after it."""
        return self.endpoint_name[: MAX_NAME_LENGTH - _DIGEST_LENGTH - 1].rstrip("-")

    def matches_name(self, name: str) -> bool:
        """Whether `name` has the form of a name that this owner gives to models and configurations.

        Names of other owners may have that form too: `owns` decides.
        """
        return re.fullmatch(re.escape(self.name_prefix) + f"-[0-9a-f]{{{_DIGEST_LENGTH}}}", name) is not None

    def owns(self, tags: dict[str, str]) -> bool:
        """Whether a resource with `tags` belongs to this owner."""
        return self.tags.items() <= tags.items()


class ReleaseTag(NamedTuple):
    """The last release of an endpoint that was tried and recorded: the text of the endpoint's tag `sagepack:release`.

    It is set last of all, so an endpoint that serves another configuration has a deployment that did not end. The tag
    `sagepack:failed` tells in the same way of the last deployment that failed its smoke test.

    Attributes:
        config: name of its configuration.
        time: the time of its record, as in the record's key; of a failure when it was seen.
    """

    config: str
    time: str

    @classmethod
    def of(cls, tags: dict[str, str]) -> ReleaseTag | None:
        """What the tags of an endpoint say; None if nothing was released yet."""
        return cls._of(tags.get(TAG_RELEASE, ""))

    @classmethod
    def failed_since(cls, tags: dict[str, str]) -> ReleaseTag | None:
        """The deployment that failed its smoke test after the last release; None if none did."""
        failed, released = cls._of(tags.get(TAG_FAILED, "")), cls.of(tags)
        return failed if failed and (released is None or released.time < failed.time) else None

    @classmethod
    def _of(cls, text: str) -> ReleaseTag | None:
        config, separator, time = text.partition("/")
        return cls(config, time) if separator else None

    @property
    def tags(self) -> dict[str, str]:
        """The tag of a release."""
        return {TAG_RELEASE: "/".join(self)}

    @property
    def failed_tags(self) -> dict[str, str]:
        """The tag of a deployment that failed."""
        return {TAG_FAILED: "/".join(self)}


@dataclass(frozen=True)
class Deployment:
    """Everything an endpoint should be.

    Attributes:
        owner: the owner of the endpoint.
        endpoint: the declared settings of the endpoint.
        role_arn: execution role.
        image_uri: container image, by digest.
        model_data_uri: the published package: `s3://.../model.tar.gz`, or a prefix that ends in `/`.
        layout: `archive` or `prefix`.
        manifest_digest: identity of the package.
        environment: environment variables of the container.
        model_etag: the ETag of the archive that was signed, which SageMaker is told; None if there is no signature, or no archive.
    """

    owner: Owner
    endpoint: Endpoint
    role_arn: str
    image_uri: str
    model_data_uri: str
    layout: str
    manifest_digest: Digest
    environment: dict[str, str]
    model_etag: str | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, spec: Spec, lock: Lock, model_data_uri: str, manifest_digest: Digest) -> Deployment:
        """The deployment of the package at `model_data_uri`.

        Raises:
            UserError: the URI does not fit the spec's `artifact.layout`.
        """
        layout = spec.artifact.layout
        if model_data_uri.endswith("/") != (layout == "prefix"):
            raise UserError(
                f"{model_data_uri} is not an artifact of layout {layout!r}", fix="publish the package again"
            )
        return cls(
            owner=Owner.of(spec),
            endpoint=spec.endpoint,
            role_arn=spec.aws.role,
            image_uri=lock.image_uri,
            model_data_uri=model_data_uri,
            layout=layout,
            manifest_digest=manifest_digest,
            environment=dict(spec.environment),
        )

    def pinned(self, etag: str | None) -> Deployment:
        """The same deployment of an archive with this ETag, with its quotes; a prefix has none."""
        return replace(self, model_etag=etag if self.layout == "archive" else None)

    @cached_property
    def create_model_request(self) -> Document:
        """The CreateModel request.

        The ETag is no part of the digest in the name: it is known when the archive is published, and the name before that.
        """
        data_source = {"S3Uri": self.model_data_uri, **_S3_DATA_SOURCE[self.layout]}
        request = {
            "PrimaryContainer": {
                "Image": self.image_uri,
                "ModelDataSource": {"S3DataSource": data_source},
                "Environment": dict(self.environment),
            },
            "ExecutionRoleArn": self.role_arn,
            "EnableNetworkIsolation": self.endpoint.enable_network_isolation,
            **(request_members(self.endpoint.vpc, "sagemaker", "CreateModelInput") if self.endpoint.vpc else {}),
        }
        name = self._name_of(request)
        if self.model_etag is not None:
            data_source["ETag"] = self.model_etag.strip('"')
        return {"ModelName": name, **request, "Tags": tag_list(self.tags)}

    @cached_property
    def create_endpoint_config_request(self) -> Document:
        """The CreateEndpointConfig request."""
        endpoint = self.endpoint
        variant = {
            "VariantName": VARIANT_NAME,
            "ModelName": self.model_name,
            **request_members(endpoint, "sagemaker", "ProductionVariant"),
        }
        request = {
            "ProductionVariants": [variant],
            "AsyncInferenceConfig": request_members(endpoint.asynchronous, "sagemaker", "AsyncInferenceConfig"),
            **request_members(endpoint, "sagemaker", "CreateEndpointConfigInput"),
        }
        return {"EndpointConfigName": self._name_of(request), **request, "Tags": tag_list(self.tags)}

    @property
    def create_endpoint_request(self) -> Document:
        """The CreateEndpoint request."""
        return {
            "EndpointName": self.endpoint_name,
            "EndpointConfigName": self.endpoint_config_name,
            "Tags": tag_list(self.tags),
        }

    def update_endpoint_request(self, *, retain_instance_count: bool, instances: int | None = None) -> Document:
        """The UpdateEndpoint request.

        Args:
            retain_instance_count: keep the number of instances that automatic scaling chose. Without it SageMaker goes back
                to the initial count (API reference, UpdateEndpoint, RetainAllVariantProperties).
            instances: that it keeps; None for the initial count.
        """
        rolled_out = deployment_config(self.endpoint, instances or self.endpoint.initial_instance_count)
        request: Document = {
            "EndpointName": self.endpoint_name,
            "EndpointConfigName": self.endpoint_config_name,
            **({"DeploymentConfig": rolled_out} if rolled_out else {}),
        }
        if not retain_instance_count:
            return {**request, "RetainAllVariantProperties": False}
        return {
            **request,
            "RetainAllVariantProperties": True,
            "ExcludeRetainedVariantProperties": [{"VariantPropertyType": "DesiredWeight"}],
        }

    @property
    def endpoint_name(self) -> str:
        """Name of the endpoint."""
        return self.endpoint.name

    @property
    def model_name(self) -> str:
        """Name of the model, with the digest of its request."""
        return str(self.create_model_request["ModelName"])

    @property
    def endpoint_config_name(self) -> str:
        """Name of the endpoint configuration, with the digest of its request."""
        return str(self.create_endpoint_config_request["EndpointConfigName"])

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the endpoint, its model and its configuration: the declared ones, and those of the owner.

        They are no part of the digest in a name: tags can be changed in place, without starting new instances.
        """
        return {**self.endpoint.tags, **self.owner.tags, TAG_MANIFEST: str(self.manifest_digest)}

    def _name_of(self, request: Document) -> str:
        return f"{self.owner.name_prefix}-{fingerprint(request).value[:_DIGEST_LENGTH]}"


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """`tags` as the AWS APIs take them, sorted by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def owner_tags(tags: dict[str, str]) -> str:
    """Those of `tags` that say to whom a resource belongs, for a message; its name says the endpoint."""
    found = [f"{key}={tags[key]}" for key in (TAG_ENV, TAG_NAME) if key in tags]
    return ", ".join(found) or "no sagepack tags"
