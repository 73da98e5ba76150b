"""AWS's list prices, by the Price List API: what an hour of an instance and a month of a gigabyte cost.

They are the public prices without discounts, savings plans, free tiers and taxes, in US dollars. A price that is not known stops
nothing: it is None, and `Prices.problem` says why.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import AccessDeniedError, Patience, aws_call
from sagepack.decoding import MalformedError, Value, decode_json
from sagepack.errors import RemoteError, UserError
from sagepack.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagepack.aws.session import Aws

    _Test = Callable[[dict[str, str]], bool]

HOURS_PER_MONTH = 730  # 365 days / 12, as AWS's own calculator counts
GIGABYTE = 1 << 30  # bytes; AWS bills storage by binary gigabytes
_FRESH = timedelta(days=7)
_PATIENCE = Patience(connect=3, read=10, attempts=2, survives=False)  # for what stops nothing
_OTHER_PARTITIONS = ("cn-", "us-gov-", "us-iso", "eu-iso", "eusc-")
# S3's storage class -> `volumeType` of its product, and the end of its usage type.
_STORAGE = {
    "STANDARD": ("Standard", "TimedStorage-ByteHrs"),
    "REDUCED_REDUNDANCY": ("Reduced Redundancy", "TimedStorage-RRS-ByteHrs"),
    "STANDARD_IA": ("Standard - Infrequent Access", "TimedStorage-SIA-ByteHrs"),
    "ONEZONE_IA": ("One Zone - Infrequent Access", "TimedStorage-ZIA-ByteHrs"),
    "INTELLIGENT_TIERING": ("Intelligent-Tiering Frequent Access", "TimedStorage-INT-FA-ByteHrs"),
    "GLACIER_IR": ("Glacier Instant Retrieval", "TimedStorage-GIR-ByteHrs"),
}


class _Known(Value, frozen=True):
    """A price that was asked for: of what, when, and how much."""

    value: float
    asked: datetime


class _Product(msgspec.Struct):
    attributes: dict[str, str] = {}


class _Dimension(msgspec.Struct, rename="camel"):
    unit: str = ""
    begin_range: str = "0"
    price_per_unit: dict[str, str] = {}


class _Offer(msgspec.Struct, rename="camel"):
    price_dimensions: dict[str, _Dimension] = {}


class _Terms(msgspec.Struct, rename={"on_demand": "OnDemand"}):
    on_demand: dict[str, _Offer] = {}


class _Entry(msgspec.Struct):
    """An entry of PriceList, as far as it is used (Price List user guide, "Reading the price list files")."""

    product: _Product
    terms: _Terms = msgspec.field(default_factory=_Terms)

    def first(self, unit: str) -> float | None:
        """The price of the first unit; further ones may be cheaper."""
        for offer in self.terms.on_demand.values():
            for each in offer.price_dimensions.values():
                if each.unit.startswith(unit) and float(each.begin_range) == 0:
                    return next((float(price) for price in each.price_per_unit.values()), None)
        return None


class Prices:
    """The prices of one region, each asked for once in a week.

    Attributes:
        problem: why a price is not known; None if none was missed.
    """

    def __init__(self, aws: Aws, path: Path | None) -> None:
        """Ask for the region of `aws`; remember in the file at `path`, or nowhere."""
        self._aws, self._path = aws, path
        self._lock = threading.Lock()
        self.problem: str | None = None

    def hour(self, instance_type: str) -> float | None:
        """An hour of an instance that serves an endpoint, such as `ml.g5.2xlarge`."""
        fields = {"instanceName": instance_type}
        return self._price("AmazonSageMaker", fields, "Hrs", _is_for("Hosting"), f"an hour of {instance_type}")

    def processing_hour(self, instance_type: str) -> float | None:
        """An hour of an instance that runs a processing job."""
        fields, what = {"instanceName": instance_type}, f"an hour of {instance_type} for processing"
        return self._price("AmazonSageMaker", fields, "Hrs", _is_for("Processing"), what, use=" Processing")

    def gigabyte_month(self, storage_class: str | None = None) -> float | None:
        """A month of a gigabyte in S3; without a storage class of STANDARD."""
        name = storage_class or "STANDARD"
        if name not in _STORAGE:
            self.problem = f"the price of the storage class {name} is not looked up"
            return None
        volume, usage = _STORAGE[name]
        fields = {"productFamily": "Storage", "volumeType": volume}
        return self._price("AmazonS3", fields, "GB-Mo", _uses(usage), f"a gigabyte of {name} for a month")

    def log_gigabyte_month(self) -> float | None:
        """A month of a gigabyte that CloudWatch Logs keeps."""
        fields = {"productFamily": "Storage Snapshot"}
        what = "a gigabyte of logs for a month"
        return self._price("AmazonCloudWatch", fields, "GB-Mo", _uses("TimedStorage-ByteHrs"), what)

    def _price(
        self, service: str, fields: dict[str, str], unit: str, is_it: _Test, what: str, use: str = ""
    ) -> float | None:
        """A price from the file, or else from AWS; `use` tells prices apart whose fields are the same."""
        if self._aws.region.startswith(_OTHER_PARTITIONS):  # their credentials do not count where the price list is
            self.problem = f"prices in {self._aws.region} are not looked up"
            return None
        key = f"{self._aws.region} {service} {' '.join(fields.values())}{use}"
        now = datetime.now(timezone.utc)
        with self._lock:
            known = self._known().get(key)
        if known and timedelta(0) <= now - known.asked < _FRESH:
            return known.value
        try:
            found = next(filter(None, self._ask(service, fields, unit, is_it, what)), None)
        except (UserError, RemoteError) as error:
            denied = isinstance(error, AccessDeniedError)
            self.problem = "it takes pricing:GetProducts" if denied else error.message
            return None
        if found is None:
            self.problem = f"AWS's price list does not have {what} in {self._aws.region}"
            return None
        self._remember(key, _Known(found, now))
        return found

    def _ask(self, service: str, fields: dict[str, str], unit: str, is_it: _Test, what: str) -> Iterator[float | None]:
        filters = {"regionCode": self._aws.region, **fields}
        with aws_call("reading the price list", what):
            pages = (
                self._aws.with_patience(_PATIENCE)
                .client("pricing")
                .get_paginator("get_products")
                .paginate(
                    ServiceCode=service,
                    Filters=[{"Type": "TERM_MATCH", "Field": name, "Value": text} for name, text in filters.items()],
                    FormatVersion="aws_v1",
                )
            )
            for page in pages:
                for text in page["PriceList"]:
                    entry = decode_json(text.encode(), _Entry)
                    if is_it(entry.product.attributes):
                        yield entry.first(unit)

    def _known(self) -> dict[str, _Known]:
        """What the file says; nothing if it is missing or damaged."""
        try:
            return decode_json(self._path.read_bytes(), dict[str, _Known]) if self._path else {}
        except (OSError, MalformedError):
            return {}

    def _remember(self, key: str, price: _Known) -> None:
        """Write a price into the file; one that cannot be written is asked for again."""
        if self._path is None:
            return
        with self._lock, suppress(UserError, OSError):
            write_atomically(self._path, msgspec.json.encode({**self._known(), key: price}) + b"\n")


def _is_for(component: str) -> _Test:
    """The test for what an instance does: each type is sold for endpoints, notebooks, training and processing."""
    return lambda attributes: component in (attributes.get("component"), attributes.get("platoinstancetype"))


def _uses(usage_type: str) -> _Test:
    """The test for a usage type, in front of which most regions have a code such as `EUC1-`."""
    return lambda attributes: f"-{attributes.get('usagetype', '')}".endswith(f"-{usage_type}")
