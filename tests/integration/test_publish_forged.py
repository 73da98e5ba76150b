"""Whoever can write beside a source of copies cannot take part in what is published, nor keep it from being published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.publish.checksums import ContentChecksum, FramedChecksums
from sagepack.publish.documents import Index
from sagepack.publish.observation import Binding
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.forge import archive_bytes, content_sums, forge_archive, forge_files, lie
from tests.helpers.forgery import collision, patched
from tests.helpers.publishing import Bucket, KiB, MiB, Tree, connect, noise, svd_like

if TYPE_CHECKING:
    from pathlib import Path

UNET = "unet/model.safetensors"
FORGED = {UNET: noise(6 * MiB + 1, 666)}


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    return Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")


@pytest.fixture
def attacker(bucket: Bucket) -> S3Uri:
    return S3Uri(bucket.target.bucket, "attacker")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like())


@pytest.fixture
def edited(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "two", {**svd_like(), "code/inference.py": b"print('two')\n"})


def stored(bucket: Bucket, tree: Tree, layout: str) -> dict[str, bytes]:
    """The contents that SageMaker would load."""
    if layout == "archive":
        assert bucket.archive(tree) == tree.build()
        return tree.files
    prefix = bucket.package(tree, layout=layout).model_uri
    return {item.location.key.removeprefix(prefix.key): bucket.get(item.location) for item in bucket.store.list(prefix)}


@pytest.mark.parametrize("layout", ["archive", "prefix"])
@pytest.mark.parametrize("place", ["reuse_from", "another name of the target"])
def test_forged_contents_of_others_are_never_copied(
    bucket: Bucket, attacker: S3Uri, tree: Tree, edited: Tree, layout: str, place: str
) -> None:
    target, name = (attacker, "svd") if place == "reuse_from" else (bucket.target, "evil")
    forge = forge_archive if layout == "archive" else forge_files
    package = forge(bucket.store, target, name, tree, FORGED)
    reuse_from = [target] if place == "reuse_from" else []
    plan = bucket.plan(edited, layout=layout, reuse_from=reuse_from)
    assert plan.copied_bytes > MiB
    bucket.publish(edited, plan)
    assert stored(bucket, edited, layout) == edited.files
    # It says which object lied, and what was genuine beside it is copied all the same.
    assert any(str(package.model_uri) in note and "planning again" in note for note in bucket.notes)
    # Nor does the release that follows take anything from there.
    again = Tree(edited.folder.parent / "three", {**svd_like(), "code/inference.py": b"print('three')\n"})
    bucket.publish(again, bucket.plan(again, layout=layout, reuse_from=reuse_from))
    assert stored(bucket, again, layout) == again.files


def test_a_forged_content_whose_checksums_are_the_genuine_ones_is_never_copied(
    bucket: Bucket, attacker: S3Uri, tree: Tree, edited: Tree
) -> None:
    forged = {UNET: patched(tree.files[UNET], 1000, collision())}
    assert content_sums(forged[UNET]).framed.crc64 == content_sums(tree.files[UNET]).framed.crc64
    forge_archive(bucket.store, attacker, "svd", edited, forged)
    # Own genuine release, and a longer run in the attacker's, which has the new code as well.
    bucket.publish(tree)
    plan = bucket.plan(edited, reuse_from=[attacker])
    assert {c.origin.binding for c in plan.contents if c.origin} == {Binding.VERIFIED}
    bucket.publish(edited, plan)
    assert bucket.archive(edited) == edited.build()


def test_a_forged_header_between_genuine_contents_is_never_copied(
    bucket: Bucket, attacker: S3Uri, tree: Tree, edited: Tree
) -> None:
    entry = next(entry for entry in tree.layout.entries if entry.path == "unet/config.json")
    archive = bytearray(archive_bytes(tree, tree.files))
    archive[entry.offset + 5 + 20] ^= 1  # a letter of a name
    forge_archive(bucket.store, attacker, "svd", tree, {}, data=bytes(archive))
    bucket.publish(edited, bucket.plan(edited, reuse_from=[attacker]))
    assert bucket.archive(edited) == edited.build()


def test_a_forged_checksum_in_the_index_of_a_genuine_archive_is_not_published(
    bucket: Bucket, attacker: S3Uri, tree: Tree, edited: Tree
) -> None:
    package = forge_archive(bucket.store, attacker, "svd", tree, {})
    true = content_sums(tree.files[UNET])
    lie(
        bucket.store,
        package,
        UNET,
        FramedChecksums(true.framed, ContentChecksum(true.plain.crc32 ^ 1, true.plain.length)),
    )
    bucket.publish(edited, bucket.plan(edited, reuse_from=[attacker]))
    assert bucket.archive(edited) == edited.build()


def test_what_others_published_is_read_once_and_then_copied_from(
    bucket: Bucket, attacker: S3Uri, sandbox: Any, tree: Tree, edited: Tree
) -> None:
    forge_archive(bucket.store, attacker, "svd", tree, {})
    with FaultProxy(sandbox.aws_url) as proxy:
        through = Bucket(connect(proxy.url, sandbox), bucket.target, bucket.journals)
        plan = through.plan(edited, reuse_from=[attacker])
        weights = sum(member.size for member in edited.manifest.members if member.size > 5 * MiB)
        assert weights < plan.read_bytes < weights + 64 * KiB
        assert {c.origin.binding for c in plan.contents if c.origin} == {Binding.NONE}
        through.publish(edited, plan, sources=[edited.local("code/")])
        assert weights < proxy.down < weights + 128 * KiB
        assert proxy.up < 64 * KiB
        # Another name, which has nothing of its own, copies from what was read before: the other name's is bound no more.
        proxy.forget()
        proxy.exchanges.clear()
        plan = through.plan(edited, name="other", reuse_from=[attacker])
        assert plan.read_bytes == 0
        through.publish(edited, plan, sources=[])
        assert proxy.down < 64 * KiB
    assert bucket.archive(edited, "other") == edited.build()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_the_own_release_costs_no_reading_on_any_machine(
    bucket: Bucket, sandbox: Any, tree: Tree, edited: Tree, tmp_path: Path, layout: str
) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    for journals, binding in ((bucket.journals, Binding.VERIFIED), (tmp_path / "elsewhere", Binding.NAME)):
        with FaultProxy(sandbox.aws_url) as proxy:
            through = Bucket(connect(proxy.url, sandbox), bucket.target, journals)
            plan = through.plan(edited, layout=layout)
            assert {content.origin.binding for content in plan.contents if content.origin} == {binding}
            assert (plan.read_bytes, plan.missing) == (
                0,
                tuple(m for m in edited.manifest.members if m.path == "code/inference.py"),
            )
            through.publish(edited, plan, sources=[edited.local("code/")])
            assert proxy.down < 64 * KiB
        assert stored(bucket, edited, layout) == edited.files
        for item in list(bucket.store.list(bucket.package(edited, layout=layout).folder.child(""))):
            bucket.store.delete(item.location)


def test_a_release_that_somebody_replaced_is_not_copied_from_by_the_machine_that_made_it(
    bucket: Bucket, tree: Tree, edited: Tree
) -> None:
    bucket.publish(tree)
    forge_archive(bucket.store, bucket.target, "svd", tree, FORGED)
    plan = bucket.plan(edited)
    assert {content.origin.binding for content in plan.contents if content.origin} == {Binding.NONE}
    bucket.publish(edited, plan)
    assert bucket.archive(edited) == edited.build()


def test_a_replaced_package_does_not_count_as_published(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree)
    package = bucket.package(tree)
    genuine = bucket.get(package.model_uri)
    forge_archive(bucket.store, bucket.target, "svd", tree, FORGED)
    plan = bucket.plan(tree)
    assert not plan.done
    assert plan.read_bytes == plan.size
    with pytest.raises(IntegrityError, match=UNET) as caught:
        bucket.publish(tree, plan)
    assert caught.value.where == str(package.model_uri)
    # The same bytes under another ETag are read, found right, and remembered.
    bucket.store.put(package.model_uri, genuine)
    bucket.publish(tree)
    assert bucket.plan(tree).done


def test_a_package_whose_archive_is_not_the_released_one_is_read_by_a_machine_that_knows_nothing_of_it(
    bucket: Bucket, tree: Tree, tmp_path: Path
) -> None:
    bucket.publish(tree)
    elsewhere = Bucket(bucket.store, bucket.target, tmp_path / "elsewhere")
    assert elsewhere.plan(tree).done
    package = bucket.package(tree)
    bucket.store.put(
        package.model_uri, archive_bytes(tree, {**tree.files, UNET: patched(tree.files[UNET], 99, collision())})
    )
    plan = elsewhere.plan(tree)
    assert (plan.done, plan.read_bytes) == (False, plan.size)
    with pytest.raises(IntegrityError, match=UNET):
        elsewhere.publish(tree, plan)


def test_a_prefix_with_a_replaced_object_does_not_count_as_published(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree, bucket.plan(tree, layout="prefix"))
    package = bucket.package(tree, layout="prefix")
    forge_files(bucket.store, bucket.target, "svd", tree, FORGED)
    plan = bucket.plan(tree, layout="prefix")
    assert not plan.done
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        bucket.publish(tree, plan)
    assert caught.value.where == str(package.model_uri.child(UNET))


def test_an_index_of_the_own_name_that_makes_s3_refuse_is_named_and_left_out(
    bucket: Bucket, tree: Tree, edited: Tree, tmp_path: Path
) -> None:
    bucket.publish(tree)
    package = bucket.package(tree)
    true = content_sums(tree.files[UNET])
    lie(bucket.store, package, UNET, content_sums(FORGED[UNET]))
    elsewhere = Bucket(bucket.store, bucket.target, tmp_path / "elsewhere")
    elsewhere.publish(edited)
    assert bucket.archive(edited) == edited.build()
    assert any(f"{package.index_uri} is wrong" in note for note in elsewhere.notes)
    assert list(bucket.store.uploads(bucket.target)) == []
    # The machine that published it knows better than the index.
    third = Tree(tmp_path / "three", {**svd_like(), "code/inference.py": b"print('three')\n"})
    assert Index.parse(bucket.get(package.index_uri)) is not None
    assert bucket.plan(third).copied_bytes > MiB
    bucket.publish(third)
    assert bucket.archive(third) == third.build()
    assert true != content_sums(FORGED[UNET])


@pytest.mark.parametrize("layout", ["archive", "prefix"])
@pytest.mark.parametrize("path", [UNET, "unet/config.json"])
def test_a_local_file_that_was_damaged_unnoticed_is_not_published(
    bucket: Bucket, tree: Tree, layout: str, path: str
) -> None:
    plan, sources = bucket.plan(tree, layout=layout), tree.local()
    rotten = bytearray(tree.files[path])
    rotten[len(rotten) // 2] ^= 1
    (tree.folder / path).write_bytes(rotten)
    with pytest.raises(IntegrityError, match=Digest.sha256(tree.files[path]).value) as caught:
        bucket.publish(tree, plan, sources=[sources])
    assert caught.value.where == path
    keys = set(bucket.listing())
    package = bucket.package(tree, layout=layout)
    assert package.index_uri.key not in keys
    assert not any("/releases/" in key for key in keys)
    assert package.model_uri.child(path).key not in keys
