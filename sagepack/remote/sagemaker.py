"""SageMaker's control plane and asynchronous invocation, one function a call. A missing resource is None, not an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.remote.aws import error_code, translated

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.remote.aws import Aws

Document = dict[str, Any]
_EXISTS = "already existing"
_GONE = "Could not find"
# SageMaker has no code of its own for a missing resource: a ValidationException says it in words.
_GONE_CODES = {"ValidationException", "ValidationError", "ResourceNotFound", "ResourceNotFoundException"}


def describe_endpoint(aws: Aws, name: str) -> Document | None:
    """DescribeEndpoint, or None."""
    return _found(aws, "describe_endpoint", f"endpoint {name}", EndpointName=name)


def describe_config(aws: Aws, name: str) -> Document | None:
    """DescribeEndpointConfig, or None."""
    return _found(aws, "describe_endpoint_config", f"endpoint configuration {name}", EndpointConfigName=name)


def describe_model(aws: Aws, name: str) -> Document | None:
    """DescribeModel, or None."""
    return _found(aws, "describe_model", f"model {name}", ModelName=name)


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
    with translated("creating the endpoint", f"endpoint {request['EndpointName']}"):
        aws.client("sagemaker").create_endpoint(**request)


def update_endpoint(aws: Aws, request: Document) -> None:
    """UpdateEndpoint; errors as for CreateEndpoint."""
    with translated("updating the endpoint", f"endpoint {request['EndpointName']}"):
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
    return {tag["Key"]: tag["Value"] for tag in _pages(aws, "list_tags", "Tags", arn, ResourceArn=arn)}


def add_tags(aws: Aws, arn: str, tags: list[dict[str, str]]) -> None:
    """AddTags: sets the given keys and leaves the others."""
    with translated("tagging", arn):
        aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=tags)


def list_endpoints(aws: Aws) -> list[str]:
    """Names of all endpoints of the account in this region."""
    return [entry["EndpointName"] for entry in _pages(aws, "list_endpoints", "Endpoints", "endpoints")]


def list_configs(aws: Aws, part: str) -> list[Document]:
    """Names and ARNs of the configurations whose name contains `part`."""
    pages = _pages(aws, "list_endpoint_configs", "EndpointConfigs", "endpoint configurations", NameContains=part)
    return [{"name": entry["EndpointConfigName"], "arn": entry["EndpointConfigArn"]} for entry in pages]


def list_models(aws: Aws, part: str) -> list[Document]:
    """Names and ARNs of the models whose name contains `part`."""
    pages = _pages(aws, "list_models", "Models", "models", NameContains=part)
    return [{"name": entry["ModelName"], "arn": entry["ModelArn"]} for entry in pages]


def invoke_async(aws: Aws, request: Document) -> tuple[str, str | None]:
    """InvokeEndpointAsync: the places where the answer, or else the failure, will appear."""
    with translated("invoking the endpoint", f"endpoint {request['EndpointName']}"):
        answer = aws.client("sagemaker-runtime").invoke_endpoint_async(**request)
    return answer["OutputLocation"], answer.get("FailureLocation")


def _found(aws: Aws, operation: str, where: str, **request: Any) -> Document | None:
    with translated("describing", where):
        return _unless_gone(lambda: getattr(aws.client("sagemaker"), operation)(**request))


def _created(aws: Aws, operation: str, where: str, request: Document) -> None:
    import botocore.exceptions

    with translated("creating", where):
        try:
            getattr(aws.client("sagemaker"), operation)(**request)
        except botocore.exceptions.ClientError as error:
            if _EXISTS not in _message(error):
                raise


def _deleted(aws: Aws, operation: str, where: str, **request: Any) -> bool:
    with translated("deleting", where):
        return _unless_gone(lambda: getattr(aws.client("sagemaker"), operation)(**request)) is not None


def _unless_gone(call: Callable[[], Document]) -> Document | None:
    import botocore.exceptions

    try:
        return call()
    except botocore.exceptions.ClientError as error:
        if error_code(error) in _GONE_CODES and _GONE in _message(error):
            return None
        raise


def _pages(aws: Aws, operation: str, key: str, where: str, **request: Any) -> list[Document]:
    with translated("listing", where):
        pages = aws.client("sagemaker").get_paginator(operation).paginate(**request)
        return [entry for page in pages for entry in page[key]]


def _message(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Message", ""))
