"""`kill -9` of a publisher, at chosen requests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.publish.documents import Index, Pointer
from sagepack.publish.keys import package_folder
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.paths import ROOT
from tests.helpers.publishing import Bucket, MiB, Tree, connect, svd_like

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def started(sandbox: Any, proxy: FaultProxy, bucket: Bucket, tree: Tree) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.helpers.publish_process", proxy.url, bucket.target.bucket]
    command += [str(tree.folder), str(bucket.journals)]
    keys = {"AWS_ACCESS_KEY_ID": sandbox.access_key, "AWS_SECRET_ACCESS_KEY": sandbox.secret_key}
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **keys}) as process:
        try:
            yield process
        finally:
            process.kill()


def check(bucket: Bucket, trees: list[Tree]) -> None:
    """The bucket holds whole archives, and nothing leads to one that is not there."""
    builds = {bucket.package(tree).model_uri: tree.build() for tree in trees}
    for listed in bucket.store.list(bucket.target):
        data = bucket.get(listed.location)
        name = listed.location.key.rpartition("/")[2]
        if name == "model.tar.gz":
            assert data == builds[listed.location]
        elif name == "index.json":
            index = Index.parse(data)
            head = bucket.store.head(S3Uri(bucket.target.bucket, listed.location.key.replace(name, "model.tar.gz")))
            assert index is not None
            assert head is not None
            assert index.etag == head.etag
        elif "/contents/" in listed.location.key:
            pointer = Pointer.parse(data)
            folder = package_folder(bucket.target, pointer.package) if pointer else None
            assert folder is not None
            assert bucket.store.head(folder.child("model.tar.gz"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "instant",
    [9, *(pytest.param(number, marks=pytest.mark.slow) for number in (*range(1, 9), *range(10, 19)))],
)
def test_a_killed_publisher_leaves_a_consistent_bucket_and_the_next_completes_its_upload(
    sandbox: Any, tmp_path: Path, instant: int
) -> None:
    store = connect(sandbox.aws_url, sandbox)
    bucket = Bucket(store, S3Uri(sandbox.bucket, "models"), tmp_path / "journals")
    old = Tree(tmp_path / "old", {"a.bin": b"old", "code/inference.py": b"pass\n"})
    bucket.publish(old)
    new = Tree(tmp_path / "new", svd_like(unet=11 * MiB))
    with FaultProxy(sandbox.aws_url) as proxy:
        with started(sandbox, proxy, bucket, new) as process:
            proxy.on_request = lambda number: process.kill() if number == instant else None
            code = process.wait(120)
        assert code in (-9, 0)
        assert code == -9 or len(proxy.exchanges) < instant
        check(bucket, [old, new])
        first = proxy.up
        proxy.on_request = lambda _number: None
        with started(sandbox, proxy, bucket, new) as process:
            assert process.wait(120) == 0
        check(bucket, [old, new])
        # Two workers: what both were sending when it was killed is sent again, and nothing else.
        assert proxy.up <= new.layout.size + 2 * 10 * MiB + MiB
        assert first < new.layout.size + MiB
    assert bucket.plan(new).done
    left = list(store.uploads(bucket.target))
    assert len(left) <= 1
