"""What things cost: an hour of the running instances, a month of what `destroy` leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.aws.prices import GIGABYTE
from sagepack.sandbox.aws import price_list
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import BUCKET, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


@pytest.mark.slow
def test_status_says_what_the_running_instances_cost_in_an_hour(cloud: Cloud) -> None:
    cloud.project().deploy()
    assert cloud.project().status().cost_per_hour == price_list.HOUR["ml.g5.2xlarge"]
    cloud.servers.aws.denied.set(["pricing:GetProducts"])
    assert cloud.project().status().cost_per_hour == price_list.HOUR["ml.g5.2xlarge"], "it is remembered"
    (cloud.root / "build" / "prices.json").unlink()
    found = cloud.project().status()
    assert found.cost_per_hour is None
    assert "the price is not known: it takes pricing:GetProducts" in found.unknown
    cloud.servers.aws.clock.turn(3600)
    cloud.project().status()
    found = cloud.project().status()
    assert (found.instances, found.cost_per_hour) == (0, 0.0)
    assert found.unknown == (), "nobody is asked for the price of nothing"


@pytest.mark.slow
def test_destroy_says_what_it_leaves_and_what_that_costs(cloud: Cloud) -> None:
    s3, logs = session_of(cloud.servers).client("s3"), session_of(cloud.servers).client("logs")
    cloud.project().deploy()
    logs.create_log_group(logGroupName="/aws/sagemaker/Endpoints/svd")
    s3.put_object(Bucket=BUCKET, Key="async/svd/output/20260101T000000Z-01234567.out", Body=b"12345")
    before = cloud.project().deployed_resources()
    assert before.resources
    done = cloud.project().destroy()
    assert done.left == before.left
    left = {each.kind: each for each in done.left}
    assert set(left) == {"packages", "records", "requests and answers", "log group"}
    answers = s3.list_objects_v2(Bucket=BUCKET, Prefix="async/svd/")["Contents"]
    assert left["requests and answers"].size == sum(entry["Size"] for entry in answers)
    assert "kept for ever" in left["log group"].remove
    keys = s3.list_objects_v2(Bucket=BUCKET, Prefix="models/svd/")["Contents"]
    sizes = [left[kind].size or 0 for kind in ("packages", "records")]
    assert sum(sizes) == sum(entry["Size"] for entry in keys)
    total = sum(each.size or 0 for each in done.left)
    assert done.cost_per_month == pytest.approx(total / GIGABYTE * price_list.GIGABYTE_MONTH)
    assert done.notes == ()


def test_what_may_not_be_looked_at_ends_no_removal(cloud: Cloud) -> None:
    cloud.project().deploy()
    cloud.servers.aws.denied.set(["s3:ListBucket", "logs:DescribeLogGroups", "sagemaker:ListInferenceRouters"])
    done = cloud.project().destroy()
    assert "endpoint" in {each.kind for each in done.removed}
    assert done.left == ()
    assert [note for note in done.notes if "s3:ListBucket" in note or "logs:DescribeLogGroups" in note]
