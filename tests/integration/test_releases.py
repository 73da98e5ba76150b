"""The records of deployments, which `releases` lists."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from msgspec.structs import fields, replace

from sagepack.aws.s3 import S3, S3Uri
from sagepack.deploy import record
from sagepack.deploy.deployment import Owner, ReleaseTag, tag_list
from sagepack.deploy.reconcile import reconcile
from sagepack.errors import RemoteError, UserError
from sagepack.sandbox.aws.hosting import DeploymentOutcome
from sagepack.spec import git
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import BUCKET, RECORD, RecordedProgress, deployment, session_of
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

BELOW = S3Uri(BUCKET, "models/svd/deployments/cloud/")


@pytest.fixture
def s3(sandbox: Servers) -> S3:
    return S3(session_of(sandbox).client("s3"))


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


@pytest.mark.slow
def test_a_record_that_cannot_be_written_fails_no_deployment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no")

    monkeypatch.setattr(record, "write", refuse)
    project = cloud.project()
    assert project.deploy().endpoint is not None
    assert isinstance(project.progress, RecordedProgress)
    assert "the deployment is not recorded: no" in project.progress.text


@pytest.mark.slow
def test_a_deployment_that_changes_something_is_recorded_once(cloud: Cloud) -> None:
    none = cloud.project().releases()
    assert (none.deployments, none.serves) == ((), None)
    first = cloud.project().deploy().endpoint
    cloud.project().deploy()
    second = cloud.project("environment.SAUCE=mustard").deploy().endpoint
    assert first is not None
    assert second is not None
    found = cloud.project().releases()
    assert [each.config for each in found.deployments] == [second.config, first.config]
    assert found.serves == second.config
    newest = found.deployments[0]
    assert newest.by.startswith("arn:aws:")
    assert "SAUCE" in newest.variables
    assert "mustard" not in str(found)
    assert newest.settings["instance_type"] == "ml.g5.2xlarge"
    assert newest.settings["async"]["max_concurrent_invocations_per_instance"] == 1  # named as in the spec
    assert [each.config for each in cloud.project().releases(most=1).deployments] == [second.config]
    assert cloud.project().status().release == newest


@pytest.mark.slow
def test_a_released_endpoint_that_has_failed_is_deleted_only_if_somebody_agrees(cloud: Cloud) -> None:
    sagemaker = session_of(cloud.servers).client("sagemaker")
    cloud.servers.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", "no ping"))
    with pytest.raises(RemoteError, match="endpoint is Failed"):
        cloud.project().deploy()
    arn = sagemaker.describe_endpoint(EndpointName="svd")["EndpointArn"]
    # It has never served, so it is created again without a question; this one has.
    tag = ReleaseTag("svd-0123456789ab", "20260101T000000000000Z").tags
    sagemaker.add_tags(ResourceArn=arn, Tags=tag_list(tag))
    reviewed = cloud.project().review()
    assert [change.kind for change in reviewed.changes if change.loses_requests] == ["recreate"]
    owned = dataclasses.replace(deployment(), owner=Owner("svd", "svd", "cloud"))

    def reconciled() -> object:
        return reconcile(session_of(cloud.servers), owned, RecordedProgress())

    for refused in (cloud.project().deploy, reconciled):
        with pytest.raises(UserError, match="without the requests in its queue") as caught:
            refused()
        assert "--yes" in str(caught.value.fix)
        assert sagemaker.describe_endpoint(EndpointName="svd")["EndpointStatus"] == "Failed"
    cloud.project().deploy(plan=reviewed)
    assert sagemaker.describe_endpoint(EndpointName="svd")["EndpointStatus"] == "InService"


def test_records_are_as_their_schema_says(s3: S3) -> None:
    schema = json.loads((ROOT / "schemas" / "deployment.schema.json").read_text())
    document = json.loads(s3.get(record.write(s3, BELOW, RECORD), record.MAX_SIZE) or b"")
    jsonschema.Draft202012Validator(schema).validate(document)
    assert list(schema["properties"]["content"]["properties"]) == [
        each.name for each in fields(record.DeploymentRecord)
    ]


def test_a_record_never_replaces_another_one(s3: S3) -> None:
    places = [record.write(s3, BELOW, replace(RECORD, model=model)) for model in ("svd-a", "svd-b")]
    assert len(set(places)) == 2
    assert [each and each.model for _, each in record.newest(s3, BELOW)] == ["svd-b", "svd-a"]


@pytest.mark.parametrize(
    "change",
    [{"model": "../x"}, {"manifest": "sha256:x"}, {"by": "x" * 9999}, {"package": "file:///etc"}, {"commit": "HEAD"}],
)
def test_a_record_with_a_field_that_is_none_is_not_read(s3: S3, change: dict[str, Any]) -> None:
    record.write(s3, BELOW, replace(RECORD, **change))
    assert [each for _, each in record.newest(s3, BELOW)] == [None]


def test_a_record_may_be_of_a_commit_with_a_name_by_sha256(s3: S3) -> None:
    record.write(s3, BELOW, replace(RECORD, commit="a" * 64))
    assert [each and each.commit for _, each in record.newest(s3, BELOW)] == ["a" * 64]


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 70000, b'{"format": 2, "sha256": "", "content": {}}'])
def test_what_is_no_record_is_named_and_the_others_are_listed(s3: S3, cloud: Cloud, data: bytes) -> None:
    place = record.write(s3, BELOW, RECORD)
    damaged = S3Uri(BUCKET, f"{BELOW.key}20260202T030405000000Z.json")
    s3.put(damaged, data)
    s3.put(S3Uri(BUCKET, f"{BELOW.key}notes.txt"), b"of somebody")
    found = cloud.project().releases()
    assert found.unreadable == (str(damaged),)
    assert [each.record for each in found.deployments] == [str(place)]


def test_a_record_of_another_environment_is_not_taken_for_one_of_this(s3: S3, cloud: Cloud) -> None:
    place = record.write(s3, BELOW, replace(RECORD, env="prod", deployed=datetime.now(timezone.utc)))
    assert cloud.project().releases().unreadable == (str(place),)


@pytest.mark.parametrize(("names", "digits"), [("sha1", 40), ("sha256", 64)])
def test_the_commit_of_a_project_and_whether_it_is_clean_are_known_from_git(
    tmp_path: Path, names: str, digits: int
) -> None:
    def run(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    run("init", "--quiet", f"--object-format={names}")
    assert git.head(tmp_path) is None
    run("commit", "--allow-empty", "--no-verify", "-m", "x")
    found = git.head(tmp_path)
    assert found is not None
    assert found.clean
    assert len(found.commit) == digits
    (tmp_path / "new").touch()
    assert git.head(tmp_path) == git.Head(found.commit, clean=False)


def test_a_folder_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git.head(tmp_path) is None
