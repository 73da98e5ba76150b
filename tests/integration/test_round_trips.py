"""How often a command waits for AWS: requests that do not depend on each other go out together."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.session import Aws
from sagepack.engine import executor
from sagepack.sandbox.aws.hosting import TransitionTime
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of
from tests.helpers.network import vpc_setting

if TYPE_CHECKING:
    from collections.abc import Iterator
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

    @property
    def answered(self) -> list[Counter[str]]:
        """The round trips."""
        return [sent for sent in self.sent if sent]

    def check(self, *, last: bool = False) -> None:
        """The round trips were those that are expected, from the first on; after the last of them anything may follow.

        Args:
            last: nothing may follow.
        """
        found = self.answered if last else self.answered[: len(self._expected)]
        assert len(found) == len(self._expected), found
        assert all(sent >= wanted for sent, wanted in zip(found, self._expected, strict=True)), found

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
        made.aws = commands_session(self)
        return made


def commands_session(cloud: Cloud) -> Aws:
    """A session as each command has one, over the clients that all commands share."""
    return Aws.shared(session_of(cloud.servers).connection)


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Warm:
    return Warm(tmp_path, sandbox, monkeypatch)


@contextmanager
def counted(cloud: Warm, *expected: Counter[str]) -> Iterator[Rounds]:
    """Count the round trips of what the block does; no other clients send anything."""
    rounds = Rounds(*expected)

    def wait(model: Any, **_: Any) -> None:
        rounds.wait(model.name)

    events = [client.meta.events for client in commands_session(cloud)._session.clients.values()]
    for each in events:
        each.register("before-call", wait)
    try:
        yield rounds
    finally:
        for each in events:
            each.unregister("before-call", wait)


TOPIC = "arn:aws:sns:us-east-1:123456789012:done"
EVERYTHING = (
    f"endpoint.async.success_topic={TOPIC}",
    f"endpoint.alarms.topics=[{TOPIC}]",
    "endpoint.update.rollback_alarms=[failures]",
    "endpoint.log_retention_in_days=30",
    "endpoint.scaling.schedule=[{at: rate(1 day), min_capacity: 0}]",
    "endpoint.detailed_observability=true",
)


@pytest.mark.parametrize("declared", ["archive", pytest.param("prefix", marks=pytest.mark.slow), "everything"])
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
    with counted(cloud, *expected) as rounds:
        assert not any(action.runs for action in cloud.project(*sets).deploy().actions)
    assert [name for sent in rounds.sent for name in sent if not name.startswith(READS)] == []
    rounds.check()
    assert sum(sent.total() for sent in rounds.answered) <= 20


LISTED = Counter({"GetCallerIdentity": 1, "HeadBucket": 1, "ListObjectsV2": 2})
READ = Counter({"GetObject": 1, "HeadObject": 1})
PUBLISHED = (
    Counter(CreateMultipartUpload=1),
    Counter(UploadPart=1, UploadPartCopy=1),
    Counter(CompleteMultipartUpload=1),
    Counter(HeadObject=1, PutObject=4),
    Counter(PutObject=1),
)


@pytest.mark.parametrize(("knows", "looks"), [(True, (LISTED + READ,)), (False, (LISTED, READ))])
def test_a_published_edit_takes_six_round_trips_and_one_more_where_nothing_is_known_of_the_package(
    cloud: Warm, knows: bool, looks: tuple[Counter[str], ...]
) -> None:
    cloud.project().upload()
    if not knows:
        shutil.rmtree(cloud.root / "build" / "verified")
    with (cloud.root / "inference_code" / "svd" / "inference.py").open("a") as code:
        code.write("# edited\n")
    with counted(cloud, *looks, *PUBLISHED) as rounds:
        cloud.project().upload()
    rounds.check()
    assert sum(sent.total() for sent in rounds.answered) <= 20


TRIED = Counter(GetRole=1, DescribeImages=1, GetServiceQuota=1, SimulatePrincipalPolicy=8)
# After the request: the status, the automatic scaling that the update may have changed, the tags, the record, and where it lies.
SERVES = (
    Counter(DescribeEndpoint=1),
    Counter(DescribeScalableTargets=1, DescribeScalingPolicies=1, DescribeAlarms=1, DescribeScheduledActions=1),
)
RECORDED = (Counter(PutObject=1), Counter(AddTags=1))


def test_an_update_takes_seven_round_trips_before_the_wait_and_four_more(cloud: Warm) -> None:
    cloud.project().deploy()
    cloud.servers.aws.scenario.transition_time = TransitionTime(polls=0)
    expected = (
        LISTED + Counter(DescribeEndpoint=1),
        READ + Counter(DescribeEndpointConfig=1, ListTags=1),
        Counter(DescribeModel=1),
        TRIED,
        Counter(DescribeEndpointConfig=1),
        Counter(CreateEndpointConfig=1),
        Counter(UpdateEndpoint=1),
        *SERVES,
        *RECORDED,
    )
    with counted(cloud, *expected) as rounds:
        cloud.project("endpoint.async.max_concurrent_invocations_per_instance=2").deploy(smoke=False)
    rounds.check(last=True)


def test_an_edit_that_is_deployed_looks_at_nothing_twice(cloud: Warm) -> None:
    cloud.project().deploy()
    cloud.servers.aws.scenario.transition_time = TransitionTime(polls=0)
    with (cloud.root / "inference_code" / "svd" / "inference.py").open("a") as code:
        code.write("# edited\n")
    expected = (
        LISTED + READ + Counter(DescribeEndpoint=1),
        Counter(DescribeEndpointConfig=1, ListTags=1),
        Counter(DescribeModel=1),
        TRIED,
        *PUBLISHED,
        Counter(DescribeModel=1),
        Counter(CreateModel=1),
        Counter(CreateEndpointConfig=1),
        Counter(UpdateEndpoint=1),
        *SERVES,
        Counter(AddTags=1),
        *RECORDED,
    )
    with counted(cloud, *expected) as rounds:
        cloud.project().deploy(smoke=False)
    rounds.check(last=True)


@pytest.mark.slow
def test_an_endpoint_is_looked_at_again_after_a_long_upload(cloud: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.project().deploy()
    with (cloud.root / "inference_code" / "svd" / "inference.py").open("a") as code:
        code.write("# edited\n")
    monkeypatch.setattr(executor, "_LOOK_LASTS", 0.0)
    with counted(cloud) as rounds:
        cloud.project().deploy()
    names = [name for sent in rounds.answered for name in sent]
    assert "ListTags" in names[names.index("CompleteMultipartUpload") :]
