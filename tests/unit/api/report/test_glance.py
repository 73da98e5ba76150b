"""The top of a report says what there is, what serves and what it costs, or that it is not known."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from sagepack.api import results
from sagepack.api.report import glance
from tests.helpers.reports import facts


def said(**known: Any) -> dict[str, str]:
    found = facts(**{"wrong": None, **known})
    return {line.name: line.text for line in glance.lines(found)}


def endpoint(**known: Any) -> results.EndpointStatus:
    found = facts().endpoint
    assert found is not None
    return replace(found, **known)


def test_all_that_is_known_is_a_line_each() -> None:
    digest = str(facts().manifest.digest)[7:23]  # type: ignore[union-attr]
    assert said() == {
        "Package": f"`{digest}`, 3 files, 3.0 MiB; published",
        "Serves": "endpoint `svd`, InService with 1 instance, with this package",
        "Costs": "$1.51 an hour for the instances that run now, $0.25 a month for the package in S3",
    }


def test_what_is_not_known_is_said_to_be_not_known() -> None:
    assert set(said(manifest=None, endpoint=None, month=None).values()) == {"not known"}


@pytest.mark.parametrize(
    ("known", "end"),
    [
        ({"published": None, "unpublished": True}, "; not published"),
        ({"published": None, "wrong": "damaged"}, "; what S3 holds of it is not as it should be"),
        ({"published": None}, "MiB"),
    ],
)
def test_a_package_that_is_not_as_published_is_said_so(known: dict[str, Any], end: str) -> None:
    assert said(**known)["Package"].endswith(end)


@pytest.mark.parametrize(
    ("live", "text"),
    [
        (results.EndpointStatus("svd"), "nothing: there is no endpoint `svd`"),
        (endpoint(instances=0), "endpoint `svd`, InService, asleep, with this package"),
        (endpoint(instances=None), "endpoint `svd`, InService, with this package"),
        (
            endpoint(manifest=f"sha256:{'0' * 64}"),
            f"endpoint `svd`, InService with 1 instance, with another package, `{'0' * 16}`",
        ),
        (endpoint(manifest=None), "endpoint `svd`, InService with 1 instance, with a package that is not known"),
    ],
)
def test_what_serves_is_said_in_a_line(live: results.EndpointStatus, text: str) -> None:
    assert said(endpoint=live)["Serves"] == text


def test_the_sandbox_costs_nothing() -> None:
    assert said(sandbox=True)["Costs"].startswith("nothing")
