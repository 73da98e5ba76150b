"""SageMaker's control plane and asynchronous invocation, one function a call. A missing resource is None, not an error."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from sagepack.aws.session import answered, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws

Document = dict[str, Any]
_Kind = TypeVar("_Kind")
S3Uri = Annotated[str, msgspec.Meta(pattern=r"\As3://[^/]+/.", max_length=2048)]
_EXISTS = "already existing"
_GONE = "Could not find"
# SageMaker has no code of its own for a missing resource: a ValidationException says it in words.
_GONE_CODES = {"ValidationException", "ValidationError", "ResourceNotFound", "ResourceNotFoundException"}


class EndpointVariant(msgspec.Struct, rename="pascal", frozen=True):
    """What runs behind a variant of an endpoint (API reference, ProductionVariantSummary)."""

    variant_name: str
    current_instance_count: int | None = None
    desired_instance_count: int | None = None


class PendingDeployment(msgspec.Struct, rename="pascal", frozen=True):
    """The deployment in progress (API reference, PendingDeploymentSummary)."""

    endpoint_config_name: str


class Endpoint(msgspec.Struct, rename="pascal", frozen=True):
    """What this program uses of an endpoint (API reference, DescribeEndpoint).

    `endpoint_config_name` is what serves, or is created; empty for an endpoint without a configuration.
    """

    endpoint_arn: str
    endpoint_status: str
    last_modified_time: datetime
    endpoint_config_name: str = ""
    failure_reason: str | None = None
    pending_deployment_summary: PendingDeployment | None = None
    production_variants: tuple[EndpointVariant, ...] = ()

    @property
    def pending(self) -> str | None:
        """The configuration of the deployment in progress."""
        return self.pending_deployment_summary.endpoint_config_name if self.pending_deployment_summary else None


class _ConfigVariant(msgspec.Struct, rename="pascal"):
    model_name: str | None = None
    instance_type: str | None = None


class _EndpointConfig(msgspec.Struct, rename="pascal"):
    """What this program uses of a configuration (API reference, DescribeEndpointConfig)."""

    production_variants: tuple[_ConfigVariant, ...] = ()


class _Tag(msgspec.Struct, rename="pascal"):
    key: str
    value: str


class _Endpoints(msgspec.Struct, rename="pascal"):
    endpoint_name: str


class _EndpointConfigs(msgspec.Struct, rename="pascal"):
    endpoint_config_name: str
    endpoint_config_arn: str


class _Models(msgspec.Struct, rename="pascal"):
    model_name: str
    model_arn: str


class _Invocation(msgspec.Struct, rename="pascal"):
    output_location: S3Uri
    failure_location: S3Uri | None = None


def describe_endpoint(aws: Aws, name: str) -> Endpoint | None:
    """DescribeEndpoint, or None."""
    return _found(
        aws, "describe_endpoint", f"endpoint {name}", lambda found: convert(found, Endpoint), EndpointName=name
    )


def describe_config(aws: Aws, name: str) -> Document | None:
    """DescribeEndpointConfig, or None. Names and types of its `ProductionVariants`, if it has any, are text."""

    def checked(found: Document) -> Document:
        convert(found, _EndpointConfig)
        return found

    return _found(aws, "describe_endpoint_config", f"endpoint configuration {name}", checked, EndpointConfigName=name)


def describe_model(aws: Aws, name: str) -> Document | None:
    """DescribeModel, or None."""
    return _found(aws, "describe_model", f"model {name}", dict, ModelName=name)


def create_model(aws: Aws, request: Document) -> None:
    """CreateModel; a model of that name that is there already is the same one, its name being its digest.

    Raises:
        RemoteError: SageMaker refused the data, the image or the role; the message has its words.
    """
    _created(aws, "create_model", f"model {request['ModelName']}", request)


def create_config(aws: Aws, request: Document) -> None:
    """CreateEndpointConfig; as with models, one that is there already is the same one."""
    _created(aws, "create_endpoint_config", f"endpoint configuration {request['EndpointConfigName']}", request)


def create_endpoint(aws: Aws, request: Document) -> None:
    """CreateEndpoint.

    Raises:
        UserError: the quota for the instance type is used up.
        RemoteError: anything else that SageMaker answers.
    """
    with answered("creating the endpoint", f"endpoint {request['EndpointName']}"):
        aws.client("sagemaker").create_endpoint(**request)


def update_endpoint(aws: Aws, request: Document) -> None:
    """UpdateEndpoint; errors as for CreateEndpoint."""
    with answered("updating the endpoint", f"endpoint {request['EndpointName']}"):
        aws.client("sagemaker").update_endpoint(**request)


def delete_endpoint(aws: Aws, name: str) -> bool:
    """DeleteEndpoint; False if there is none."""
    return _deleted(aws, "delete_endpoint", f"endpoint {name}", EndpointName=name)


def delete_config(aws: Aws, name: str) -> bool:
    """DeleteEndpointConfig; False if there is none."""
    return _deleted(aws, "delete_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name)


def delete_model(aws: Aws, name: str) -> bool:
    """DeleteModel; False if there is none."""
    return _deleted(aws, "delete_model", f"model {name}", ModelName=name)


def list_tags(aws: Aws, arn: str) -> dict[str, str]:
    """All tags of a resource."""
    return {tag.key: tag.value for tag in _pages(aws, "list_tags", "Tags", arn, _Tag, ResourceArn=arn)}


def add_tags(aws: Aws, arn: str, tags: list[dict[str, str]]) -> None:
    """AddTags: sets the given keys and leaves the others."""
    with answered("tagging", arn):
        aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tags)


def list_endpoints(aws: Aws) -> list[str]:
    """Names of all endpoints of the account in this region."""
    return [entry.endpoint_name for entry in _pages(aws, "list_endpoints", "Endpoints", "endpoints", _Endpoints)]


def list_configs(aws: Aws, part: str) -> dict[str, str]:
    """ARNs by name of the configurations whose name contains `part`."""
    where = "endpoint configurations"
    pages = _pages(aws, "list_endpoint_configs", "EndpointConfigs", where, _EndpointConfigs, NameContains=part)
    return {entry.endpoint_config_name: entry.endpoint_config_arn for entry in pages}


def list_models(aws: Aws, part: str) -> dict[str, str]:
    """ARNs by name of the models whose name contains `part`."""
    pages = _pages(aws, "list_models", "Models", "models", _Models, NameContains=part)
    return {entry.model_name: entry.model_arn for entry in pages}


def invoke_async(aws: Aws, request: Document) -> tuple[str, str | None]:
    """InvokeEndpointAsync: the places where the answer, or else the failure, will appear."""
    with answered("invoking the endpoint", f"endpoint {request['EndpointName']}"):
        answer = convert(aws.client("sagemaker-runtime").invoke_endpoint_async(**request), _Invocation)
    return answer.output_location, answer.failure_location


def _found(aws: Aws, operation: str, where: str, read: Callable[[Document], _Kind], **request: Any) -> _Kind | None:
    with answered("describing", where):
        found = _unless_gone(lambda: getattr(aws.client("sagemaker"), operation)(**request))
        return None if found is None else read(found)


def _created(aws: Aws, operation: str, where: str, request: Document) -> None:
    import botocore.exceptions

    with answered("creating", where):
        try:
            getattr(aws.client("sagemaker"), operation)(**request)
        except botocore.exceptions.ClientError as error:
            if _EXISTS not in _message(error):
                raise


def _deleted(aws: Aws, operation: str, where: str, **request: Any) -> bool:
    with answered("deleting", where):
        return _unless_gone(lambda: getattr(aws.client("sagemaker"), operation)(**request)) is not None


def _unless_gone(call: Callable[[], Document]) -> Document | None:
    import botocore.exceptions

    try:
        return call()
    except botocore.exceptions.ClientError as error:
        if error_code(error) in _GONE_CODES and _GONE in _message(error):
            return None
        raise


def _pages(aws: Aws, operation: str, key: str, where: str, kind: type[_Kind], **request: Any) -> list[_Kind]:
    with answered("listing", where):
        pages = aws.client("sagemaker").get_paginator(operation).paginate(**request)
        return [convert(entry, kind) for page in pages for entry in page[key]]


def _message(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
