"""How deployments and the working tree differ, asked of the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sagepack.api.results import FOUND_WORK, FileDifference, ValueDifference
from sagepack.aws.s3 import S3, S3Uri
from sagepack.deploy import record
from sagepack.digest import Digest
from sagepack.engine import resolver
from sagepack.errors import UserError
from sagepack.package.lock import LockedPackage
from sagepack.package.requirements.resolve import Resolved
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RECORD, RecordedProgress, session_of
from tests.integration.test_releases import BELOW

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

HANDLER = "code/inference.py"


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def store(cloud: Cloud) -> S3:
    return S3(session_of(cloud.servers).client("s3"))


def pinned(lines: tuple[str, ...], *_args: object, **_more: object) -> Resolved:
    """What uv would find."""
    pins = [line.split("==") for line in lines]
    packages = [LockedPackage(name, version, f"{name}.whl", 1, Digest.sha256(b"")) for name, version in pins]
    return Resolved(tuple(packages), ())


def edit(cloud: Cloud) -> None:
    path = cloud.root / "inference_code" / "svd" / "inference.py"
    path.write_text(path.read_text() + "#\n")


def test_what_was_just_deployed_differs_in_nothing_from_the_working_tree(cloud: Cloud) -> None:
    cloud.project("environment.SAUCE=mustard").deploy()
    for before, after in (("live", "tree"), ("1", "tree"), ("1", "live")):
        found = cloud.project("environment.SAUCE=mustard").diff(before, after)
        assert (found.count, found.not_compared, found.exit_code) == (0, (), 0), (before, after)
    assert not cloud.moved


def test_each_kind_of_difference_is_told_with_both_values(cloud: Cloud) -> None:
    cloud.project("environment.SAUCE=mustard").deploy()
    edit(cloud)
    (cloud.root / "inference_code" / "svd" / "more.py").write_text("x = 1\n")
    found = cloud.project("endpoint.instance_type=ml.g5.4xlarge").diff()
    assert found.exit_code == FOUND_WORK
    changed, added = found.files
    assert added == FileDifference("code/more.py", None, 6)
    assert (changed.path, (changed.after or 0) - (changed.before or 0)) == (HANDLER, 2)
    assert set(found.settings) == {
        ValueDifference("environment.SAUCE", "mustard", "none"),
        ValueDifference("endpoint.instance_type", "ml.g5.2xlarge", "ml.g5.4xlarge"),
    }
    assert (found.image, found.requirements, found.not_compared) == (None, (), ())
    back = cloud.project("endpoint.instance_type=ml.g5.4xlarge").diff("tree", "live")
    assert {each.path: (each.after, each.before) for each in back.files} == {
        each.path: (each.before, each.after) for each in found.files
    }
    assert ValueDifference("endpoint.instance_type", "ml.g5.4xlarge", "ml.g5.2xlarge") in back.settings


def test_what_was_changed_by_hand_is_seen_in_what_serves(cloud: Cloud) -> None:
    cloud.project().deploy()
    scaling = session_of(cloud.servers).client("application-autoscaling")
    scaling.register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/svd/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MaxCapacity=3,
    )
    assert [each.subject for each in cloud.project().diff().settings] == ["endpoint.scaling.max_capacity"]


@pytest.mark.slow
def test_releases_are_compared_by_number_time_or_configuration(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "resolve_requirements", pinned)
    open_ = "endpoint.enable_network_isolation=false"
    cloud.project(open_, "code.requirements=[einops==0.8.0]").deploy()
    (cloud.root / "config" / "locks" / "svd-cloud.lock.yaml").unlink()
    cloud.project(open_, "code.requirements=[einops==0.8.1]", "environment.SAUCE=mustard").deploy()
    newest, oldest = cloud.project().releases().deployments
    found = cloud.project().diff("2", "1")
    assert found.requirements == (ValueDifference("einops", "0.8.0", "0.8.1"),)
    assert found.settings == (ValueDifference("environment.SAUCE", "none", "there"),)
    assert [each.path for each in found.files] == ["code/requirements.txt"]
    assert cloud.project().diff(oldest.config, "live") == replace(found, after=replace(found.after, name="live"))
    assert cloud.project().diff(newest.time, newest.time.replace("T", " ").replace("Z", " UTC")).count == 0


def test_what_looks_like_a_secret_is_not_shown(cloud: Cloud) -> None:
    for password in ("hunter2", "hunter3"):
        record.write(store(cloud), BELOW, replace(RECORD, settings={"tags": {"db_password": password}}))
    found = cloud.project().diff("2", "1")
    assert found.settings == (ValueDifference("endpoint.tags.db_password", "(not shown)", "(not shown)"),)
    assert "hunter" not in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("manifest", [None, b"{}", b'{"version": 1, "members": []}'])
def test_a_package_whose_manifest_is_gone_or_another_is_not_compared_and_that_is_told(
    cloud: Cloud, manifest: bytes | None
) -> None:
    cloud.project().deploy()
    (release,) = cloud.project().releases().deployments
    location = S3Uri.parse(release.package).parent.child("manifest.json")
    edit(cloud)
    store(cloud).delete(location)
    if manifest is not None:
        store(cloud).put(location, manifest)
    found = cloud.project().diff()
    assert found.exit_code == FOUND_WORK
    assert found.not_compared[0].startswith("files and requirements: ")
    assert str(location) in found.not_compared[0] or "not a manifest" in found.not_compared[0]


def test_what_was_deployed_as_it_is_declared_differs_in_nothing_whatever_is_declared(cloud: Cloud) -> None:
    everything = (
        "endpoint.log_retention_in_days=30",
        "endpoint.detailed_observability=true",
        "endpoint.alarms.failures=2",
    )
    cloud.project(*everything).deploy()
    found = cloud.project(*everything).diff()
    assert (found.settings, found.exit_code) == ((), 0)
    changed = cloud.project(
        "endpoint.log_retention_in_days=60", *everything[1:], "endpoint.detailed_observability=false"
    )
    assert changed.diff().settings == (
        ValueDifference("endpoint.detailed_observability", "true", "false"),
        ValueDifference("endpoint.log_retention_in_days", "30", "60"),
    )


@pytest.mark.slow
def test_an_endpoint_without_a_record_is_compared_as_far_as_aws_knows_it(cloud: Cloud) -> None:
    cloud.project().deploy()
    (release,) = cloud.project().releases().deployments
    edit(cloud)
    cloud.project().deploy()
    store(cloud).delete(S3Uri.parse(cloud.project().releases().deployments[0].record))
    found = cloud.project("environment.SAUCE=1").diff()
    assert (found.before.time, found.before.by, found.files) == (None, None, ())
    assert found.settings == (ValueDifference("environment.SAUCE", "none", "1"),)
    assert not found.not_compared
    found = cloud.project().diff("1", "live")
    assert found.before.config == release.config
    assert [each.path for each in found.files] == [HANDLER]
    assert found.not_compared == ("settings: no record says what was declared for what serves",)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("3", "no release of cloud is '3': 1 is recorded"),
        ("svd-nope", "no release of cloud is 'svd-nope'"),
        ("2020-01-01 00:00", "no release of cloud"),
    ],
)
def test_a_release_that_is_none_is_an_error_with_a_way_out(cloud: Cloud, before: str, message: str) -> None:
    cloud.project().deploy()
    with pytest.raises(UserError, match=message) as caught:
        cloud.project().diff(before)
    assert caught.value.where == "diff"
    assert "`invoke releases`" in (caught.value.fix or "")


def test_without_an_endpoint_or_with_that_of_somebody_else_nothing_is_compared(cloud: Cloud) -> None:
    with pytest.raises(UserError, match="there is no such endpoint"):
        cloud.project().diff()
    cloud.project().deploy()
    sagemaker = session_of(cloud.servers).client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName="svd")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "sagepack:env", "Value": "prod"}])
    with pytest.raises(UserError, match="does not belong to svd/cloud"):
        cloud.project().diff()


def test_an_update_that_goes_on_is_told(cloud: Cloud) -> None:
    cloud.project().deploy()
    sagemaker = session_of(cloud.servers).client("sagemaker")
    live = sagemaker.describe_endpoint(EndpointName="svd")["EndpointConfigName"]
    config = sagemaker.describe_endpoint_config(EndpointConfigName=live)
    names = ("ProductionVariants", "AsyncInferenceConfig")
    sagemaker.create_endpoint_config(EndpointConfigName="other", **{name: config[name] for name in names})
    sagemaker.update_endpoint(EndpointName="svd", EndpointConfigName="other")
    project = cloud.project()
    assert project.diff().before.config == live
    assert isinstance(project.progress, RecordedProgress)
    assert "an update to other is going on" in project.progress.text
