"""What `status` and `logs` say of endpoints in the sandbox."""

from __future__ import annotations

import dataclasses
import time
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from sagepack.api.results import FailedDeployment
from sagepack.aws.logs import log_group
from sagepack.aws.s3 import S3Uri
from sagepack.deploy.deployment import Owner, ReleaseTag, tag_list
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.spec.model import Scaling
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import MANIFEST, RecordedProgress, deployment, published, session_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

NAME = "svd-cloud"


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def deploy(aws: Aws, owner: str = "svd") -> Deployment:
    value = dataclasses.replace(
        deployment(endpoint_name=NAME, scaling=Scaling(0, 2)), owner=Owner(NAME, owner, "cloud")
    )
    reconcile(aws, published(aws, value), Silent(), WaiterConfig(delay=0.01, timeout=30))
    return value


def write(aws: Aws, *lines: str, instance: str = "i-1") -> None:
    """Write to the log as a container does."""
    logs, group, stream = aws.client("logs"), log_group(NAME), f"AllTraffic/{instance}"
    if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
        logs.create_log_group(logGroupName=group)
    if not logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream)["logStreams"]:
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def test_the_status_names_what_serves_its_scaling_and_its_queue(aws: Aws, cloud: Cloud) -> None:
    value = deploy(aws)
    metric: dict[str, Any] = {
        "MetricName": "ApproximateBacklogSize",
        "Dimensions": [{"Name": "EndpointName", "Value": NAME}],
        "Timestamp": datetime.now(timezone.utc) - timedelta(minutes=2),
        "Value": 3,
    }
    aws.client("cloudwatch").put_metric_data(Namespace="AWS/SageMaker", MetricData=[metric])
    found = cloud.project(f"endpoint.name={NAME}").status()
    assert (found.state, found.config, found.model) == ("InService", value.endpoint_config_name, value.model_name)
    assert (found.instances, found.desired_instances, found.fewest_instances, found.most_instances) == (1, 1, 0, 2)
    assert (found.manifest, found.backlog, found.unknown) == (str(MANIFEST), 3, ())
    assert found.image == value.image_uri
    assert [alarm.acts for alarm in found.alarms] == [True]
    assert found.console is not None


def test_the_status_tells_of_a_deployment_that_failed_until_there_is_a_release_after_it(aws: Aws, cloud: Cloud) -> None:
    deploy(aws)
    project, sagemaker = cloud.project(f"endpoint.name={NAME}"), aws.client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName=NAME)["EndpointArn"]

    def tagged(*tags: dict[str, str]) -> FailedDeployment | None:
        sagemaker.add_tags(ResourceArn=arn, Tags=[each for pairs in tags for each in tag_list(pairs)])
        return project.status().failed

    failed = ReleaseTag("svd-0123456789ab", "20260102T030405000001Z")
    before, after = ("20260102T030405000000Z", "20260102T030405000002Z")
    assert project.status().failed is None
    assert tagged(failed.failed_tags) == FailedDeployment("2026-01-02T03:04:05Z", failed.config)
    assert tagged(ReleaseTag("svd-1", before).tags) is not None
    assert tagged(ReleaseTag("svd-2", after).tags) is None
    assert tagged({"sagepack:failed": "svd-1/later"}) is None


class Pending:
    """Errors that are added while it is asked for them."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def __iter__(self) -> Iterator[Exception]:
        return self

    def __next__(self) -> Exception:
        if not self.errors:
            raise StopIteration
        return self.errors.pop()


def test_a_watched_status_shows_what_changes_and_survives_an_outage(
    aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending, waits = Pending(), list[float]()
    fail(cloud, monkeypatch, "sagemaker.DescribeEndpoint", pending)
    monkeypatch.setattr(time, "sleep", waits.append)
    value = deploy(aws)
    project = cloud.project(f"endpoint.name={NAME}")
    looks = project.watch_status(interval=7)
    assert (next(looks).model_exists, waits.count(7)) == (True, 0)
    aws.client("sagemaker").delete_model(ModelName=value.model_name)
    pending.errors += [EndpointConnectionError(endpoint_url="https://sagemaker")]
    assert next(looks).model_exists is False
    assert waits.count(7) == 2
    assert isinstance(project.progress, RecordedProgress)
    assert "Could not connect" in project.progress.notes[-1]
    assert project.progress.notes[-1].endswith("; trying again")


def test_the_status_of_no_endpoint_says_so(cloud: Cloud) -> None:
    found = cloud.project(f"endpoint.name={NAME}").status()
    assert (found.state, found.exit_code) == (None, 0)


def test_a_model_that_was_deleted_is_named(aws: Aws, cloud: Cloud) -> None:
    value = deploy(aws)
    aws.client("sagemaker").delete_model(ModelName=value.model_name)
    found = cloud.project(f"endpoint.name={NAME}").status()
    assert (found.model, found.model_exists) == (value.model_name, False)


def fail(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, call: str, errors: Iterable[Exception]) -> None:
    """Let calls of one operation fail, one for each error."""
    make, left = cloud.make_clients, iter(errors)

    def raise_next(**_: Any) -> None:
        for error in left:
            raise error

    def failing(*args: Any) -> Any:
        clients = make(*args)
        clients.aws._session.boto.events.register(f"before-call.{call}", raise_next)
        return clients

    cloud.connect(failing, monkeypatch)


def test_what_cannot_be_found_out_is_named_and_the_rest_is_shown(
    aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(aws)
    denied = ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, "GetMetricData")
    fail(cloud, monkeypatch, "cloudwatch.GetMetricData", [denied])
    found = cloud.project(f"endpoint.name={NAME}").status()
    assert (found.state, found.backlog) == ("InService", None)
    assert ["ApproximateBacklogSize" in text for text in found.unknown] == [True]


def test_the_status_names_the_newest_failures_of_requests_in_the_words_of_the_container(aws: Aws, cloud: Cloud) -> None:
    value = deploy(aws)
    sets = (f"endpoint.name={NAME}", f"endpoint.async.s3_failure_path={value.endpoint.asynchronous.s3_failure_path}")
    assert cloud.project(*sets).status().failures == ()
    below = S3Uri.parse(value.endpoint.asynchronous.s3_failure_path)
    body = b'{"code": 400, "message": "CUDA out of memory. Tried to allocate 2.00 GiB"}'
    location = below.child("1-error.out")
    aws.client("s3").put_object(Bucket=location.bucket, Key=location.key, Body=body)
    found = cloud.project(*sets).status()
    assert [(failed.location, failed.failure) for failed in found.failures] == [(str(location), "gpu-memory")]
    assert found.failures[0].message == (
        "the endpoint failed on the request (400): CUDA out of memory. Tried to allocate 2.00 GiB"
    )
    cloud.servers.aws.denied.set(["s3:GetObject"])
    found = cloud.project(*sets).status()
    assert (found.state, found.failures) == ("InService", ())
    assert any(text.startswith("the newest failures of requests: ") for text in found.unknown)


def test_status_and_logs_refuse_an_endpoint_of_another_owner(aws: Aws, cloud: Cloud) -> None:
    deploy(aws, owner="llava")
    write(aws, "secret")
    project = cloud.project(f"endpoint.name={NAME}")
    for look in (project.status, project.logs, lambda: next(project.follow_logs())):
        with pytest.raises(UserError, match="does not belong to svd/cloud"):
            look()


def test_the_log_has_the_lines_of_all_instances_also_after_the_endpoint_is_gone(aws: Aws, cloud: Cloud) -> None:
    project = cloud.project(f"endpoint.name={NAME}")
    assert not project.logs().exists
    write(aws, "loading\nthe model")
    write(aws, "ready", instance="i-2")
    found = project.logs(since=timedelta(minutes=5))
    assert [(line.instance, line.text) for line in found.lines] == [
        ("i-1", "loading"),
        ("i-1", "the model"),
        ("i-2", "ready"),
    ]


def test_a_followed_log_goes_on_with_what_is_written_later(aws: Aws, cloud: Cloud) -> None:
    write(aws, "before")
    lines = cloud.project(f"endpoint.name={NAME}").follow_logs(since=timedelta(minutes=5))
    assert next(lines).text == "before"
    write(aws, "after", "and more")
    assert [line.text for line in islice(lines, 2)] == ["after", "and more"]


def test_following_waits_for_a_first_container_and_survives_an_outage(
    aws: Aws, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage: Any = EndpointConnectionError(endpoint_url="https://logs")
    fail(cloud, monkeypatch, "cloudwatch-logs.FilterLogEvents", [outage, outage])
    project = cloud.project(f"endpoint.name={NAME}")
    waits = list[float]()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 4:
            write(aws, "at last")

    monkeypatch.setattr(time, "sleep", wait)
    assert next(project.follow_logs(since=timedelta(minutes=5))).text == "at last"
    assert isinstance(project.progress, RecordedProgress)
    first, second = project.progress.notes[-2:]
    assert "Could not connect" in first
    assert second == f"no container of endpoint {NAME} has written a log yet; waiting for one"
