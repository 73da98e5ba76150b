"""Service Quotas of SageMaker, which moto does not have: of each instance type a few instances for endpoints and for jobs.

A model of AWS, not evidence about it: new accounts have a quota of 0 for most instances with a GPU. The codes are made up.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from sagepack.sandbox.aws.wsgi import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.sandbox.aws.wsgi import JsonObject

OPERATIONS = frozenset({"GetServiceQuota", "ListServiceQuotas"})
INSTANCES = 8
"""The quota of every instance type."""
_PAGE = 100


def call(operation: str, body: JsonObject) -> JsonObject:
    """Execute an operation and return its response.

    Raises:
        AwsError: there is no such service or quota.
    """
    if body["ServiceCode"] != "sagemaker":
        raise AwsError("NoSuchResourceException", "The sandbox has quotas of SageMaker only.")
    if operation == "GetServiceQuota":
        found = next((quota for quota in _quotas() if quota["QuotaCode"] == body["QuotaCode"]), None)
        if found is None:
            raise AwsError(
                "NoSuchResourceException", "The request failed because the specified service does not exist."
            )
        return {"Quota": found}
    first = int(body.get("NextToken") or 0)
    page: JsonObject = {"Quotas": _quotas()[first : first + _PAGE]}
    return page if first + _PAGE >= len(_quotas()) else {**page, "NextToken": str(first + _PAGE)}


def check(types: Mapping[str, Sequence[str]], counts: Mapping[str, int], used: Mapping[str, int]) -> None:
    """Check that the instances of a deployment fit beside those in use.

    Of a variant with several types nothing is checked: whether AWS goes on to the next pool then could not be observed.

    Args:
        types: variant -> its instance types.
        counts: variant -> instances that it needs.
        used: instances in use by their type.

    Raises:
        AwsError: they do not.
    """
    for variant, kinds in types.items():
        kind = kinds[0] if len(kinds) == 1 else None
        if kind is not None and used.get(kind, 0) + counts[variant] > INSTANCES:
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{kind} for endpoint usage' is {INSTANCES} Instances, with current "
                f"utilization of {used.get(kind, 0)} Instances and a request delta of {counts[variant]} Instances. "
                "Please use AWS Service Quotas to request an increase for this quota.",
            )


def check_jobs(kind: str, running: int) -> None:
    """Check that one more processing job fits beside those that run.

    Raises:
        AwsError: it does not.
    """
    if running >= INSTANCES:
        raise AwsError(
            "ResourceLimitExceeded",
            f"The account-level service limit '{kind} for processing job usage' is {INSTANCES} Instances, with current "
            f"utilization of {running} Instances and a request delta of 1 Instances. Please use AWS Service Quotas to request "
            "an increase for this quota.",
        )


@cache
def _quotas() -> list[JsonObject]:
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    names = [f"{kind} for endpoint usage" for kind in shapes["ProductionVariantInstanceType"]["enum"]]
    names += [f"{kind} for processing job usage" for kind in shapes["ProcessingInstanceType"]["enum"]]
    return [
        {
            "ServiceCode": "sagemaker",
            "ServiceName": "Amazon SageMaker",
            "QuotaName": name,
            "QuotaCode": f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}",
            "Value": float(INSTANCES),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
        for name in names
    ]
