"""How often a command waits for AWS: requests that do not depend on each other go out together."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.preflight.questions import PATIENCE
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of
from tests.helpers.network import vpc_setting

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.engine.clients import Clients
    from sagepack.sandbox.servers import Servers

PATIENT = 5.0  # seconds, after which a round ends without what was expected
READS = ("Describe", "Get", "Head", "List")


class Rounds:
    """Requests to AWS, of which none is answered before all those came that are expected together: a round trip.

    Attributes:
        sent: the names of the requests, by the round in which they were answered.
    """

    def __init__(self, *expected: Counter[str]) -> None:
        self.sent: list[Counter[str]] = [Counter()]
        self._expected, self._changed = expected, threading.Condition()

    def wait(self, name: str) -> None:
        """Send a request, and wait for the end of its round."""
        with self._changed:
            number = len(self.sent)
            self.sent[-1][name] += 1
            expected = self._expected[number - 1] if number <= len(self._expected) else Counter[str]()
            if self.sent[-1] >= expected or not self._changed.wait_for(lambda: len(self.sent) > number, PATIENT):
                self.sent.append(Counter())
                self._changed.notify_all()


class Warm(Cloud):
    """A project whose clients of AWS are made already: that takes time, in which nothing is sent."""

    def make_clients(self, root: Path, spec: Any, cache: Path, progress: Any) -> Clients:
        made = super().make_clients(root, spec, cache, progress)
        made.aws = session_of(self.servers)
        return made


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Warm:
    return Warm(tmp_path, sandbox, monkeypatch)


TOPIC = "arn:aws:sns:us-east-1:123456789012:done"
EVERYTHING = (
    f"endpoint.async.success_topic={TOPIC}",
    f"endpoint.alarms.topics=[{TOPIC}]",
    "endpoint.update.rollback_alarms=[failures]",
    "endpoint.log_retention_in_days=30",
    "endpoint.scaling.schedule=[{at: rate(1 day), min_capacity: 0}]",
    "endpoint.detailed_observability=true",
)


@pytest.mark.parametrize("declared", ["archive", "prefix", "everything"])
def test_a_second_deploy_writes_nothing_and_takes_three_round_trips(cloud: Warm, declared: str) -> None:
    sets: tuple[str, ...] = (f"artifact.layout={declared}",)
    group = Counter[str]()
    if declared == "everything":
        aws = session_of(cloud.servers)
        aws.client("sns").create_topic(Name="done")
        key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        sets, group = (*EVERYTHING, f"endpoint.async.kms_key_id={key}", vpc_setting(aws)), Counter(DescribeLogGroups=1)
    cloud.project(*sets).deploy()
    head = {} if declared == "prefix" else {"HeadObject": 1}
    expected = (
        Counter({"DescribeEndpoint": 1, "GetCallerIdentity": 1, "HeadBucket": 1, "ListObjectsV2": 2}),
        Counter({"DescribeEndpointConfig": 1, "ListTags": 1, "GetObject": 2, **head, **group}),
        Counter({"DescribeModel": 1}),
    )
    rounds = Rounds(*expected)

    def wait(model: Any, **_: Any) -> None:
        rounds.wait(model.name)

    aws = session_of(cloud.servers)
    sessions = (aws, aws.with_patience(PATIENCE))
    events = [client.meta.events for session in sessions for client in session._clients.values()]
    for each in events:
        each.register("before-call", wait)
    try:
        assert not any(action.runs for action in cloud.project(*sets).deploy().actions)
    finally:
        for each in events:
            each.unregister("before-call", wait)
    assert [name for sent in rounds.sent for name in sent if not name.startswith(READS)] == []
    answered = [sent for sent in rounds.sent if sent]
    assert len(answered) == len(expected)
    assert all(sent >= wanted for sent, wanted in zip(answered, expected, strict=True))
    assert sum(sent.total() for sent in answered) <= 20
