"""An outage of AWS, of the network or of the login for twenty minutes, in the middle of a command."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import SagepackError
from sagepack.workers import pause, worker_pool
from tests.helpers.outages import Outages

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers
    from tests.helpers.outages import OutageKind


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Outages:
    found = Outages(tmp_path, sandbox, monkeypatch)
    found.project().package()
    return found


def _calls(cloud: Outages) -> int:
    """How many calls to AWS there were since the project was opened."""
    return len(cloud.servers.aws.faults.log)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "call"), [("drop", 0), ("status", 9), ("expired_login", 25), ("drop", 32)])
def test_a_deploy_survives_an_outage_of_twenty_minutes(cloud: Outages, kind: OutageKind, call: int) -> None:
    built, notes = cloud.deploy(kind, call)
    assert [action.step for action in built.actions if action.runs][-1] == "deploy"
    assert cloud.now >= 1200
    assert ("log in again in another terminal" if kind == "expired_login" else "check the network") in notes
    assert len(re.findall("trying again", notes)) == 1
    # The last call is one for the endpoint's status or one for its log, which are sent at the same time: then a minute less.
    assert re.search(r"AWS responds again, after (19|2\d) min", notes)
    assert cloud.state()["status"][0] == "InService"
    assert not any(action.runs for action in cloud.deploy()[0].actions)


def test_a_plan_does_not_wait_for_the_end_of_an_outage(cloud: Outages) -> None:
    project = cloud.project()
    cloud.servers.aws.faults.drop()
    with pytest.raises(SagepackError, match="Connection was closed"):
        project.plan("deploy")
    assert cloud.now == 0


@pytest.mark.slow
def test_destroy_survives_an_outage_at_its_first_call_and_while_it_lists(cloud: Outages) -> None:
    cloud.deploy()
    for call in (0, 2, 8):
        project, cloud.now = cloud.project(), 0.0
        cloud.servers.aws.faults.drop(after=call)
        assert project.deployed_resources().resources
        assert cloud.now >= 1200
    project, cloud.now = cloud.project(), 0.0
    cloud.servers.aws.faults.expired_login(after=3)
    assert project.destroy().removed
    assert cloud.now >= 1200
    assert cloud.project().deployed_resources().resources == ()


def test_a_pause_in_a_pool_ends_when_the_pool_gives_up() -> None:
    began, ready = time.monotonic(), threading.Event()

    def sleep() -> None:
        ready.set()
        pause(60)

    def wait() -> None:
        with worker_pool(1, "inner") as inner:
            inner.submit(sleep).result()

    def interrupted() -> None:
        with worker_pool(1, "outer") as pool:
            pool.submit(wait)
            ready.wait(10)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - began < 10
