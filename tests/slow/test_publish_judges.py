"""Publishing to S3 servers that nobody here wrote; the AWS CLI brings the object back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagepack.aws.s3 import ChangedError, ObjectRef, S3Uri
from sagepack.errors import IntegrityError, UserError
from sagepack.publish.archive_plan import ArchivePlan
from sagepack.publish.checksums import Checksums
from sagepack.publish.delta.parts import SentPart
from tests.helpers.publishing import Bucket, KiB, MiB, Tree, connect, svd_like
from tests.slow import stores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.slow.stores import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["localstack", "swift"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    start = {"localstack": stores.localstack, "swift": stores.swift}[request.param]
    with start(tmp_path_factory.mktemp(request.param)) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        connect(running.url, running)._client.create_bucket(Bucket="judged")
        yield running


@pytest.fixture
def bucket(store: Store, tmp_path: Path) -> Bucket:
    # A target of its own for every test.
    return Bucket(connect(store.url, store), S3Uri("judged", tmp_path.name), tmp_path / "journals")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like(unet=22 * MiB))


def test_what_comes_back_is_a_local_build(bucket: Bucket, tree: Tree, store: Store, tmp_path: Path) -> None:
    published = bucket.publish(tree)
    assert store.download(published.uri, tmp_path / "back") == tree.build()
    again = bucket.publish(tree)
    assert (again.sent_bytes, again.archive) == (0, published.archive)


def test_an_edit_is_spliced_to_what_a_local_build_gives(
    bucket: Bucket, tree: Tree, store: Store, tmp_path: Path
) -> None:
    bucket.publish(tree)
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    plan = bucket.plan(edited)
    published = bucket.publish(edited, plan, sources=[edited.local("code/")])
    assert published.sent_bytes < 64 * KiB
    assert isinstance(plan, ArchivePlan)
    assert [part for part in plan.parts if isinstance(part, SentPart)] == [plan.parts[-1]]
    assert store.download(published.uri, tmp_path / "back") == edited.build()


def test_a_rename_borrows_and_comes_back_as_a_local_build(
    bucket: Bucket, tree: Tree, store: Store, tmp_path: Path
) -> None:
    bucket.publish(tree)
    files = dict(tree.files)
    files["unet/weights.safetensors"] = files.pop("unet/model.safetensors")
    renamed = Tree(tmp_path / "two", files)
    published = bucket.publish(renamed, sources=[renamed.local("code/")])
    assert published.sent_bytes <= 5 * MiB + 64 * KiB
    assert store.download(published.uri, tmp_path / "back") == renamed.build()


def test_a_source_that_goes_is_sent_instead(bucket: Bucket, tree: Tree, store: Store, tmp_path: Path) -> None:
    bucket.publish(tree)
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    plan = bucket.plan(edited)
    bucket.store.put(bucket.package(tree).model_uri, b"another")
    published = bucket.publish(edited, plan)
    assert published.copied_bytes == 0
    assert store.download(published.uri, tmp_path / "back") == edited.build()


def test_files_under_a_prefix_come_back(bucket: Bucket, tree: Tree, store: Store, tmp_path: Path) -> None:
    published = bucket.publish(tree, bucket.plan(tree, layout="prefix"))
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    second = bucket.publish(edited, bucket.plan(edited, layout="prefix"), sources=[edited.local("code/")])
    assert second.sent_bytes == len(edited.files["code/inference.py"])
    for files, uri in ((tree.files, published.uri), (edited.files, second.uri)):
        for path in ("unet/model.safetensors", "code/inference.py"):
            assert store.download(uri + path, tmp_path / "back") == files[path]


def test_the_store_refuses_bytes_that_are_not_the_archive(bucket: Bucket, store: Store) -> None:
    """What the stores themselves check: LocalStack the sum of the full object, both that of a part."""
    target = bucket.target.child("spoiled")
    upload = bucket.store.begin(target, "CRC64NVME")
    assert upload is not None
    data = bytearray(os.urandom(100))
    right = Checksums.of(data).value("CRC64NVME")
    with pytest.raises(Exception, match=r"BadDigest|InvalidRequest|did not match"):
        bucket.store.send(upload, 1, data, "CRC64NVME", Checksums.of(b"x").value("CRC64NVME"))
    part = bucket.store.send(upload, 1, data, "CRC64NVME", right)
    if store.ca:
        with pytest.raises(IntegrityError):
            bucket.store.complete(upload, [part], 100, "CRC64NVME", Checksums.of(b"x").value("CRC64NVME"))
    assert bucket.store.complete(upload, [part], 100, "CRC64NVME", right)
    again = bucket.store.begin(target, "CRC64NVME")
    assert again is not None
    part = bucket.store.send(again, 1, data, "CRC64NVME", right)
    assert not bucket.store.complete(again, [part], 100, "CRC64NVME", right)
    with pytest.raises(ChangedError):
        bucket.store.send_copy(again, 2, ObjectRef(target, '"other"'), 0, 50)
    bucket.store.abort(again)


def test_a_wrong_secret_is_reported(store: Store, tmp_path: Path, tree: Tree) -> None:
    if store.ca:
        pytest.skip("LocalStack takes any secret")
    wrong = stores.Store(store.url, store.access_key, "wrong", None, store.aws)
    with pytest.raises(UserError, match=r"SignatureDoesNotMatch|AccessDenied"):
        Bucket(connect(wrong.url, wrong), S3Uri("judged", "wrong"), tmp_path).publish(tree)
