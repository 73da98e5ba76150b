"""Service Quotas of SageMaker, which moto does not have: of each instance type a few instances for endpoints.

A model of AWS, not evidence about it: new accounts have a quota of 0 for most instances with a GPU. The codes are made up.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

from sagepack.sandbox.aws.wsgi import AwsError

if TYPE_CHECKING:
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


@cache
def _quotas() -> list[JsonObject]:
    from botocore.loaders import Loader

    shapes = Loader().load_service_model("sagemaker", "service-2")["shapes"]
    names = [f"{kind} for endpoint usage" for kind in shapes["ProductionVariantInstanceType"]["enum"]]
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
