"""List prices: read from AWS's price list, remembered for a week, and never in the way."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.prices import Prices
from tests.helpers.deployments import stubbed

if TYPE_CHECKING:
    from pathlib import Path


def entry(price: str, unit: str = "Hrs", *, begin: str = "0", **attributes: str) -> str:
    dimensions = {"A.B.C": {"unit": unit, "beginRange": begin, "endRange": "Inf", "pricePerUnit": {"USD": price}}}
    product = {"productFamily": "ML Instance", "sku": "A", "attributes": attributes}
    return json.dumps({"product": product, "terms": {"OnDemand": {"A.B": {"priceDimensions": dimensions}}}})


def asked(path: Path | None, *pages: list[str], region: str = "us-east-1") -> Prices:
    """The prices of a session whose price list has these pages."""
    aws, stubs = stubbed("pricing")
    object.__setattr__(aws.connection, "region", region)
    for number, page in enumerate(pages):
        more = {"NextToken": "more"} if number + 1 < len(pages) else {}
        stubs["pricing"].add_response("get_products", {"PriceList": page, **more})
    aws.with_patience = lambda _patience: _Only(stubs["pricing"].client)  # type: ignore[method-assign, assignment, return-value]
    return Prices(aws, path)


class _Only:
    """A session with one client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def client(self, service: str) -> Any:
        assert service == "pricing"
        return self._client


NOTEBOOK, HOSTING = entry("9.9", component="Notebook"), entry("1.5150000000", component="Hosting")


@pytest.mark.parametrize(
    "pages", [([NOTEBOOK, HOSTING],), ([NOTEBOOK], [HOSTING]), ([entry("1.515", platoinstancetype="Hosting")],)]
)
def test_the_price_of_an_instance_is_that_of_hosting(pages: tuple[list[str], ...]) -> None:
    prices = asked(None, *pages)
    assert prices.hour("ml.g5.2xlarge") == 1.515
    assert prices.problem is None


def test_the_price_of_storage_is_that_of_the_first_gigabytes() -> None:
    cheap = entry("0.021", "GB-Mo", begin="512000", usagetype="TimedStorage-ByteHrs")
    other = entry("0.0125", "GB-Mo", usagetype="EUC1-TimedStorage-SIA-ByteHrs")
    first = entry("0.0245", "GB-Mo", usagetype="EUC1-TimedStorage-ByteHrs")
    assert asked(None, [cheap, other, first]).gigabyte_month() == 0.0245
    assert asked(None, [first, other]).gigabyte_month("STANDARD_IA") == 0.0125


@pytest.mark.parametrize(
    "page",
    [
        [],
        [NOTEBOOK],
        ["{}"],
        ["no JSON"],
        [entry("free", component="Hosting")],
        [entry("1", unit="GB", component="Hosting")],
    ],
)
def test_what_the_list_does_not_have_is_not_known_and_said(page: list[str]) -> None:
    prices = asked(None, page)
    assert prices.hour("ml.g5.2xlarge") is None
    assert prices.problem


def test_a_price_is_asked_for_once_in_a_week(tmp_path: Path) -> None:
    path = tmp_path / "build" / "prices.json"
    assert asked(path, [HOSTING]).hour("ml.g5.2xlarge") == 1.515
    assert asked(path).hour("ml.g5.2xlarge") == 1.515, "from the file"
    known = json.loads(path.read_bytes())
    (name,) = known
    known[name]["asked"] = (datetime.now(timezone.utc) - timedelta(days=8)).isoformat()
    path.write_text(json.dumps(known))
    assert asked(path, [entry("2", component="Hosting")]).hour("ml.g5.2xlarge") == 2.0


def test_a_damaged_file_is_asked_for_again_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(b"{")
    assert asked(path, [HOSTING]).hour("ml.g5.2xlarge") == 1.515
    assert "1.515" in path.read_text()


def test_a_file_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert asked(tmp_path / "file" / "prices.json", [HOSTING]).hour("ml.g5.2xlarge") == 1.515


@pytest.mark.parametrize("region", ["cn-north-1", "us-gov-west-1"])
def test_nobody_is_asked_in_a_partition_whose_credentials_do_not_count_there(region: str) -> None:
    prices = asked(None, region=region)
    assert prices.hour("ml.g5.2xlarge") is None
    assert prices.problem == f"prices in {region} are not looked up"


def test_a_storage_class_without_a_known_product_is_said() -> None:
    prices = asked(None)
    assert prices.gigabyte_month("DEEP_ARCHIVE") is None
    assert "DEEP_ARCHIVE" in str(prices.problem)
