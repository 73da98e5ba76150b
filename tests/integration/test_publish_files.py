"""Publishing files under a prefix (`artifact.layout: prefix`) to the sandbox's S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.errors import IntegrityError, UserError
from sagepack.publish.upload.sources import HubFiles
from tests.helpers.fault_proxy import Fault, FaultProxy
from tests.helpers.publishing import Bucket, KiB, MiB, Tree, connect, svd_like

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUT = "prefix"


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    return Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like(unet=11 * MiB))


def below(bucket: Bucket, tree: Tree) -> dict[str, bytes]:
    """What SageMaker would load: everything under the prefix."""
    prefix = bucket.package(tree, layout=LAYOUT).model_uri
    return {item.location.key.removeprefix(prefix.key): bucket.get(item.location) for item in bucket.store.list(prefix)}


def test_the_prefix_holds_the_files_and_nothing_else(bucket: Bucket, tree: Tree) -> None:
    published = bucket.publish(tree, bucket.plan(tree, layout=LAYOUT))
    assert published.uri.endswith("/model/")
    assert published.sent_bytes == tree.manifest.size
    assert below(bucket, tree) == tree.files


def test_a_second_publish_sends_nothing(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=LAYOUT))
    before = bucket.listing()
    plan = bucket.plan(tree, layout=LAYOUT)
    assert plan.done
    assert bucket.publish(tree, plan).sent_bytes == 0
    assert bucket.listing() == before


def test_an_edit_sends_the_edited_file_alone(bucket: Bucket, tree: Tree, tmp_path: Path) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=LAYOUT))
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    plan = bucket.plan(edited, layout=LAYOUT)
    published = bucket.publish(edited, plan, sources=[edited.local("code/")])
    assert published.sent_bytes == len(b"print('two')\n")
    assert below(bucket, edited) == edited.files
    assert {content.member.path for content in plan.contents if content.sent} == {"code/inference.py"}


def test_a_killed_publish_is_continued_and_the_list_comes_last(bucket: Bucket, tree: Tree, sandbox: Any) -> None:
    with FaultProxy(sandbox.aws_url) as proxy:
        through = Bucket(connect(proxy.url, sandbox), bucket.target, bucket.journals)
        proxy.faults = [Fault("ExpiredToken", "PUT .*partNumber", after=1, times=99)]
        with pytest.raises(UserError, match="ExpiredToken"):
            through.publish(tree, through.plan(tree, layout=LAYOUT), workers=1)
        assert bucket.package(tree, layout=LAYOUT).index_uri.key not in bucket.listing()
        proxy.forget()
        published = through.publish(tree, through.plan(tree, layout=LAYOUT), workers=1)
        # The small files and the first part are there.
        assert published.sent_bytes < 6 * MiB
        assert proxy.up < 6 * MiB + 64 * KiB
    assert below(bucket, tree) == tree.files
    assert bucket.plan(tree, layout=LAYOUT).done


def test_a_source_that_is_deleted_between_plan_and_copy_is_sent_instead(
    bucket: Bucket, tree: Tree, tmp_path: Path
) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=LAYOUT))
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    plan = bucket.plan(edited, layout=LAYOUT)
    bucket.store.delete(bucket.package(tree, layout=LAYOUT).model_uri.child("unet/model.safetensors"))
    bucket.publish(edited, plan)
    assert below(bucket, edited) == edited.files


@pytest.mark.parametrize("spoil", ["unet/model.safetensors", "unet/config.json"])
def test_a_stream_that_is_not_what_was_locked_is_not_released(bucket: Bucket, tree: Tree, spoil: str) -> None:
    def read(path: str, offset: int, length: int) -> Iterator[bytes]:
        data = tree.files[path] if path != spoil else bytes(len(tree.files[path]))
        return iter([data[offset : offset + length]])

    hub = HubFiles(read, {member.digest: member.path for member in tree.manifest.members})
    with pytest.raises(IntegrityError) as caught:
        bucket.publish(tree, bucket.plan(tree, layout=LAYOUT), sources=[tree.local("code/"), hub])
    assert caught.value.where == spoil
    prefix = bucket.package(tree, layout=LAYOUT)
    assert prefix.index_uri.key not in bucket.listing()
    assert prefix.model_uri.child(spoil).key not in bucket.listing()


def test_both_layouts_of_a_package_live_side_by_side(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=LAYOUT))
    bucket.publish(tree)
    assert bucket.plan(tree).done
    assert bucket.plan(tree, layout=LAYOUT).done
    assert below(bucket, tree) == tree.files
