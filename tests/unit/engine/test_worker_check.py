"""What a worker says about itself: versions first, and nothing else where they differ."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from sagepack.engine import worker_check
from sagepack.engine.worker_check import Demand, Report
from sagepack.publish.upload.unit_text import Services

SERVICES = Services(region="us-east-1", bucket="bucket")


@pytest.fixture(autouse=True)
def _well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The services are there."""
    for name in ("_bucket", "_hub"):
        monkeypatch.setattr(worker_check, name, lambda _demand: None)


def problems(**demanded: Any) -> list[str]:
    text = msgspec.json.encode(Demand(SERVICES, "s3://bucket/key", **demanded)).decode()
    return [each.message for each in msgspec.json.decode(worker_check.check_here(text), type=Report).problems]


def test_a_worker_like_this_machine_lacks_nothing() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("demanded", "message"),
    [
        ({"sagepack": "9.9.9"}, "this machine 9.9.9"),
        ({"format": 7}, "this machine of 7"),
        ({"python": "3.9"}, "this machine 3.9"),
    ],
)
def test_another_version_is_told(demanded: dict[str, Any], message: str) -> None:
    (found,) = problems(**demanded)
    assert message in found


def test_with_another_version_nothing_else_is_told() -> None:
    assert len(problems(sagepack="9.9.9", memory=1 << 60)) == 1


def test_too_little_memory_for_the_parts_is_told() -> None:
    (found,) = problems(memory=1 << 60)
    assert "its parts take" in found


def test_a_service_that_fails_in_an_unknown_way_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_demand: Demand) -> None:
        raise ZeroDivisionError("x")

    monkeypatch.setattr(worker_check, "_hub", fail)
    assert len(problems(memory=1 << 60)) == 2
