"""An outage of AWS for twenty minutes that begins with each call of a deploy, in turn."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.outages import KINDS, Outages

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers
    from tests.helpers.outages import OutageKind

pytestmark = pytest.mark.slow
# What changes is the model, the configuration, the bounds of the scaling and the tags.
UPDATE = ("environment.GREETING=hello", "endpoint.scaling.max_capacity=3", "endpoint.tags.team=night")


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Outages:
    found = Outages(tmp_path / "project", sandbox, monkeypatch)
    found.project().package()
    shutil.copytree(found.root, tmp_path / "packaged")
    return found


def _begin(cloud: Outages) -> None:
    """An empty account, and a project that was packaged and never published."""
    answer = cloud.servers.aws.invocations.default
    cloud.servers.reset()
    cloud.servers.aws.invocations.default = answer
    shutil.rmtree(cloud.root)
    shutil.copytree(cloud.root.parent / "packaged", cloud.root)


def _deployed(cloud: Outages, kind: OutageKind | None, call: int, *, update: bool) -> dict[str, Any]:
    """What there is after a deploy, the first or that of a change, with an outage that begins with a call."""
    _begin(cloud)
    if update:
        cloud.deploy()
    cloud.deploy(kind, call, *(UPDATE if update else ()))
    return cloud.state()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", [False, True], ids=["first", "update"])
def test_an_outage_of_twenty_minutes_that_begins_with_any_call_ends_no_deploy(
    cloud: Outages, kind: OutageKind, update: bool
) -> None:
    wanted = _deployed(cloud, None, 0, update=update)
    calls = cloud.calls
    assert calls > 30
    for call in range(calls):
        found = _deployed(cloud, kind, call, update=update)
        assert (call, found) == (call, wanted)
        # How often the endpoint is looked at differs by one or two.
        assert cloud.now >= 1200 or call >= calls - 3, f"there was no outage at call {call}"
