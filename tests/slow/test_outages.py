"""An outage of AWS for twenty minutes that begins with each call of a deploy, in turn, and with some of other commands."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api.project import Project
from sagepack.sandbox.faults import Fault
from tests.helpers.cloud import OVERLAY
from tests.helpers.deployments import RecordedProgress
from tests.helpers.outages import KINDS, LASTS, Outages

if TYPE_CHECKING:
    from collections.abc import Callable
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
        assert cloud.now >= 1200 or call >= calls - LOOKS, f"there was no outage at call {call}"


COMMANDS: dict[str, Callable[[Project], object]] = {
    "rollback": lambda project: project.rollback(),
    "gc": lambda project: project.gc(keep=1, older_than_hours=0, answers_older_than_days=0),
    "promote": lambda project: project.promote("cloud"),
}
LOOKS = 5  # calls by which runs differ: how often the endpoint, and the log with it, is looked at in a wait
EVERY = 5  # calls: there are some dozens, and each takes deployments of its own


def _calls_of(cloud: Outages, command: str, after: int | None) -> int:
    """How many calls a command takes, with a login that expires for twenty minutes after some of them."""
    _begin(cloud)
    (cloud.root / "config" / "env" / "stage.yaml").write_text(f"{OVERLAY}endpoint: {{name: svd-stage}}\n")
    for greeting in ("hello", "good evening"):
        cloud.deploy(None, 0, f"environment.GREETING={greeting}")
    environment, faults = "stage" if command == "promote" else "cloud", cloud.servers.aws.faults
    project = Project(cloud.root, str(cloud.root / "config" / "svd.yaml"), environment, UPDATE[:1], RecordedProgress())
    project.lock()
    before, cloud.now = len(faults.log), 0.0
    if after is not None:
        faults.add(Fault("expired_login", after=after))
    COMMANDS[command](project)
    faults.end()
    return len(faults.log) - before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_login_that_expires_in_a_command_and_is_renewed_ends_it_no_earlier(cloud: Outages, command: str) -> None:
    calls = _calls_of(cloud, command, None)
    assert calls > 10
    for after in range(0, calls - LOOKS, EVERY):
        _calls_of(cloud, command, after)
        assert cloud.now >= LASTS, f"no outage after {after} calls"
