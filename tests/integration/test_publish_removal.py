"""Removed packages: what is left of them leads nowhere, and what stays can be found and copied from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import ChangedError, S3Uri
from sagepack.publish import removal, stored
from sagepack.publish.documents import Pointer
from tests.helpers.publishing import Bucket, Tree, connect, svd_like

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.publish.stored import StoredFolder


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    store = connect(sandbox.aws_url, sandbox)
    return Bucket(store, S3Uri(sandbox.bucket, "models"), tmp_path / "journals")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree", svd_like())


@pytest.fixture
def edited(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "edited", {**svd_like(), "code/inference.py": b"print('two')\n"})


def look(bucket: Bucket, name: str = "svd") -> dict[str, StoredFolder]:
    return {folder.path: folder for folder in stored.look(bucket.store, bucket.target, name)}


def remove(bucket: Bucket, tree: Tree, layout: str = "archive") -> None:
    path = bucket.package(tree, layout=layout).path
    folders = look(bucket)
    gone = removal.withdraw(bucket.store, folders.pop(path))
    removal.erase(bucket.store, bucket.target, gone.folder, removal.Remaining(bucket.store, list(folders.values())))


def pointers(bucket: Bucket) -> set[str]:
    found = (Pointer.parse(bucket.get(each.location)) for each in bucket.store.list(bucket.target.child("contents/")))
    return {pointer.package for pointer in found if pointer}


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_nothing_is_left_of_the_only_package_not_even_pointers(bucket: Bucket, tree: Tree, layout: str) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    assert pointers(bucket)
    remove(bucket, tree, layout)
    assert bucket.listing() == []


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_pointers_lead_to_another_package_that_has_the_content(
    bucket: Bucket, tree: Tree, edited: Tree, layout: str
) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    bucket.publish(edited, bucket.plan(edited, layout=layout))
    remove(bucket, tree, layout)
    assert pointers(bucket) == {bucket.package(edited).path}
    assert bucket.plan(tree, name="other", layout=layout).copied_bytes > 10_000_000
    assert bucket.plan(edited, layout=layout).done


def test_a_pointer_that_leads_to_a_package_of_another_name_stays(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree, bucket.plan(tree, name="other"))
    bucket.publish(tree)
    before = pointers(bucket)
    remove(bucket, tree)
    assert pointers(bucket) == before == {f"other/{tree.manifest.digest.short}"}


@pytest.mark.slow
def test_a_package_without_its_index_is_removed_with_its_pointers(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    bucket.store.delete(bucket.package(tree).index_uri)
    remove(bucket, tree)
    assert bucket.listing() == []


def test_a_withdrawn_package_counts_as_not_published_until_it_is_restored(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    (folder,) = look(bucket).values()
    gone = removal.withdraw(bucket.store, folder)
    assert not bucket.plan(tree).done
    removal.restore(bucket.store, gone)
    assert bucket.plan(tree).done


def test_a_release_that_was_replaced_is_not_withdrawn(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    (folder,) = look(bucket).values()
    bucket.store.put(folder.releases[0].location, b"another")
    with pytest.raises(ChangedError):
        removal.withdraw(bucket.store, folder)
    assert bucket.get(folder.releases[0].location) == b"another"


def test_a_removed_package_is_published_again_by_what_published_it_first(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    before = bucket.listing()
    remove(bucket, tree)
    bucket.publish(tree)
    assert bucket.listing() == before


def test_only_folders_of_packages_and_their_records_count(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    for key in ("notes.txt", "deployments/prod/x.json", "0123/model.tar.gz", "releases/readme.txt"):
        bucket.store.put(bucket.target.child(f"svd/{key}"), b"of somebody")
    (folder,) = look(bucket).values()
    assert folder.path == bucket.package(tree).path
    assert folder.published is not None
    assert {each.location.key.rpartition("/")[2] for each in folder.objects} == {
        *("model.tar.gz", "index.json", "manifest.json", "provenance.json", "sbom.cdx.json")
    }


@pytest.mark.parametrize(
    ("uri", "overlaps"),
    [
        ("s3://b/models/svd/0123456789abcdef/model.tar.gz", True),
        ("s3://b/models/svd/0123456789abcdef/model/", True),
        ("s3://b/models/svd/", True),
        ("s3://b/mod", True),
        ("s3://b/models/svd/0123456789abcde", True),
        ("s3://b/models/svd/0123456789abcdef0/model.tar.gz", False),
        ("s3://b/models/svd/fedcba9876543210/model.tar.gz", False),
        ("s3://c/models/svd/0123456789abcdef/model.tar.gz", False),
        ("https://b.s3.amazonaws.com/models/svd/0123456789abcdef/model.tar.gz", True),
        ("https://s3.us-east-1.amazonaws.com/b/models/svd/0123456789abcdef/model.tar.gz", True),
        ("", False),
    ],
)
def test_a_model_loads_a_package_by_any_address_of_it(uri: str, *, overlaps: bool) -> None:
    folder = stored.StoredFolder("svd/0123456789abcdef", S3Uri("b", "models/svd/0123456789abcdef"))
    assert folder.overlaps(uri) is overlaps
