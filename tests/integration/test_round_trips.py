"""How often a command waits for AWS: requests that do not depend on each other go out together."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.preflight.questions import PATIENCE
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.engine.clients import Clients
    from sagepack.sandbox.servers import Servers

QUIET = 0.25  # seconds without a new request, after which all that wait for an answer get it
READS = ("Describe", "Get", "Head", "List")


class Rounds:
    """Requests to AWS, each of which is answered when no other one comes any more: so many rounds, so many round trips.

    Attributes:
        sent: the names of the requests, by their round.
    """

    def __init__(self) -> None:
        self.sent: list[list[str]] = [[]]
        self._changed, self._latest = threading.Condition(), 0.0

    def wait(self, name: str) -> None:
        """Send a request, and wait for the end of its round."""
        with self._changed:
            number = len(self.sent)
            self.sent[-1].append(name)
            self._latest = time.monotonic()
            while len(self.sent) == number:
                left = self._latest + QUIET - time.monotonic()
                if left <= 0:
                    self.sent.append([])
                    self._changed.notify_all()
                else:
                    self._changed.wait(left)

    @property
    def answered(self) -> list[list[str]]:
        """The names of the requests of each round, sorted."""
        return [sorted(names) for names in self.sent if names]


class Warm(Cloud):
    """A project whose clients of AWS are made already: that takes time, in which nothing is sent."""

    def make_clients(self, root: Path, spec: Any, cache: Path, progress: Any) -> Clients:
        made = super().make_clients(root, spec, cache, progress)
        made.aws = session_of(self.servers)
        return made


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Warm:
    return Warm(tmp_path, sandbox, monkeypatch)


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_a_second_deploy_writes_nothing_and_takes_three_round_trips(cloud: Warm, layout: str) -> None:
    sets = f"artifact.layout={layout}"
    cloud.project(sets).deploy()
    rounds = Rounds()

    def wait(model: Any, **_: Any) -> None:
        rounds.wait(model.name)

    aws = session_of(cloud.servers)
    sessions = (aws, aws.with_patience(PATIENCE))
    events = [client.meta.events for session in sessions for client in session._clients.values()]
    for each in events:
        each.register("before-call", wait)
    try:
        assert not any(action.runs for action in cloud.project(sets).deploy().actions)
    finally:
        for each in events:
            each.unregister("before-call", wait)
    names = [name for sent in rounds.answered for name in sent]
    assert [name for name in names if not name.startswith(READS)] == []
    assert len(names) <= 16
    assert [sorted(set(sent)) for sent in rounds.answered] == [
        ["DescribeEndpoint", "GetCallerIdentity", "HeadBucket", "ListObjectsV2"],
        sorted(
            [
                *("DescribeAlarms", "DescribeEndpointConfig", "DescribeScalableTargets", "DescribeScalingPolicies"),
                *("GetObject", "ListTags", *(["HeadObject"] if layout == "archive" else [])),
            ]
        ),
        ["DescribeModel"],
    ]
