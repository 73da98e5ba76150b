"""Publishing archives to the sandbox's S3 with the real client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.publish.planner import Literal
from sagepack.publish.sums import Sums
from sagepack.remote.aws import Aws, AwsConnection
from sagepack.remote.s3 import S3, Location
from tests.publishkit import Bucket, KiB, Tree, svd_like

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    aws = Aws(
        AwsConnection(
            region="us-east-1",
            endpoint_url=sandbox.aws_url,
            access_key=sandbox.access_key,
            secret_key=sandbox.secret_key,
        )
    )
    client = aws.client("s3")
    return Bucket(client, S3(client), Location("sagepack-sandbox", "models"), tmp_path / "journals")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like())


def test_what_is_published_is_what_the_writer_builds(bucket: Bucket, tree: Tree) -> None:
    published = bucket.publish(tree)
    archive = tree.build()
    assert bucket.archive(tree) == archive
    assert published.size == published.sent_bytes == len(archive)
    assert published.checksums["CRC64NVME"] == Sums.of(archive).value("CRC64NVME")
    assert published.uri == str(bucket.package(tree).model)


def test_a_second_publish_sends_nothing(bucket: Bucket, tree: Tree) -> None:
    first = bucket.publish(tree)
    before = bucket.keys()
    plan = bucket.plan(tree)
    second = bucket.publish(tree, plan)
    assert plan.done
    assert (second.sent_bytes, second.copied_bytes) == (0, 0)
    assert (second.etag, second.checksums) == (first.etag, first.checksums)
    assert bucket.keys() == before


def test_an_edit_of_the_code_sends_the_code_alone_from_a_machine_without_the_model(
    bucket: Bucket, tree: Tree, tmp_path: Path
) -> None:
    bucket.publish(tree)
    edited = Tree(tmp_path / "two", {**svd_like(), "code/inference.py": b"print('two')\n"})
    plan = bucket.plan(edited)
    code = sum(len(data) for path, data in edited.files.items() if path.startswith("code/"))
    published = bucket.publish(edited, plan, sources=[edited.local("code/")])
    assert published.sent_bytes <= 64 * KiB + code
    assert published.sent_bytes + published.copied_bytes == published.size
    assert [part for part in plan.parts if isinstance(part, Literal)] == [plan.parts[-1]]
    assert {content.member.path for content in plan.contents if content.sent} == {
        "code/inference.py",
        "code/requirements.txt",
    }
    assert bucket.archive(edited) == edited.build()
    assert [member.path for member in plan.needed] == ["code/inference.py"]
