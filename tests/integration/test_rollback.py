"""An endpoint goes back to a release that it served before, and nothing is built or uploaded for it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api import events, rolling_back
from sagepack.api.recording import Recorder
from sagepack.aws.s3 import S3, S3Uri
from sagepack.cli import history
from sagepack.deploy import record
from sagepack.deploy.deployment import ReleaseTag, tag_list
from sagepack.errors import RemoteError, UserError
from sagepack.sandbox.aws.hosting import DeploymentOutcome
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.api.results import Deployed
    from sagepack.sandbox.servers import Servers

CHANGED = ("endpoint.scaling.max_capacity=5", "environment.SAUCE=mustard", "endpoint.tags.team=night")


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A project of which two releases were deployed."""
    found = Cloud(tmp_path, sandbox, monkeypatch)
    found.project().deploy()
    found.project(*CHANGED).deploy()
    return found


def client(cloud: Cloud, service: str = "sagemaker") -> Any:
    return session_of(cloud.servers).client(service)


def live(cloud: Cloud) -> str:
    return str(client(cloud).describe_endpoint(EndpointName="svd")["EndpointConfigName"])


def tags(cloud: Cloud) -> dict[str, str]:
    arn = client(cloud).describe_endpoint(EndpointName="svd")["EndpointArn"]
    return {tag["Key"]: tag["Value"] for tag in client(cloud).list_tags(ResourceArn=arn)["Tags"]}


def releases(cloud: Cloud) -> tuple[Deployed, ...]:
    return cloud.project().releases().deployments


def test_the_release_before_serves_again_with_its_scaling_and_tags_and_is_recorded(cloud: Cloud) -> None:
    second, first = releases(cloud)
    project = cloud.project(*CHANGED)
    told: list[events.Event] = []
    project.progress = Recorder(project.progress, told.append)
    found = project.rollback()
    begun = [(event.step, event.reasons) for event in told if isinstance(event, events.StepBegun)]
    assert begun == [("deploy", ("back to release 2",))]
    assert (found.config, found.record) == (first.config, first.record)
    assert live(cloud) == first.config
    assert not [request for request in cloud.moved if "/deployments/" not in request]
    (target,) = client(cloud, "application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")[
        "ScalableTargets"
    ]
    assert target["MaxCapacity"] == 2
    newest, *others = releases(cloud)
    assert others == [second, first]
    assert newest.rolled_back_to == first.record
    assert (newest.config, newest.manifest, newest.commit) == (first.config, first.manifest, first.commit)
    assert tags(cloud)["sagepack:release"].partition("/")[0] == first.config
    assert tags(cloud)["sagepack:release"].partition("/")[2] in newest.record
    plan = cloud.project(*CHANGED).plan("deploy").actions[-1]
    assert "environment.SAUCE" in {change.subject for change in plan.changes}
    assert not any(action.runs for action in cloud.project().plan("deploy").actions[-2:])


@pytest.mark.slow
def test_a_review_says_what_differs_and_changes_nothing(cloud: Cloud) -> None:
    second, first = releases(cloud)
    found = cloud.project(*CHANGED).review_rollback()
    assert (found.config, found.changes, found.changes_something) == (first.config, None, True)
    assert history.rollback(cloud.project(*CHANGED), to="", dry_run=True, yes=True) == found
    assert not cloud.project(*CHANGED).review_rollback("1").changes_something
    assert found.diff is not None
    assert {each.subject for each in found.diff.settings} == {
        "endpoint.scaling.max_capacity",
        "endpoint.tags.team",
        "environment.SAUCE",
    }
    assert live(cloud) == second.config


@pytest.mark.slow
def test_any_release_may_be_named_and_the_one_that_serves_is_left_as_it_is(cloud: Cloud) -> None:
    second, first = releases(cloud)
    assert cloud.project().rollback(second.config).changes == ()
    assert len(releases(cloud)) == 2
    cloud.project().rollback("2")
    assert live(cloud) == first.config
    cloud.project().rollback(second.record)
    assert live(cloud) == second.config
    assert [each.rolled_back_to for each in releases(cloud)] == [second.record, first.record, None, None]


@pytest.mark.slow
def test_a_second_rollback_goes_further_back(cloud: Cloud) -> None:
    cloud.project("environment.SAUCE=pepper").deploy()
    third, second, first = releases(cloud)
    assert third.config != second.config
    cloud.project().rollback()
    assert live(cloud) == second.config
    cloud.project().rollback()
    assert live(cloud) == first.config
    with pytest.raises(UserError, match="what serves is the first release that is recorded"):
        cloud.project().rollback()


@pytest.mark.slow
@pytest.mark.parametrize("is_done", [False, True])
def test_the_same_command_finishes_an_interrupted_rollback(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    _, first = releases(cloud)
    with monkeypatch.context() as interrupted:

        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        interrupted.setattr(rolling_back, "_record", interrupt)
        with pytest.raises(KeyboardInterrupt):
            cloud.project().rollback()
    assert live(cloud) == first.config
    assert len(releases(cloud)) == 2
    if not is_done:
        client(cloud).add_tags(
            ResourceArn=client(cloud).describe_endpoint(EndpointName="svd")["EndpointArn"],
            Tags=[{"Key": "team", "Value": "other"}],
        )
    cloud.project().rollback()
    assert live(cloud) == first.config
    assert releases(cloud)[0].rolled_back_to == first.record


@pytest.mark.slow
def test_what_was_put_back_already_is_not_taken_for_the_deployment_that_failed(cloud: Cloud) -> None:
    _, first = releases(cloud)
    failed = ReleaseTag("svd-0123456789ab", record.key_time(datetime.now(timezone.utc)))
    client(cloud).add_tags(
        ResourceArn=client(cloud).describe_endpoint(EndpointName="svd")["EndpointArn"],
        Tags=tag_list(failed.failed_tags),
    )
    with pytest.raises(UserError, match="svd-0123456789ab failed its smoke test, and the release before") as caught:
        cloud.project().rollback()
    assert caught.value.fix == "--to 2 goes back one release further"
    cloud.project().rollback("2")
    assert live(cloud) == first.config


@pytest.mark.slow
def test_without_a_recorded_release_there_is_none_to_go_back_to(cloud: Cloud) -> None:
    s3 = S3(client(cloud, "s3"))
    for each in releases(cloud):
        s3.delete(S3Uri.parse(each.record))
    with pytest.raises(UserError, match="no release is recorded that it could go back to"):
        cloud.project().rollback()


@pytest.mark.slow
def test_what_was_deleted_is_told_with_the_commit_before_anything_is_sent(cloud: Cloud) -> None:
    second, first = releases(cloud)
    s3 = S3(client(cloud, "s3"))
    s3.delete(S3Uri.parse(first.package))
    with pytest.raises(UserError, match="the package of release 2 was deleted"):
        cloud.project().rollback()
    client(cloud).delete_model(ModelName=first.model)
    with pytest.raises(UserError, match="the model was deleted"):
        cloud.project().rollback()
    client(cloud).delete_endpoint_config(EndpointConfigName=first.config)
    with pytest.raises(UserError, match="the endpoint configuration was deleted"):
        cloud.project().review_rollback()
    assert live(cloud) == second.config
    assert len(releases(cloud)) == 2


@pytest.mark.slow
def test_a_release_that_does_not_come_into_service_is_not_recorded(cloud: Cloud) -> None:
    second, _ = releases(cloud)
    cloud.servers.aws.scenario.end_deployments("svd", DeploymentOutcome("fail"))
    with pytest.raises(RemoteError, match="rolled back"):
        cloud.project().rollback()
    assert live(cloud) == second.config
    assert len(releases(cloud)) == 2


@pytest.mark.slow
def test_a_record_that_cannot_be_written_fails_no_rollback(cloud: Cloud) -> None:
    _, first = releases(cloud)
    cloud.servers.aws.denied.set(["s3:PutObject"])
    project = cloud.project()
    project.rollback()
    assert live(cloud) == first.config
    assert isinstance(project.progress, RecordedProgress)
    assert "the rollback is not recorded" in project.progress.text


@pytest.mark.slow
def test_an_endpoint_that_is_not_there_or_of_somebody_else_is_left_alone(cloud: Cloud) -> None:
    arn = client(cloud).describe_endpoint(EndpointName="svd")["EndpointArn"]
    client(cloud).add_tags(ResourceArn=arn, Tags=[{"Key": "sagepack:env", "Value": "prod"}])
    with pytest.raises(UserError, match="does not belong to svd/cloud"):
        cloud.project().rollback()
    client(cloud).add_tags(ResourceArn=arn, Tags=[{"Key": "sagepack:env", "Value": "cloud"}])
    cloud.project("endpoint.name=other").deploy()
    with pytest.raises(UserError, match="release 2 is of endpoint svd"):
        cloud.project("endpoint.name=other").rollback("2")
    cloud.project().destroy()
    with pytest.raises(UserError, match="there is no such endpoint"):
        cloud.project().rollback()
