"""SageMaker's control plane and asynchronous invocation: one function for each operation of the API.

A resource that does not exist is None where it is described, and no error where it is deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from sagepack.aws.session import aws_call, checked_response, error_code
from sagepack.decoding import convert
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.exceptions import ClientError

    from sagepack.aws.session import Aws, Document

_Kind = TypeVar("_Kind")
S3Uri = Annotated[str, msgspec.Meta(pattern=r"\As3://[^/]+/.", max_length=2048)]
# Values of EndpointStatus (API reference, DescribeEndpoint) that SageMaker itself will change to another.
IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
# SageMaker has no error code of its own for a missing or existing resource: only the message tells.
_NOT_FOUND_CODES = {"ValidationException", "ValidationError", "ResourceNotFound", "ResourceNotFoundException"}
_NOT_FOUND_MESSAGE = "Could not find"
# What services respond to an operation that they do not know, in a region that is behind others, for example.
_UNKNOWN_OPERATION = {"UnknownOperationException", "UnknownOperation", "InvalidAction"}
_EXISTS_MESSAGE = "already existing"
_BUSY = re.compile(r'in-progress endpoint|already existing endpoint "')
# Model data that is missing in S3 begins with "Could not find model data".
_PAGES = {"PageSize": 100}  # the most of every listing; SageMaker's default is 10
_NOT_ASSUMED = "Could not assume role"
_REFERENCE_NOT_FOUND = re.compile(r'Could not find (?:model "|endpoint configuration)')


class ReferenceNotFoundError(RemoteError):
    """A request names a model or an endpoint configuration that SageMaker does not find, or does not find yet.

    Its reads are eventually consistent: a resource may be found only some seconds after it was created.
    """


class RoleNotAssumedError(RemoteError):
    """SageMaker cannot assume the execution role, or cannot yet: IAM is eventually consistent, and a new role takes some seconds."""


class EndpointBusyError(RemoteError):
    """An endpoint is being changed by something else, or was created by it: the request fits what was there before.

    Automatic scaling, another deployment, or the same request whose response was lost and which was sent again.
    """

    cause = (
        "is being changed by something else (automatic scaling, another deployment, or a request whose answer was lost)"
    )


class DeployedImage(msgspec.Struct, rename="pascal", frozen=True):
    """An image as the model names it, and its digest that runs (API reference, DeployedImage)."""

    specified_image: str | None = None
    resolved_image: str | None = None


class PoolSummary(msgspec.Struct, rename="pascal", frozen=True):
    """How many instances of one type a variant with several has (API reference, InstancePoolSummary)."""

    instance_type: str
    current_instance_count: int


class EndpointVariant(msgspec.Struct, rename="pascal", frozen=True):
    """The instances of a variant of an endpoint (API reference, ProductionVariantSummary)."""

    variant_name: str
    current_instance_count: int | None = None
    desired_instance_count: int | None = None
    deployed_images: tuple[DeployedImage, ...] = ()
    instance_pools: tuple[PoolSummary, ...] = ()


class PendingDeployment(msgspec.Struct, rename="pascal", frozen=True):
    """The deployment in progress (API reference, PendingDeploymentSummary)."""

    endpoint_config_name: str


class Endpoint(msgspec.Struct, rename="pascal", frozen=True):
    """The fields of an endpoint that this program uses (API reference, DescribeEndpoint).

    `endpoint_config_name` is the configuration that serves, or with which the endpoint is being created; empty for an
    endpoint without one.
    """

    endpoint_arn: str
    endpoint_status: str
    last_modified_time: datetime
    endpoint_config_name: str = ""
    failure_reason: str | None = None
    pending_deployment_summary: PendingDeployment | None = None
    production_variants: tuple[EndpointVariant, ...] = ()
    creation_time: datetime | None = None

    @property
    def is_asleep(self) -> bool:
        """Whether it has no instances; a request in its queue wakes it."""
        return any(variant.current_instance_count == 0 for variant in self.production_variants)

    @property
    def in_progress(self) -> bool:
        """Whether SageMaker is creating, changing or deleting the endpoint now."""
        return self.endpoint_status in IN_PROGRESS

    @property
    def pending_endpoint_config_name(self) -> str | None:
        """The configuration of the deployment in progress."""
        return self.pending_deployment_summary.endpoint_config_name if self.pending_deployment_summary else None

    def desired_instance_count(self, variant_name: str) -> int | None:
        """The number of instances that SageMaker aims at now for a variant; None if it is not described."""
        variants = self.production_variants
        return next((each.desired_instance_count for each in variants if each.variant_name == variant_name), None)

    def deployed_image(self, variant_name: str) -> DeployedImage | None:
        """The image of the first container of a variant; None if it is not described."""
        images = (each.deployed_images for each in self.production_variants if each.variant_name == variant_name)
        return next((image for found in images for image in found), None)


class InstancePool(msgspec.Struct, rename="pascal", frozen=True):
    """Instances of one of several types of a variant, which may have a model of their own (API reference, InstancePool)."""

    model_name_override: str | None = None
    instance_type: str | None = None
    priority: int = 1


class ProductionVariant(msgspec.Struct, rename="pascal", frozen=True):
    """The model and the instance type of a variant of a configuration (API reference, ProductionVariant)."""

    model_name: str | None = None
    instance_type: str | None = None
    instance_pools: tuple[InstancePool, ...] = ()

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The types that instances may have, in the order in which they are tried."""
        pools = sorted(self.instance_pools, key=lambda pool: pool.priority)
        named = (self.instance_type, *(pool.instance_type for pool in pools))
        return tuple(kind for kind in named if kind)


@dataclass(frozen=True)
class EndpointConfig:
    """An endpoint configuration.

    Attributes:
        production_variants: its variants.
        description: the whole response of DescribeEndpointConfig.
        shadow_variants: the variants that get a copy of the requests.
    """

    production_variants: tuple[ProductionVariant, ...]
    description: Document
    shadow_variants: tuple[ProductionVariant, ...] = ()

    @property
    def model_names(self) -> set[str]:
        """The models of all variants."""
        variants = (*self.production_variants, *self.shadow_variants)
        overrides = (pool.model_name_override for variant in variants for pool in variant.instance_pools)
        return {name for name in (*(variant.model_name for variant in variants), *overrides) if name}

    @property
    def variant(self) -> ProductionVariant:
        """The first variant, the only one of configurations that this program creates; without names if there is none."""
        return self.production_variants[0] if self.production_variants else ProductionVariant()


class AsyncInvocation(msgspec.Struct, rename="pascal", frozen=True):
    """Where the result of an asynchronous request will appear, or else its failure (API reference, InvokeEndpointAsync)."""

    output_location: S3Uri
    failure_location: S3Uri | None = None


class _EndpointConfigFields(msgspec.Struct, rename="pascal"):
    production_variants: tuple[ProductionVariant, ...] = ()
    shadow_production_variants: tuple[ProductionVariant, ...] = ()


class _Tag(msgspec.Struct, rename="pascal"):
    key: str
    value: str


class _EndpointSummary(msgspec.Struct, rename="pascal"):
    endpoint_name: str


class _EndpointConfigSummary(msgspec.Struct, rename="pascal"):
    endpoint_config_name: str
    endpoint_config_arn: str


class ModelSummary(msgspec.Struct, rename="pascal", frozen=True):
    """A model in a listing."""

    model_name: str
    model_arn: str
    creation_time: datetime


class _S3DataSource(msgspec.Struct, rename="pascal"):
    s3_uri: str


class _DataSource(msgspec.Struct, rename="pascal"):
    s3_data_source: _S3DataSource | None = None


class _Container(msgspec.Struct, rename="pascal"):
    model_data_url: str | None = None
    model_data_source: _DataSource | None = None
    additional_model_data_sources: tuple[_DataSource, ...] = ()

    @property
    def locations(self) -> set[str]:
        sources = (self.model_data_source, *self.additional_model_data_sources)
        found = {each.s3_data_source.s3_uri for each in sources if each and each.s3_data_source}
        return found | ({self.model_data_url} if self.model_data_url else set())


class _ModelFields(msgspec.Struct, rename="pascal"):
    primary_container: _Container | None = None
    containers: tuple[_Container, ...] = ()


class _ComponentContainer(msgspec.Struct, rename="pascal"):
    artifact_url: str | None = None


class _ComponentSpecification(msgspec.Struct, rename="pascal"):
    model_name: str | None = None
    container: _ComponentContainer | None = None


class InferenceComponent(msgspec.Struct, rename="pascal", frozen=True):
    """What an inference component of an endpoint runs (API reference, DescribeInferenceComponent)."""

    inference_component_name: str
    endpoint_name: str
    specification: _ComponentSpecification | None = None
    specifications: tuple[_ComponentSpecification, ...] = ()

    @property
    def model_names(self) -> set[str]:
        """The models that it names."""
        return {each.model_name for each in self._all if each.model_name}

    @property
    def locations(self) -> set[str]:
        """The model data that it loads without a model."""
        return {each.container.artifact_url for each in self._all if each.container and each.container.artifact_url}

    @property
    def _all(self) -> tuple[_ComponentSpecification, ...]:
        return (*((self.specification,) if self.specification else ()), *self.specifications)


class _InferenceComponentSummary(msgspec.Struct, rename="pascal"):
    inference_component_name: str


class _Destination(msgspec.Struct, rename="pascal"):
    resource_arn: str


class _RoutingTarget(msgspec.Struct, rename="pascal"):
    destinations: tuple[_Destination, ...] = ()


class InferenceRouter(msgspec.Struct, rename="pascal", frozen=True):
    """An inference router, which sends requests on to endpoints (API reference, DescribeInferenceRouter)."""

    inference_router_name: str
    routing_targets: tuple[_RoutingTarget, ...] = ()

    @property
    def destinations(self) -> set[str]:
        """ARNs of the endpoints."""
        return {each.resource_arn for target in self.routing_targets for each in target.destinations}


class _InferenceRouterSummary(msgspec.Struct, rename="pascal"):
    inference_router_name: str


def describe_endpoint(aws: Aws, name: str) -> Endpoint | None:
    """DescribeEndpoint, or None."""
    where = f"endpoint {name}"
    return _described(aws, "describe_endpoint", where, lambda found: convert(found, Endpoint), EndpointName=name)


def describe_endpoint_config(aws: Aws, name: str) -> EndpointConfig | None:
    """DescribeEndpointConfig, or None."""

    def read(found: Document) -> EndpointConfig:
        fields = convert(found, _EndpointConfigFields)
        return EndpointConfig(fields.production_variants, found, fields.shadow_production_variants)

    where = f"endpoint configuration {name}"
    return _described(aws, "describe_endpoint_config", where, read, EndpointConfigName=name)


def describe_model(aws: Aws, name: str) -> Document | None:
    """The response of DescribeModel, or None."""
    return _described(aws, "describe_model", f"model {name}", dict, ModelName=name)


def model_locations(description: Document) -> frozenset[str]:
    """The URIs of all model data in a response of DescribeModel: of every container, the additional sources included."""
    with checked_response("reading a model"):
        fields = convert(description, _ModelFields)
    containers = (*((fields.primary_container,) if fields.primary_container else ()), *fields.containers)
    return frozenset(uri for container in containers for uri in container.locations)


def create_model(aws: Aws, request: Document) -> None:
    """CreateModel. An existing model of that name is no error: the name is the digest of the request, so both are equal.

    Raises:
        RoleNotAssumedError: SageMaker cannot assume the role.
        RemoteError: SageMaker refused the model data or the image; the message is SageMaker's.
    """
    _created(aws, "create_model", f"model {request['ModelName']}", request)


def create_endpoint_config(aws: Aws, request: Document) -> None:
    """CreateEndpointConfig. An existing configuration of that name is no error, as for `create_model`.

    Raises:
        ReferenceNotFoundError: SageMaker does not find the model.
        RemoteError: any other refusal.
    """
    _created(aws, "create_endpoint_config", f"endpoint configuration {request['EndpointConfigName']}", request)


def create_endpoint(aws: Aws, request: Document) -> None:
    """CreateEndpoint.

    Raises:
        UserError: the quota for the instance type is used up.
        ReferenceNotFoundError: SageMaker does not find the endpoint configuration.
        EndpointBusyError: it exists.
        RemoteError: any other refusal.
    """
    with aws_call("creating the endpoint", where := f"endpoint {request['EndpointName']}"):
        _send(aws, "create_endpoint", where, request)


def update_endpoint(aws: Aws, request: Document) -> None:
    """UpdateEndpoint; raises the errors of `create_endpoint`, and EndpointBusyError while something else is changing it."""
    with aws_call("updating the endpoint", where := f"endpoint {request['EndpointName']}"):
        _send(aws, "update_endpoint", where, request)


def set_instance_count(aws: Aws, endpoint_name: str, variant_name: str, count: int) -> None:
    """UpdateEndpointWeightsAndCapacities: changes the number of instances of a variant; the endpoint is Updating for minutes.

    Raises:
        EndpointBusyError: something else is changing the endpoint.
        RemoteError: any other refusal.
    """
    capacity = {"VariantName": variant_name, "DesiredInstanceCount": count}
    request = {"EndpointName": endpoint_name, "DesiredWeightsAndCapacities": [capacity]}
    with aws_call("setting the number of instances", where := f"endpoint {endpoint_name}"):
        _send(aws, "update_endpoint_weights_and_capacities", where, request)


def delete_endpoint(aws: Aws, name: str) -> None:
    """DeleteEndpoint; no error if there is none.

    Raises:
        EndpointBusyError: something else is changing the endpoint.
        RemoteError: any other refusal.
    """
    _deleted(aws, "delete_endpoint", f"endpoint {name}", EndpointName=name)


def delete_endpoint_config(aws: Aws, name: str) -> None:
    """DeleteEndpointConfig; no error if there is none."""
    _deleted(aws, "delete_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name)


def delete_model(aws: Aws, name: str) -> None:
    """DeleteModel; no error if there is none."""
    _deleted(aws, "delete_model", f"model {name}", ModelName=name)


def list_tags(aws: Aws, arn: str) -> dict[str, str]:
    """All tags of a resource."""
    return {tag.key: tag.value for tag in _listed(aws, "list_tags", "Tags", arn, _Tag, ResourceArn=arn)}


def add_tags(aws: Aws, arn: str, tags: list[dict[str, str]]) -> None:
    """AddTags: sets the given keys and leaves the others."""
    with aws_call("tagging", arn):
        aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tags)


def list_endpoints(aws: Aws) -> list[str]:
    """Names of all endpoints of the account in this region."""
    summaries = _listed(aws, "list_endpoints", "Endpoints", "endpoints", _EndpointSummary)
    return [summary.endpoint_name for summary in summaries]


def list_endpoint_configs(aws: Aws, name_contains: str) -> dict[str, str]:
    """ARNs by name of the endpoint configurations whose name contains `name_contains`."""
    operation, where = "list_endpoint_configs", "endpoint configurations"
    summaries = _listed(aws, operation, "EndpointConfigs", where, _EndpointConfigSummary, NameContains=name_contains)
    return {summary.endpoint_config_name: summary.endpoint_config_arn for summary in summaries}


def list_models(aws: Aws, name_contains: str) -> dict[str, str]:
    """ARNs by name of the models whose name contains `name_contains`."""
    summaries = _listed(aws, "list_models", "Models", "models", ModelSummary, NameContains=name_contains)
    return {summary.model_name: summary.model_arn for summary in summaries}


def list_all_models(aws: Aws) -> list[ModelSummary]:
    """All models of the account in this region."""
    return _listed(aws, "list_models", "Models", "models", ModelSummary)


def inference_components(aws: Aws) -> list[str]:
    """Names of all inference components of the account in this region."""
    operation, where = "list_inference_components", "inference components"
    summaries = _listed(aws, operation, "InferenceComponents", where, _InferenceComponentSummary)
    return [summary.inference_component_name for summary in summaries]


def describe_inference_component(aws: Aws, name: str) -> InferenceComponent | None:
    """DescribeInferenceComponent, or None."""
    operation, where = "describe_inference_component", f"inference component {name}"
    return _described(
        aws, operation, where, lambda found: convert(found, InferenceComponent), InferenceComponentName=name
    )


def inference_routers(aws: Aws) -> list[str]:
    """Names of all inference routers of the account in this region; none where SageMaker does not know them yet."""
    import botocore.exceptions

    operation, where = "list_inference_routers", "inference routers"
    try:
        summaries = _listed(aws, operation, "InferenceRouters", where, _InferenceRouterSummary)
    except RemoteError as error:
        cause = error.__cause__
        if isinstance(cause, botocore.exceptions.ClientError) and error_code(cause) in _UNKNOWN_OPERATION:
            return []
        raise
    return [summary.inference_router_name for summary in summaries]


def describe_inference_router(aws: Aws, name: str) -> InferenceRouter | None:
    """DescribeInferenceRouter, or None."""
    operation, where = "describe_inference_router", f"inference router {name}"
    return _described(aws, operation, where, lambda found: convert(found, InferenceRouter), InferenceRouterName=name)


def invoke_endpoint_async(aws: Aws, request: Document) -> AsyncInvocation:
    """InvokeEndpointAsync: puts a request that lies in S3 into the endpoint's queue."""
    with aws_call("invoking the endpoint", f"endpoint {request['EndpointName']}"):
        return convert(aws.client("sagemaker-runtime").invoke_endpoint_async(**request), AsyncInvocation)


def _described(aws: Aws, operation: str, where: str, read: Callable[[Document], _Kind], **request: Any) -> _Kind | None:
    import botocore.exceptions

    with aws_call("describing", where):
        try:
            found = getattr(aws.client("sagemaker"), operation)(**request)
        except botocore.exceptions.ClientError as error:
            if _is_not_found(error):
                return None
            raise
        return read(found)


def _created(aws: Aws, operation: str, where: str, request: Document) -> None:
    import botocore.exceptions

    with aws_call("creating", where):
        try:
            _send(aws, operation, where, request)
        except botocore.exceptions.ClientError as error:
            if _EXISTS_MESSAGE not in _message(error):
                raise


def _send(aws: Aws, operation: str, where: str, request: Document) -> None:
    """Send a request that names another resource or changes an endpoint, within `aws_call`."""
    import botocore.exceptions

    try:
        getattr(aws.client("sagemaker"), operation)(**request)
    except botocore.exceptions.ClientError as error:
        if _REFERENCE_NOT_FOUND.search(_message(error)):
            raise ReferenceNotFoundError(f"{operation} failed: {_message(error)}", where=where) from error
        if _BUSY.search(_message(error)):
            raise EndpointBusyError(f"{operation} failed: {_message(error)}", where=where) from error
        if _NOT_ASSUMED in _message(error):
            raise RoleNotAssumedError(f"{operation} failed: {_message(error)}", where=where) from error
        raise


def _deleted(aws: Aws, operation: str, where: str, **request: Any) -> None:
    import botocore.exceptions

    with aws_call("deleting", where):
        try:
            _send(aws, operation, where, request)
        except botocore.exceptions.ClientError as error:
            if not _is_not_found(error):
                raise


def _listed(aws: Aws, operation: str, key: str, where: str, kind: type[_Kind], **request: Any) -> list[_Kind]:
    with aws_call("listing", where):
        pages = aws.client("sagemaker").get_paginator(operation).paginate(PaginationConfig=_PAGES, **request)
        return [convert(entry, kind) for page in pages for entry in page[key]]


def _is_not_found(error: ClientError) -> bool:
    return error_code(error) in _NOT_FOUND_CODES and _NOT_FOUND_MESSAGE in _message(error)


def _message(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
