"""The Price List API, which moto answers with nothing: some list prices, in the form of AWS's price list.

A model of AWS, not evidence about it. The prices are made up, and the same in every region.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sagepack.sandbox.aws.wsgi import AwsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.aws.wsgi import JsonObject

HOUR = {"ml.g5.xlarge": 1.408, "ml.g5.2xlarge": 1.515, "ml.g5.12xlarge": 7.09, "ml.m5.xlarge": 0.23}
"""Instance type -> price of an hour; another type is not in the list."""
GIGABYTE_MONTH = 0.023
LOG_GIGABYTE_MONTH = 0.03


def call(operation: str, body: JsonObject) -> JsonObject:
    """Execute GetProducts and return its response.

    Raises:
        AwsError: it is another operation, or a filter is none of TERM_MATCH.
    """
    if operation != "GetProducts" or any(each["Type"] != "TERM_MATCH" for each in body.get("Filters", ())):
        raise AwsError("InvalidParameterException", f"The sandbox does not answer {operation} with these filters.")
    wanted = {each["Field"]: each["Value"] for each in body.get("Filters", ())}
    region = wanted.get("regionCode", "us-east-1")
    found = [
        json.dumps(entry)
        for service, family, attributes, unit, prices in _products(region)
        if service == body["ServiceCode"]
        and wanted.items() <= {**attributes, "productFamily": family, "regionCode": region}.items()
        for entry in [_entry(service, family, {**attributes, "regionCode": region}, unit, prices)]
    ]
    return {"FormatVersion": "aws_v1", "PriceList": found}


def _products(region: str) -> Iterator[tuple[str, str, dict[str, str], str, list[float]]]:
    """Service, family, attributes, unit, and the prices by rising amount of every product."""
    code = "USE1" if region == "us-east-1" else "EUC1"
    for name, price in HOUR.items():
        for component, factor in (("Notebook", 0.8), ("Hosting", 1.0), ("Training", 1.1), ("Processing", 1.0)):
            usage = f"{code}-{component[:4]}:{name}"
            attributes = {"instanceName": name, "component": component, "usagetype": usage}
            yield "AmazonSageMaker", "ML Instance", attributes, "Hrs", [round(price * factor, 4)]
    usage = "TimedStorage-ByteHrs" if region == "us-east-1" else f"{code}-TimedStorage-ByteHrs"
    standard = {"volumeType": "Standard", "storageClass": "General Purpose", "usagetype": usage}
    yield "AmazonS3", "Storage", standard, "GB-Mo", [0.021, 0.022, GIGABYTE_MONTH]
    yield "AmazonCloudWatch", "Storage Snapshot", {"usagetype": usage}, "GB-Mo", [LOG_GIGABYTE_MONTH]


def _entry(service: str, family: str, attributes: dict[str, str], unit: str, prices: list[float]) -> JsonObject:
    """An entry of PriceList; the cheaper prices, for large amounts, come first, since AWS promises no order."""
    bounds = [*range(0, 51200 * len(prices), 51200), "Inf"]
    dimensions = {
        f"SKU.TERM.{number}": {
            "unit": unit,
            "beginRange": str(bounds[len(prices) - 1 - number]),
            "endRange": str(bounds[len(prices) - number]),
            "description": f"${price} per {unit}",
            "appliesTo": [],
            "rateCode": f"SKU.TERM.{number}",
            "pricePerUnit": {"USD": f"{price:.10f}"},
        }
        for number, price in enumerate(prices)
    }
    offer = {"priceDimensions": dimensions, "sku": "SKU", "offerTermCode": "TERM", "termAttributes": {}}
    product = {"productFamily": family, "attributes": attributes, "sku": "SKU"}
    return {"product": product, "serviceCode": service, "terms": {"OnDemand": {"SKU.TERM": offer}}, "version": "1"}
