"""A release that was made before, as a `Deployment`: its model and its configuration exist in SageMaker already.

The reconciler makes an endpoint serve it like any other, whatever the spec says today. Names are those that the release has,
since another version of this program, or another spec, may give others. Model and configuration are as AWS describes them; the
scaling and the tags are in neither, so they are those that the record keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws import sagemaker
from sagepack.decoding import MalformedError, convert
from sagepack.deploy.deployment import TAG_MANIFEST, Deployment, Owner, tag_list
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.spec.model import Endpoint, InstancePool

if TYPE_CHECKING:
    from sagepack.aws.session import Aws, Document
    from sagepack.deploy.record import DeploymentRecord

# What a description has and the request does not.
_DESCRIBED_ONLY = frozenset(
    {"ModelArn", "EndpointConfigArn", "CreationTime", "DeploymentRecommendation", "ResponseMetadata"}
)

_AGAIN = "deploy the spec and code that it was made from, which makes it again"


class _DataSource(msgspec.Struct, rename="pascal"):
    s3_uri: str = msgspec.field(name="S3Uri")
    etag: str | None = msgspec.field(name="ETag", default=None)


class _ModelDataSource(msgspec.Struct, rename="pascal"):
    source: _DataSource = msgspec.field(name="S3DataSource")


class _Container(msgspec.Struct, rename="pascal"):
    image: str
    model_data_source: _ModelDataSource
    environment: dict[str, str] = {}


class _Model(msgspec.Struct, rename="pascal"):
    """The fields of DescribeModel that models of this program have."""

    model_arn: str
    primary_container: _Container
    execution_role_arn: str


@dataclass(frozen=True)
class RecordedDeployment(Deployment):
    """A deployment whose model and configuration exist.

    Attributes:
        model_description: the response of DescribeModel.
        config_description: the response of DescribeEndpointConfig.
    """

    model_description: Document
    config_description: Document

    @cached_property
    def create_model_request(self) -> Document:
        """The CreateModel request that would make the model again."""
        return self._request(self.model_description)

    @cached_property
    def create_endpoint_config_request(self) -> Document:
        """The CreateEndpointConfig request that would make the configuration again."""
        return self._request(self.config_description)

    def _request(self, description: Document) -> Document:
        request = {key: value for key, value in description.items() if key not in _DESCRIBED_ONLY}
        return {**request, "Tags": tag_list(self.tags)}


def of_record(aws: Aws, record: DeploymentRecord) -> RecordedDeployment:
    """The deployment that a record tells of.

    Raises:
        UserError: its model or its configuration was deleted, or the record is not one that this version understands.
        RemoteError: AWS failed after retries.
    """
    owner = Owner(record.endpoint, record.name, record.env)
    again = f"deploy commit {record.commit} of the project, which makes it again" if record.commit else _AGAIN
    return of_config(aws, owner, record.config, settings_of(record), again=again)


def of_config(
    aws: Aws, owner: Owner, config_name: str, endpoint: Endpoint, *, again: str = _AGAIN
) -> RecordedDeployment:
    """The deployment of a configuration that exists.

    Args:
        aws: the session.
        owner: the owner of the endpoint.
        config_name: name of the configuration.
        endpoint: the settings that AWS keeps in no configuration: scaling and tags. Of the others those of the configuration
            count.
        again: what to do if configuration or model were deleted.

    Raises:
        UserError: they were deleted, or are not as this program makes them.
        RemoteError: AWS failed after retries.
    """
    config = sagemaker.describe_endpoint_config(aws, config_name)
    if config is None:
        raise UserError(
            "the endpoint configuration was deleted", where=f"endpoint configuration {config_name}", fix=again
        )
    model_name = config.variant.model_name or ""
    description = sagemaker.describe_model(aws, model_name)
    if description is None:
        raise UserError("the model was deleted", where=f"model {model_name}", fix=again)
    try:
        model = convert(description, _Model)
        manifest = Digest.parse(sagemaker.list_tags(aws, model.model_arn).get(TAG_MANIFEST, ""))
    except ValueError as error:
        raise UserError(f"another program made this model: {error}", where=f"model {model_name}", fix=again) from error
    source = model.primary_container.model_data_source.source
    uri = source.s3_uri
    return RecordedDeployment(
        owner=owner,
        endpoint=_as_configured(endpoint, config),
        role_arn=model.execution_role_arn,
        image_uri=model.primary_container.image,
        model_data_uri=uri,
        layout="prefix" if uri.endswith("/") else "archive",
        manifest_digest=manifest,
        environment=model.primary_container.environment,
        model_etag=source.etag,
        model_description=description,
        config_description=config.description,
    )


def settings_of(record: DeploymentRecord) -> Endpoint:
    """The settings of the endpoint at the time of a record.

    Raises:
        UserError: this version does not understand them.
    """
    try:
        return convert(record.settings, Endpoint)
    except MalformedError as error:
        fix = "deploy with the version of sagepack that wrote the record, or deploy its commit again"
        where = f"record of {record.config}, {record.deployed:%Y-%m-%dT%H:%M:%SZ}"
        raise UserError(f"the settings are none of this version of sagepack: {error}", where=where, fix=fix) from error


def _as_configured(endpoint: Endpoint, config: sagemaker.EndpointConfig) -> Endpoint:
    """The settings with the instance types of the configuration, which decide how an update to it is made.

    A release that served before is put back at once: it was tried, and an alarm that is on because of what it replaces would
    roll the way back back.
    """
    variant, kind, pools = config.variant, endpoint.instance_type, endpoint.instance_pools
    if variant.instance_types:
        kind = variant.instance_type
        named = ((pool.instance_type, pool.priority) for pool in variant.instance_pools)
        pools = tuple(InstancePool(each, priority) for each, priority in named if each)
    return msgspec.structs.replace(endpoint, instance_type=kind, instance_pools=pools, update=None)
