"""Garbage: what no endpoint, model, kept deployment or upload in progress needs is removed, and nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from sagepack.api.results import Collected, Garbage
from sagepack.aws.s3 import S3, S3Uri
from sagepack.deploy import record
from sagepack.publish import publisher, removal
from sagepack.sandbox.aws.hosting import TransitionTime
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import BUCKET, IMAGE, RECORD, ROLE, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

IMAGE_URI = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:{IMAGE}"
OWNER = {"endpoint": "svd", "name": "svd", "env": "cloud"}
VARIANT = {"VariantName": "A", "InstanceType": "ml.m5.xlarge", "InitialInstanceCount": 1}
# Everything counts as old.
OLD = {"older_than_hours": 0, "answers_older_than_days": 0}


class Minutes:
    """Stands for `datetime`: a minute goes by between any two releases, whose records have seconds."""

    def __init__(self) -> None:
        self.time = datetime.now(timezone.utc) - timedelta(days=1)

    def now(self, _zone: Any) -> datetime:
        self.time += timedelta(minutes=1)
        return self.time


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setattr(publisher, "datetime", Minutes())
    return Cloud(tmp_path, sandbox, monkeypatch)


def put(cloud: Cloud, key: str, body: bytes = b"12345") -> None:
    client(cloud, "s3").put_object(Bucket=BUCKET, Key=key, Body=body)


def stored(cloud: Cloud, *numbers: int) -> list[str]:
    """Something that looks like packages which were published one after another; their folders."""
    found = []
    for number in numbers:
        short = f"{number:016x}"
        put(cloud, f"models/svd/{short}/model.tar.gz")
        put(cloud, f"models/svd/releases/20260101T0000{number:02}Z-{short}.json")
        found.append(f"s3://{BUCKET}/models/svd/{short}")
    return found


def own_model(cloud: Cloud, folder: str, config: str | None = None) -> str:
    """A model of the spec and environment, as `deploy` names and tags it."""
    name = f"svd-{folder[-12:]}"
    tags = [{"Key": f"sagepack:{key}", "Value": value} for key, value in OWNER.items()]
    container = {"Image": IMAGE_URI, "ModelDataUrl": f"{folder}/model.tar.gz"}
    client(cloud).create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, Tags=tags)
    if config:
        variant = {**VARIANT, "ModelName": name}
        client(cloud).create_endpoint_config(EndpointConfigName=config, ProductionVariants=[variant], Tags=tags)
    return name


def edit(cloud: Cloud, text: str) -> None:
    path = cloud.root / "inference_code" / "svd" / "inference.py"
    path.write_text(path.read_text() + f"\n# {text}\n")


def deploy(cloud: Cloud, *edits: str) -> list[str]:
    """Deploy once for each edit; the folders of the packages."""
    found = []
    for text in edits:
        edit(cloud, text)
        built = cloud.project().deploy()
        assert built.artifact is not None
        found.append(built.artifact.uri.rpartition("/")[0])
    return found


def packages(cloud: Cloud) -> set[str]:
    """The folders of packages in which anything lies, and those of which there is a release record."""
    keys = s3_keys(cloud)
    found = {key.rpartition("/")[0] for key in keys if key.startswith("models/svd/") and len(key.split("/")) == 4}
    records = {f"models/svd/{key[-21:-5]}" for key in keys if "/releases/" in key}
    return {f"s3://{BUCKET}/{key}" for key in (found | records) if "/releases" not in key}


def s3_keys(cloud: Cloud) -> list[str]:
    pages = session_of(cloud.servers).client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def locations(found: Garbage | Collected, kind: str = "package") -> set[str]:
    items = found.removable if isinstance(found, Garbage) else found.removed
    return {each.name for each in items if each.kind == kind}


def client(cloud: Cloud, service: str = "sagemaker") -> Any:
    return session_of(cloud.servers).client(service)


def foreign_model(cloud: Cloud, name: str, **container: Any) -> None:
    client(cloud).create_model(
        ModelName=name, PrimaryContainer={"Image": IMAGE_URI, **container}, ExecutionRoleArn=ROLE
    )


@pytest.mark.slow
def test_what_serves_and_the_newest_deployments_stay_and_the_rest_goes(cloud: Cloud) -> None:
    one, two, three = deploy(cloud, "one", "two", "three")
    before = cloud.project().status()
    found = cloud.project().garbage(keep=2, **OLD)
    assert locations(found) == {one}
    assert {each.location: each.reason.partition(" on ")[0] for each in found.kept} == {
        two: "deployed to cloud",
        three: f"model {before.model} loads it, and endpoint svd serves it",
    }
    assert len(locations(found, "model")) == len(locations(found, "endpoint configuration")) == 1
    assert packages(cloud) == {one, two, three}, "a look changes nothing"
    done = cloud.project().gc(keep=2, **OLD)
    assert done.removed == found.removable
    assert packages(cloud) == {two, three}
    assert cloud.project().verify_remote().artifact == f"{three}/model.tar.gz"
    assert cloud.project().status() == before
    assert cloud.project().plan("deploy").exit_code == 0
    assert cloud.project().gc(keep=2, **OLD).removed == ()


def test_the_garbage_is_shown_with_its_bytes_and_its_cost(cloud: Cloud) -> None:
    one, _ = stored(cloud, 1, 2)
    found = cloud.project().garbage(**OLD)
    (package,) = [each for each in found.removable if each.kind == "package"]
    key = one.removeprefix(f"s3://{BUCKET}/")
    listed = client(cloud, "s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{key}/")["Contents"]
    assert package.size > sum(entry["Size"] for entry in listed), "with its release record"
    assert package.cost_per_month == pytest.approx(package.size / 2**30 * 0.023)
    assert found.cost_per_month == pytest.approx(found.size / 2**30 * 0.023)
    assert found.notes == ()


def test_a_price_that_is_denied_is_a_note(cloud: Cloud) -> None:
    stored(cloud, 1, 2)
    cloud.servers.aws.denied.set(["pricing:GetProducts"])
    found = cloud.project().garbage(**OLD)
    assert found.cost_per_month is None
    assert found.notes == ("the price is not known: it takes pricing:GetProducts",)
    assert found.exit_code == 0


def test_what_is_young_stays(cloud: Cloud) -> None:
    before = stored(cloud, 1, 2)
    own_model(cloud, before[0], "svd-000000000001")
    assert cloud.project().gc().removed == ()
    assert packages(cloud) == set(before)


def test_the_newest_package_stays_although_nothing_uses_it(cloud: Cloud) -> None:
    one, two = stored(cloud, 1, 2)
    found = cloud.project().garbage(**OLD)
    assert locations(found) == {one}
    assert [(each.location, each.reason) for each in found.kept] == [
        (two, "it is the newest: the next one copies its contents")
    ]


def test_the_deployments_of_another_environment_keep_their_packages(cloud: Cloud) -> None:
    theirs, _, ours = stored(cloud, 1, 2, 3)
    there = {"env": "prod", "package": f"{theirs}/model.tar.gz"}
    s3 = S3(client(cloud, "s3"))
    record.write(s3, S3Uri(BUCKET, "models/svd/deployments/prod/"), structs.replace(RECORD, **there))
    cloud.project().gc(keep=1, **OLD)
    assert packages(cloud) == {theirs, ours}
    reasons = {each.location: each.reason for each in cloud.project().garbage(keep=1, **OLD).kept}
    assert reasons[theirs] == "deployed to prod on 2026-01-01 00:00, the newest there"


@pytest.mark.parametrize("how", ["url", "source", "additional", "prefix above"])
def test_a_model_of_somebody_else_keeps_the_package_that_it_loads(cloud: Cloud, how: str) -> None:
    one, two, three = stored(cloud, 1, 2, 3)
    source = {"S3Uri": f"{one}/model.tar.gz", "S3DataType": "S3Object", "CompressionType": "Gzip"}
    above = {"S3Uri": f"s3://{BUCKET}/models/svd/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    more = [{"ChannelName": "more", "S3DataSource": source}]
    container: dict[str, dict[str, Any]] = {
        "url": {"ModelDataUrl": f"{one}/model.tar.gz"},
        "source": {"ModelDataSource": {"S3DataSource": source}},
        "additional": {"ModelDataUrl": f"{three}/model.tar.gz", "AdditionalModelDataSources": more},
        "prefix above": {"ModelDataSource": {"S3DataSource": above}},
    }
    foreign_model(cloud, "theirs", **container[how])
    cloud.project().gc(**OLD)
    kept = {each.location: each.reason for each in cloud.project().garbage(**OLD).kept}
    assert packages(cloud) == {one, three} | ({two} if how == "prefix above" else set())
    assert kept[one] == "model theirs loads it"


POOL = {"InstanceType": "ml.m5.2xlarge", "Priority": 2}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["variant", "second", "shadow", "pool", "component"])
def test_an_endpoint_of_somebody_else_keeps_our_model_and_its_package(cloud: Cloud, how: str) -> None:
    one, two, three = stored(cloud, 1, 2, 3)
    ours, _ = own_model(cloud, one), own_model(cloud, two)
    put(cloud, "theirs")
    foreign_model(cloud, "plain", ModelDataUrl=f"s3://{BUCKET}/theirs")
    plain, variant = {**VARIANT, "ModelName": "plain"}, {**VARIANT, "VariantName": "B", "ModelName": ours}
    pools = [{"InstanceType": "ml.m5.xlarge", "Priority": 1}, {**POOL, "ModelNameOverride": ours}]
    pooled = {key: value for key, value in plain.items() if key != "InstanceType"} | {"InstancePools": pools}
    variants = {"variant": [variant], "second": [plain, variant], "pool": [pooled]}
    shadows: dict[str, Any] = {"ShadowProductionVariants": [variant]} if how == "shadow" else {}
    aws = client(cloud)
    aws.create_endpoint_config(EndpointConfigName="theirs", ProductionVariants=variants.get(how, [plain]), **shadows)
    aws.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs")
    if how == "component":
        aws.create_inference_component(
            InferenceComponentName="part", EndpointName="theirs", Specification={"ModelName": ours}
        )
    assert locations(cloud.project().gc(**OLD)) == {two}
    assert packages(cloud) == {one, three}
    assert {each["ModelName"] for each in aws.list_models()["Models"]} == {"plain", ours}
    kept = {each.location: each.reason for each in cloud.project().garbage(**OLD).kept}
    assert kept[one].startswith(f"model {ours} loads it, and ")
    assert "endpoint theirs" in kept[one]


def test_the_configuration_to_which_an_endpoint_is_changing_counts(cloud: Cloud) -> None:
    one, two, three = stored(cloud, 1, 2, 3)
    own_model(cloud, one, "svd-000000000001")
    own_model(cloud, two, "svd-000000000002")
    client(cloud).create_endpoint(EndpointName="svd", EndpointConfigName="svd-000000000001")
    client(cloud).describe_endpoint(EndpointName="svd")
    client(cloud).describe_endpoint(EndpointName="svd")
    cloud.servers.aws.scenario.transition_time = TransitionTime(polls=50)
    client(cloud).update_endpoint(EndpointName="svd", EndpointConfigName="svd-000000000002")
    assert cloud.project().gc(**OLD).removed == ()
    assert packages(cloud) == {one, two, three}


def test_a_young_configuration_keeps_an_old_model_which_a_deployment_is_about_to_use(cloud: Cloud) -> None:
    one, _ = stored(cloud, 1, 2)
    model = own_model(cloud, one)
    cloud.servers.aws.clock.turn(7200)
    variant = {**VARIANT, "ModelName": model}
    tags = [{"Key": f"sagepack:{key}", "Value": value} for key, value in OWNER.items()]
    client(cloud).create_endpoint_config(EndpointConfigName=f"svd-{0:012x}", ProductionVariants=[variant], Tags=tags)
    assert cloud.project().gc(**OLD).removed == ()


def test_a_component_that_loads_a_package_without_a_model_keeps_it(cloud: Cloud) -> None:
    one, two, three = stored(cloud, 1, 2, 3)
    client(cloud).create_inference_component(
        InferenceComponentName="part",
        EndpointName="theirs",
        Specification={"Container": {"ArtifactUrl": f"{one}/model.tar.gz"}},
    )
    assert locations(cloud.project().gc(**OLD)) == {two}
    assert packages(cloud) == {one, three}


@pytest.mark.slow
def test_nothing_is_removed_that_may_be_needed_where_aws_denies_to_say(cloud: Cloud) -> None:
    before = stored(cloud, 1, 2, 3)
    own_model(cloud, before[0], "svd-000000000001")
    client(cloud).create_endpoint(EndpointName="svd", EndpointConfigName="svd-000000000001")
    own_model(cloud, before[1], "svd-000000000002")
    client(cloud).create_inference_component(InferenceComponentName="part", EndpointName="svd", Specification={})
    for name in (
        *("ListEndpoints", "DescribeEndpoint", "DescribeEndpointConfig", "ListInferenceComponents"),
        *("DescribeInferenceComponent", "ListModels", "DescribeModel", "ListTags", "ListEndpointConfigs"),
    ):
        cloud.servers.aws.denied.set([f"sagemaker:{name}"])
        done = cloud.project().gc(**OLD)
        assert (done.exit_code, done.removed) == (1, ())
        assert f"sagemaker:{name}" in done.unknown[0]
    cloud.servers.aws.denied.set([])
    assert packages(cloud) == set(before)
    assert len(cloud.project().gc(**OLD).removed) == 3


def test_a_record_that_cannot_be_read_stops_the_removal_of_packages(cloud: Cloud) -> None:
    before = stored(cloud, 1, 2)
    newer = S3Uri(BUCKET, "models/svd/deployments/prod/20300101T000000000000Z.json")
    S3(client(cloud, "s3")).put(newer, b'{"format": 2}')
    done = cloud.project().gc(keep=1, **OLD)
    assert done.exit_code == 1
    assert str(newer) in done.unknown[0]
    assert packages(cloud) == set(before)


def test_the_packages_of_another_spec_under_the_target_are_not_looked_at(cloud: Cloud) -> None:
    other = S3Uri(BUCKET, "models/svd-x/0123456789abcdef/model.tar.gz")
    S3(client(cloud, "s3")).put(other, b"theirs")
    one, two = stored(cloud, 1, 2)
    assert locations(cloud.project().gc(**OLD)) == {one}
    assert other.key in s3_keys(cloud)
    assert packages(cloud) == {two}


@pytest.mark.slow
def test_a_removal_that_is_killed_after_each_deletion_leaves_no_package_that_looks_whole(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, two = deploy(cloud, "one", "two")
    delete, calls, kills = S3.delete, 0, 0

    def killed(*arguments: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return delete(*arguments)

    monkeypatch.setattr(S3, "delete", killed)
    monkeypatch.setattr(removal, "_THREADS", 1)
    while True:
        calls = 0
        try:
            cloud.project().gc(keep=1, **OLD)
            break
        except KeyboardInterrupt:
            kills += 1
        assert [key[-21:-5] for key in s3_keys(cloud) if "/releases/" in key] == [two[-16:]]
    assert kills > 1
    assert packages(cloud) == {two}
    assert cloud.project().verify_remote()


def test_a_package_that_a_deployment_begins_to_use_meanwhile_is_kept_whole(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stored(cloud, 1, 2)
    before = set(s3_keys(cloud))
    withdraw = removal.withdraw

    def then_used(*arguments: Any) -> removal.Withdrawn:
        foreign_model(cloud, "just-created", ModelDataUrl=f"{one}/model.tar.gz")
        return withdraw(*arguments)

    monkeypatch.setattr(removal, "withdraw", then_used)
    done = cloud.project().gc(keep=1, **OLD)
    assert locations(done) == set()
    assert [(each.location, each.reason) for each in done.spared] == [(one, "model just-created loads it")]
    assert set(s3_keys(cloud)) == before
    assert packages(cloud) == {one, two}


def test_a_package_that_is_published_again_meanwhile_is_kept(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(cloud, 1, 2)
    erase = removal.erase

    def replaced(store: S3, target: S3Uri, folder: Any, remaining: Any) -> bool:
        store.put(folder.location.child("model.tar.gz"), b"another")
        return erase(store, target, folder, remaining)

    monkeypatch.setattr(removal, "erase", replaced)
    done = cloud.project().gc(keep=1, **OLD)
    assert locations(done) == set()
    assert "was deleted or replaced" in done.spared[0].reason


def test_a_release_that_another_publisher_writes_while_its_model_is_removed_does_not_stay(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stored(cloud, 1, 2)
    erase, late = removal.erase, f"models/svd/releases/20260202T000000Z-{one[-16:]}.json"

    def then_released(*arguments: Any) -> bool:
        kept = erase(*arguments)
        put(cloud, late)
        return kept

    monkeypatch.setattr(removal, "erase", then_released)
    cloud.project().gc(**OLD)
    assert late not in s3_keys(cloud)
    assert packages(cloud) == {two}


def test_old_requests_answers_and_failures_go_and_what_others_wrote_stays(cloud: Cloud) -> None:
    ours = ["input/20260101T000000Z-01234567", "output/20260101T000000Z-01234567.out", "failure/0-1-error.out"]
    theirs = ["input/report.json", "output/report.out", "output/deep/20260101T000000Z-01234567.out", "failure/x.txt"]
    for name in ours + theirs:
        put(cloud, f"async/svd/{name}")
    done = cloud.project().gc(**OLD)
    assert {(each.name, each.count, each.size) for each in done.removed} == {
        (f"s3://{BUCKET}/async/svd/{place}/", 1, 5) for place in ("input", "output", "failure")
    }
    assert {key for key in s3_keys(cloud) if key.startswith("async/")} == {f"async/svd/{name}" for name in theirs}


def test_unfinished_uploads_are_aborted_and_their_bytes_told(cloud: Cloud) -> None:
    key = "models/svd/0123456789abcdef/model.tar.gz"
    s3 = client(cloud, "s3")
    begun = s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    s3.upload_part(Bucket=BUCKET, Key=key, UploadId=begun, PartNumber=1, Body=b"123")
    done = cloud.project().gc(**OLD)
    assert [(each.name, each.size) for each in done.removed if each.kind == "unfinished upload"] == [
        (f"s3://{BUCKET}/{key}", 3)
    ]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)


def test_the_input_of_a_job_that_was_killed_goes(cloud: Cloud) -> None:
    folder = "models/svd/remote/0123456789abcdef"
    for name in ("start.py", "input.tar.gz"):
        put(cloud, f"{folder}/{name}")
    put(cloud, "models/other/remote/0123456789abcdef/start.py")
    assert cloud.project().garbage().removable == ()  # a job may be about to begin
    (found,) = cloud.project().gc(**OLD).removed
    assert (found.kind, found.name, found.count) == ("input of a job", f"s3://{BUCKET}/{folder}/", 2)
    keys = [each["Key"] for each in client(cloud, "s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    assert [key for key in keys if "/remote/" in key] == ["models/other/remote/0123456789abcdef/start.py"]


def test_it_is_said_that_a_bucket_keeps_earlier_versions(cloud: Cloud) -> None:
    client(cloud, "s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    stored(cloud, 1, 2)
    assert cloud.project().gc(**OLD).versions_stay


def test_records_of_all_environments_are_found_and_only_the_newest_are_read(cloud: Cloud) -> None:
    s3 = S3(client(cloud, "s3"))
    for name in ("a/20260101T000000000000Z.json", "a/20260102T000000000000Z.json", "b/20260101T000000000000Z.json"):
        s3.put(S3Uri(BUCKET, f"models/svd/deployments/{name}"), b"{}")
    s3.put(S3Uri(BUCKET, "models/svd/deployments/c/notes.txt"), b"{}")
    found = record.newest_of_all(s3, S3Uri(BUCKET, "models"), "svd", 1)
    assert {env: [location.key.rpartition("/")[2] for location, _ in each] for env, each in found.items()} == {
        "a": ["20260102T000000000000Z.json"],
        "b": ["20260101T000000000000Z.json"],
    }


def test_a_region_without_inference_components_and_routers_has_none_that_load_a_model(cloud: Cloud) -> None:
    one, two = stored(cloud, 1, 2)
    for operation in ("ListInferenceComponents", "ListInferenceRouters"):
        cloud.servers.aws.scenario.fail_operation(operation, "UnknownOperationException", "", times=None)
    assert locations(cloud.project().gc(**OLD)) == {one}
    assert packages(cloud) == {two}
