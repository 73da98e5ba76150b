"""Publishing archives to the sandbox's S3 with the real client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.publish.archive_plan import ArchivePlan
from sagepack.publish.checksums import Checksums
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.keys import pointer_uri
from sagepack.publish.resumed import Resumed, resumed
from sagepack.publish.upload.sources import HubFiles
from tests.helpers.fault_proxy import Fault, FaultProxy
from tests.helpers.publishing import Bucket, KiB, MiB, Tree, connect, svd_like

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER_FAULTS = [
    Fault("cut", "PUT .*partNumber", value=300),
    Fault("InternalError", "PUT .*partNumber", times=3),
    Fault("SlowDown", "POST .*uploadId", times=2),
    Fault("lost", "POST .*uploads"),
    Fault("lost", "PUT .*/index.json"),
    Fault("lost", "PUT .*/manifest.json"),
]


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    return Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")


@pytest.fixture
def proxy(sandbox: Any) -> Iterator[FaultProxy]:
    with FaultProxy(sandbox.aws_url) as proxy:
        yield proxy


@pytest.fixture
def through(proxy: FaultProxy, bucket: Bucket, sandbox: Any) -> Bucket:
    """The same bucket, reached through the proxy."""
    return Bucket(connect(proxy.url, sandbox), bucket.target, bucket.journals)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like())


@pytest.fixture
def edited(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "two", {**svd_like(), "code/inference.py": b"print('two')\n"})


def test_what_is_published_is_what_the_writer_builds(bucket: Bucket, tree: Tree) -> None:
    published = bucket.publish(tree)
    archive = tree.build()
    assert bucket.archive(tree) == archive
    assert published.size == published.sent_bytes == len(archive)
    assert published.archive is not None
    assert published.archive.checksums["CRC64NVME"] == Checksums.of(archive).value("CRC64NVME")
    assert published.uri == str(bucket.package(tree).model_uri)


def test_a_second_publish_sends_nothing(bucket: Bucket, tree: Tree) -> None:
    first = bucket.publish(tree)
    before = bucket.listing()
    plan = bucket.plan(tree)
    second = bucket.publish(tree, plan)
    assert plan.done
    assert (second.sent_bytes, second.copied_bytes) == (0, 0)
    assert second.archive == first.archive
    assert bucket.listing() == before


def test_an_edit_of_the_code_sends_the_code_alone_from_a_machine_without_the_model(
    bucket: Bucket, through: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    files = svd_like(unet=24 * MiB)
    bucket.publish(Tree(tmp_path / "one", files))
    edited = Tree(tmp_path / "two", {**files, "code/inference.py": b"print('two')\n"})
    plan = through.plan(edited)
    code = sum(len(data) for path, data in edited.files.items() if path.startswith("code/"))
    published = through.publish(edited, plan, sources=[edited.local("code/")])
    assert published.sent_bytes + published.copied_bytes == published.size
    assert isinstance(plan, ArchivePlan)
    assert [part for part in plan.parts if isinstance(part, SentPart)] == [plan.parts[-1]]
    assert [member.path for member in plan.missing] == ["code/inference.py"]
    assert bucket.archive(edited) == edited.build()
    # Everything that went over the wire, from looking to the release record.
    assert published.sent_bytes <= 4 * KiB + code
    assert proxy.up <= 64 * KiB + code
    assert proxy.down <= 64 * KiB


def test_a_renamed_file_is_copied_and_borrows_for_its_header(bucket: Bucket, tree: Tree, tmp_path: Path) -> None:
    bucket.publish(tree)
    files = svd_like()
    files["unet/weights.safetensors"] = files.pop("unet/model.safetensors")
    renamed = Tree(tmp_path / "two", files)
    plan = bucket.plan(renamed)
    published = bucket.publish(renamed, plan, sources=[renamed.local("code/")])
    content = next(content for content in plan.contents if content.member.path == "unet/weights.safetensors")
    assert content.sent == 0
    assert content.copied > 5 * MiB
    assert published.sent_bytes <= 5 * MiB + 64 * KiB
    assert bucket.archive(renamed) == renamed.build()


def test_contents_of_another_spec_are_found_by_their_pointers(bucket: Bucket, tree: Tree, edited: Tree) -> None:
    bucket.publish(tree)
    plan = bucket.plan(edited, name="other")
    assert plan.missing == (next(m for m in edited.manifest.members if m.path == "code/inference.py"),)
    bucket.publish(edited, plan, sources=[edited.local("code/")])
    assert bucket.archive(edited, "other") == edited.build()


def test_contents_of_another_target_are_copied_when_the_spec_names_it(
    bucket: Bucket, tree: Tree, edited: Tree, sandbox: Any
) -> None:
    bucket.publish(tree)
    other = Bucket(bucket.store, S3Uri(sandbox.bucket, "elsewhere/deep"), bucket.journals)
    assert other.plan(edited).copied_bytes == 0
    plan = other.plan(edited, reuse_from=[bucket.target])
    published = other.publish(edited, plan, sources=[edited.local("code/")])
    assert published.sent_bytes < 64 * KiB
    assert other.archive(edited) == edited.build()
    # The contents can now be found here, too.
    assert len([key for key in other.listing() if "/contents/" in key]) == 2


def test_a_pointer_that_leads_nowhere_is_ignored_and_rewritten(bucket: Bucket, tree: Tree, edited: Tree) -> None:
    bucket.publish(tree)
    bucket.store.delete(bucket.package(tree).model_uri)
    plan = bucket.plan(edited)
    assert plan.copied_bytes == 0
    bucket.publish(edited, plan)
    digest = max(edited.manifest.members, key=lambda member: member.size).digest
    assert bucket.package(edited).path.encode() in bucket.get(pointer_uri(bucket.target, digest))


@pytest.mark.parametrize("text", [b"{", b'{"version": 1, "sha256": 3}'])
def test_a_pointer_to_another_target_is_ignored(bucket: Bucket, tree: Tree, text: bytes) -> None:
    for member in tree.manifest.members:
        bucket.store.put(pointer_uri(bucket.target, member.digest), text)
    assert bucket.plan(tree).copied_bytes == 0


def test_a_source_that_is_deleted_between_plan_and_copy_is_sent_instead(
    bucket: Bucket, tree: Tree, edited: Tree
) -> None:
    bucket.publish(tree)
    plan = bucket.plan(edited)
    assert plan.copied_bytes
    bucket.store.delete(bucket.package(tree).model_uri)
    published = bucket.publish(edited, plan)
    assert published.copied_bytes == 0
    assert bucket.archive(edited) == edited.build()
    assert list(bucket.store.uploads(bucket.target)) == []


def test_a_source_that_is_overwritten_between_plan_and_copy_is_sent_instead(
    bucket: Bucket, tree: Tree, edited: Tree
) -> None:
    bucket.publish(tree)
    plan = bucket.plan(edited)
    bucket.store.put(bucket.package(tree).model_uri, bytes(plan.size))
    bucket.publish(edited, plan)
    assert bucket.archive(edited) == edited.build()


def test_two_publishers_at_once_both_succeed(bucket: Bucket, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "one", svd_like(unet=1000))
    others = [Bucket(bucket.store, bucket.target, tmp_path / f"journals-{n}") for n in range(3)]
    plans = [other.plan(tree) for other in others]
    with ThreadPoolExecutor(3) as pool:
        published = list(pool.map(lambda other, plan: other.publish(tree, plan), others, plans))
    assert len({(one.archive and one.archive.etag, one.uri) for one in published}) == 1
    assert bucket.archive(tree) == tree.build()
    assert list(bucket.store.uploads(bucket.target)) == []
    assert bucket.plan(tree).done


def test_an_upload_that_expired_credentials_stopped_is_continued_with_what_is_missing(
    through: Bucket, bucket: Bucket, proxy: FaultProxy, tree: Tree
) -> None:
    proxy.faults = [Fault("ExpiredToken", "PUT .*partNumber", after=1, times=9)]
    with pytest.raises(UserError, match="ExpiredToken") as caught:
        through.publish(tree, workers=1)
    assert "same command" in (caught.value.fix or "")
    assert bucket.listing() == []
    plan = bucket.plan(tree)
    before = resumed(plan, bucket.journals, bucket.store)
    framing = plan.size - sum(end - start for _, start, end in plan.places(plan.observation.package.model_uri))
    assert 0 <= before.total - sum(before.by_path.values()) <= framing
    proxy.forget()
    published = through.publish(tree, workers=1)
    assert published.sent_bytes + before.total == published.size
    assert resumed(bucket.plan(tree), bucket.journals, bucket.store) == Resumed()
    assert proxy.lines("POST .*uploads") == []
    assert len(proxy.lines("PUT .*partNumber")) == 1
    assert 0 < published.sent_bytes < published.size
    assert bucket.archive(tree) == tree.build()


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_what_was_sent_of_an_upload_that_somebody_aborted_counts_as_not_sent(
    layout: str, through: Bucket, bucket: Bucket, proxy: FaultProxy, tmp_path: Path
) -> None:
    tree = Tree(tmp_path / "large", svd_like(unet=24 * MiB))
    proxy.faults = [Fault("ExpiredToken", "PUT .*partNumber", after=1, times=9)]
    with pytest.raises(UserError, match="ExpiredToken"):
        through.publish(tree, through.plan(tree, layout=layout), workers=1)
    plan = bucket.plan(tree, layout=layout)
    assert resumed(plan, bucket.journals, bucket.store).by_path
    for upload in bucket.store.uploads(bucket.target):
        bucket.store.abort(upload)
    assert resumed(plan, bucket.journals, bucket.store) == Resumed()


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", "PUT .*partNumber", times=2),
        Fault("SlowDown", times=3),
        Fault("lost", "POST .*uploadId"),
        Fault("lost", "PUT .*/releases/"),
        Fault("truncate", "GET .*/index.json", value=100),
        *(pytest.param(fault, marks=pytest.mark.slow) for fault in OTHER_FAULTS),
    ],
    ids=lambda fault: f"{fault.kind} {fault.match}".strip(),
)
def test_a_transient_fault_is_retried(
    through: Bucket, bucket: Bucket, proxy: FaultProxy, fault: Fault, tmp_path: Path
) -> None:
    files = svd_like(unet=1000)
    bucket.publish(Tree(tmp_path / "one", files))
    edited = Tree(tmp_path / "two", {**files, "code/inference.py": b"print('two')\n"})
    proxy.faults = [replace(fault)]
    through.publish(edited, sources=[edited.local("code/")])
    assert any(exchange.fault for exchange in proxy.exchanges)
    assert bucket.archive(edited) == edited.build()
    assert bucket.plan(edited).done


def test_an_edit_of_a_file_while_it_is_published_is_refused(bucket: Bucket, tree: Tree, tmp_path: Path) -> None:
    plan, sources = bucket.plan(tree), tree.local()
    big = tmp_path / "one" / "unet/model.safetensors"
    next(iter(sources.open(next(m.digest for m in tree.manifest.members if m.path.startswith("unet/m")), 0, 10)))
    big.write_bytes(b"x" * big.stat().st_size)
    with pytest.raises(IntegrityError, match="changed"):
        bucket.publish(tree, plan, sources=[sources])
    assert bucket.listing() == []
    assert list(bucket.store.uploads(bucket.target)) == []


def stream(tree: Tree, spoil: str | None = None) -> HubFiles:
    """The tree as a Hub serves it; the file `spoil` comes with other bytes of the same length."""

    def read(path: str, offset: int, length: int) -> Iterator[bytes]:
        data = tree.files[path] if path != spoil else bytes(len(tree.files[path]))
        return (data[start : min(start + 65536, offset + length)] for start in range(offset, offset + length, 65536))

    return HubFiles(read, {member.digest: member.path for member in tree.manifest.members})


def test_what_is_streamed_from_the_hub_is_the_same_archive(bucket: Bucket, tree: Tree) -> None:
    bucket.publish(tree, sources=[tree.local("code/"), stream(tree)])
    assert bucket.archive(tree) == tree.build()


@pytest.mark.parametrize("spoil", ["unet/model.safetensors", "unet/config.json"])
def test_nothing_is_published_of_a_stream_that_is_not_what_was_locked(bucket: Bucket, tree: Tree, spoil: str) -> None:
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        bucket.publish(tree, sources=[tree.local("code/"), stream(tree, spoil)])
    assert caught.value.where == spoil
    assert bucket.listing() == []
    assert list(bucket.store.uploads(bucket.target)) == []


def test_another_object_at_the_key_of_the_archive_is_refused(bucket: Bucket, tree: Tree) -> None:
    bucket.store.put(bucket.package(tree).model_uri, b"foreign")
    with pytest.raises(IntegrityError, match="7 bytes"):
        bucket.plan(tree)


def test_an_archive_whose_publisher_was_killed_gets_its_documents_from_another_machine(
    bucket: Bucket, tree: Tree, tmp_path: Path
) -> None:
    bucket.publish(tree)
    package = bucket.package(tree)
    index = bucket.get(package.index_uri)
    for key in bucket.listing():
        if key != package.model_uri.key:
            bucket.store.delete(S3Uri(bucket.target.bucket, key))
    elsewhere = Bucket(bucket.store, bucket.target, tmp_path / "elsewhere")
    published = elsewhere.publish(tree, sources=[])
    assert published.sent_bytes == 0
    assert bucket.get(package.index_uri) == index
    assert bucket.plan(tree).done


def test_a_store_without_the_better_checksum_gets_the_other(through: Bucket, proxy: FaultProxy, tree: Tree) -> None:
    proxy.faults = [Fault("NotImplemented", "POST .*uploads")]
    published = through.publish(tree)
    assert published.archive is not None
    assert published.archive.checksums["CRC32"] == Checksums.of(tree.build()).value("CRC32")


def test_contents_in_other_places_are_copied_or_borrowed(bucket: Bucket, tree: Tree, tmp_path: Path) -> None:
    bucket.publish(tree)
    files = {"all/" + path: data for path, data in svd_like().items() if not path.startswith("code/")}
    moved = Tree(tmp_path / "two", {**files, "code/inference.py": b"pass\n"})
    plan = bucket.plan(moved)
    contents = {content.member.path: content for content in plan.contents}
    # Of 5 MiB and a little, between new headers, no part can be made; it is sent, but need not be here.
    assert contents["all/image_encoder/model.safetensors"].borrowed > 5 * MiB
    assert contents["all/unet/model.safetensors"].copied > 6 * MiB
    assert {member.path for member in plan.missing} == {"code/inference.py"}
    assert isinstance(plan, ArchivePlan)
    assert all(part.length >= 5 * MiB for part in plan.parts[:-1])
    bucket.publish(moved, plan, sources=[moved.local("code/")])
    assert bucket.archive(moved) == moved.build()


@pytest.mark.slow  # it waits through every retry
def test_after_an_unreachable_store_the_next_run_succeeds(
    through: Bucket, bucket: Bucket, proxy: FaultProxy, tree: Tree
) -> None:
    proxy.faults = [Fault("InternalError", "PUT .*partNumber", times=50)]
    with pytest.raises(RemoteError):
        through.publish(tree, workers=1)
    proxy.forget()
    through.publish(tree)
    assert bucket.archive(tree) == tree.build()
