"""Service Quotas: how many instances of a type may serve endpoints, or run processing jobs, in an account and region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

_SERVICE = "sagemaker"
# Listing SageMaker's thousands of quotas takes tens of requests, one after another; with the code it is one. The same in all
# regions, from public reports; a code whose quota has another name is not used.
_CODES = {
    "ml.m5.xlarge for processing job usage": "L-0307F515",
    "ml.g4dn.xlarge for endpoint usage": "L-B67CFA0C",
    "ml.g4dn.2xlarge for endpoint usage": "L-EA346344",
    "ml.g4dn.4xlarge for endpoint usage": "L-31522FA6",
    "ml.g5.xlarge for endpoint usage": "L-1928E07B",
    "ml.g5.2xlarge for endpoint usage": "L-9614C779",
    "ml.g5.4xlarge for endpoint usage": "L-C1B9A48D",
    "ml.g5.8xlarge for endpoint usage": "L-065D610E",
    "ml.g5.12xlarge for endpoint usage": "L-65C4BD00",
    "ml.g5.16xlarge for endpoint usage": "L-962705EA",
    "ml.g5.24xlarge for endpoint usage": "L-6821867B",
    "ml.g5.48xlarge for endpoint usage": "L-0100B823",
    "ml.g6.xlarge for endpoint usage": "L-D470D954",
    "ml.g6e.2xlarge for endpoint usage": "L-F8D7F460",
    "ml.g7e.2xlarge for endpoint usage": "L-5AA715AC",
    "ml.m5.xlarge for endpoint usage": "L-2F737F8D",
}


class _Quota(msgspec.Struct, rename="pascal"):
    quota_name: str
    value: float


def quota_name(instance_type: str) -> str:
    """The name of the quota for endpoints, as SageMaker's messages have it too."""
    return f"{instance_type} for endpoint usage"


def processing_quota_name(instance_type: str) -> str:
    """The name of the quota for processing jobs."""
    return f"{instance_type} for processing job usage"


def endpoint_quota(aws: Aws, instance_type: str, *, search: bool = True) -> int | None:
    """The applied quota of instances of one type for endpoints; None if it is not found.

    Args:
        aws: the session.
        instance_type: such as `ml.g5.2xlarge`.
        search: list all quotas if the code of this one is not known, which takes many requests.

    Raises:
        AccessDeniedError: the caller may not read quotas.
        RemoteError: the region has no Service Quotas, or it does not respond.
    """
    return _applied(aws, quota_name(instance_type), search=search)


def processing_quota(aws: Aws, instance_type: str, *, search: bool = True) -> int | None:
    """The same for processing jobs."""
    return _applied(aws, processing_quota_name(instance_type), search=search)


def _applied(aws: Aws, name: str, *, search: bool) -> int | None:
    quota = _by_code(aws, name) or (_by_name(aws, name) if search else None)
    return int(quota.value) if quota else None


def _by_code(aws: Aws, name: str) -> _Quota | None:
    import botocore.exceptions

    code = _CODES.get(name)
    if code is None:
        return None
    with aws_call("reading the quota", name):
        try:
            answer = aws.client("service-quotas").get_service_quota(ServiceCode=_SERVICE, QuotaCode=code)
        except botocore.exceptions.ClientError as error:
            if error_code(error) == "NoSuchResourceException":
                return None
            raise
        quota = convert(answer["Quota"], _Quota)
        return quota if quota.quota_name == name else None


def _by_name(aws: Aws, name: str) -> _Quota | None:
    with aws_call("listing quotas", name):
        pages = aws.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode=_SERVICE)
        quotas = (convert(entry, _Quota) for page in pages for entry in page["Quotas"])
        return next((quota for quota in quotas if quota.quota_name == name), None)
