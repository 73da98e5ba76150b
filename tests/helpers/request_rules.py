"""What AWS's own descriptions forbid in the requests of this program, and in those that tests send to the sandbox."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sagepack.aws import service_model
from sagepack.aws.session import Aws

if TYPE_CHECKING:
    from collections.abc import Iterator

# Prefix of `X-Amz-Target` -> the service in botocore's files.
_SERVICES = {
    "SageMaker": "sagemaker",
    "AnyScaleFrontendService": "application-autoscaling",
    "GraniteServiceVersion20100801": "cloudwatch",
    "Logs_20140328": "logs",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "ServiceQuotasV20190624": "service-quotas",
    "TrentService": "kms",
    "AWSPriceListService": "pricing",
    "secretsmanager": "secretsmanager",
}


def violations(prefix: str, operation: str, request: dict[str, Any]) -> list[str]:
    """What is forbidden in a request, in the words of AWS; nothing for an operation that AWS does not have."""
    service = _SERVICES.get(prefix)
    if service is None or not service_model.has_operation(service, operation):
        return []
    return service_model.violations(service, operation, request)


@contextmanager
def checked() -> Iterator[list[str]]:
    """Check every request of this program to any service; what is forbidden in those of the block is in the list."""
    found: list[str] = []
    send = Aws._send

    def check(self: Aws, service: str, meta: Any, operation: str, parameters: dict[str, Any]) -> Any:
        # boto3 writes the source of a copy from its parts.
        plain = {name: "b/k" if name == "CopySource" else value for name, value in parameters.items()}
        found.extend(service_model.violations(service, operation, plain))
        return send(self, service, meta, operation, parameters)

    Aws._send = check  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Aws._send = send  # type: ignore[method-assign]
