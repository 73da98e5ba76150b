"""Judging what S3 holds, with somebody who can write there: a few requests, or every byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagepack.aws.s3 import CRC64NVME, ChangedError, S3Uri
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.archive.framing import HEADER
from sagepack.package.attest import provenance, sbom
from sagepack.progress import Silent
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums, archive_sums
from sagepack.publish.documents import Files, Index, StoredFile
from sagepack.publish.keys import Package
from sagepack.publish.release import Release
from sagepack.publish.remote_check import Finding, PackageError
from sagepack.publish.remote_read import Checked, verify
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.forgery import collision, patched
from tests.helpers.publishing import (
    NOW,
    Bucket,
    KiB,
    MiB,
    Tree,
    bill_of,
    connect,
    noise,
    provenance_of,
    svd_like,
)

WEIGHTS = "unet/model.safetensors"
LAYOUTS = pytest.mark.parametrize("layout", ["archive", "prefix"])
DOCUMENTS = pytest.mark.parametrize("document", ["index", "manifest", "provenance", "sbom", "release"])


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    return Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    files = {**svd_like(unet=200 * KiB), "image_encoder/model.safetensors": noise(90 * KiB, 2)}
    return Tree(tmp_path / "one", files)


def publish(bucket: Bucket, tree: Tree, layout: str) -> Package:
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    return bucket.package(tree, layout=layout)


def judge(bucket: Bucket, tree: Tree, layout: str, *, deep: bool = False) -> Checked:
    return verify(bucket.store, bucket.package(tree, layout=layout), tree.manifest, Silent(), deep=deep)


@LAYOUTS
def test_the_machine_that_published_knows_what_no_document_in_s3_says_any_more(
    bucket: Bucket, tree: Tree, layout: str, tmp_path: Path
) -> None:
    poison(bucket, tree, layout, forged(tree, "collision"), tmp_path)
    assert judge(bucket, tree, layout).deep is False  # all documents agree with each other
    package = bucket.package(tree, layout=layout)
    with pytest.raises(PackageError, match="the memory of this machine") as caught:
        verify(bucket.store, package, tree.manifest, Silent(), verified=bucket.verified)
    at = package.model_uri if layout == "archive" else package.model_uri.child(WEIGHTS)
    assert [finding.where for finding in caught.value.findings] == [str(at)]


def findings(bucket: Bucket, tree: Tree, layout: str, *, deep: bool = False) -> tuple[Finding, ...]:
    with pytest.raises(PackageError) as caught:
        judge(bucket, tree, layout, deep=deep)
    assert caught.value.exit_code == 4
    assert all(str(finding) in str(caught.value) for finding in caught.value.findings)
    return caught.value.findings


def record(package: Package) -> S3Uri:
    return package.release_uri(NOW)


def place(package: Package, document: str) -> S3Uri:
    return record(package) if document == "release" else getattr(package, f"{document}_uri")


def flipped(data: bytes, index: int, bit: int = 0) -> bytes:
    return patched(data, index, bytes([1 << bit]))


def etag(bucket: Bucket, location: S3Uri) -> str:
    head = bucket.store.head(location)
    assert head is not None
    return head.etag


def overwrite(bucket: Bucket, location: S3Uri, data: bytes) -> None:
    """Put another object in the place of one, with a checksum that S3 has verified, as publishing does."""
    bucket.store.delete(location)
    upload, checksum = bucket.store.begin(location, CRC64NVME), Checksums.of(data).value(CRC64NVME)
    assert upload is not None
    part = bucket.store.send(upload, 1, bytearray(data), CRC64NVME, checksum)
    assert bucket.store.complete(upload, [part], len(data), CRC64NVME, checksum)


def reseal(bucket: Bucket, package: Package, index: bytes) -> None:
    """Write index and release record as if what S3 holds now had been published."""
    bucket.store.put(package.index_uri, index)
    release, head = Release.parse(bucket.get(record(package))), bucket.store.head(package.model_uri)
    assert release is not None
    documents = {**release.documents, package.index_uri.key.rpartition("/")[2]: Digest.sha256(index)}
    if head is not None:
        release = replace(release, etag=head.etag, checksums=head.checksums)
    bucket.store.put(record(package), replace(release, documents=documents).text())


def forged(tree: Tree, how: str) -> dict[str, bytes]:
    """The files with other weights: any, or some that no checksum tells from the genuine ones."""
    weights = tree.files[WEIGHTS]
    other = patched(weights, 70_000, collision()) if how == "collision" else bytes(len(weights))
    assert other != weights
    return {**tree.files, WEIGHTS: other}


def poison(bucket: Bucket, tree: Tree, layout: str, files: dict[str, bytes], folder: Path) -> None:
    """Publish genuine files, then put others in their place, and documents that agree with them: all but the SHA-256."""
    package, members = publish(bucket, tree, layout), tree.manifest.members
    if layout == "prefix":
        bucket.store.put(package.model_uri.child(WEIGHTS), files[WEIGHTS])
        etags = [etag(bucket, package.model_uri.child(member.path)) for member in members]
        stored = [StoredFile(m, tag, Checksums.of(files[m.path])) for m, tag in zip(members, etags, strict=True)]
        reseal(bucket, package, Files(tuple(stored)).text())
        return
    archive = Tree(folder / "forged", files).build()
    overwrite(bucket, package.model_uri, archive)
    sums = tuple(
        FramedChecksums(
            Checksums.of(archive[entry.content_offset : entry.padding_offset]),
            ContentChecksum(Checksums.of(files[entry.path]).crc32, entry.size),
        )
        for entry in tree.layout.entries
    )
    whole = archive_sums(tree.layout, sums, tar_crc(tree.layout, [one.plain.crc32 for one in sums]))
    reseal(bucket, package, Index(tree.manifest, sums, etag(bucket, package.model_uri), whole).text())


@LAYOUTS
def test_a_package_as_it_was_published_is_verified(bucket: Bucket, tree: Tree, layout: str) -> None:
    package = publish(bucket, tree, layout)
    assert judge(bucket, tree, layout).record == record(package)
    deep = judge(bucket, tree, layout, deep=True)
    assert deep.bytes_read >= tree.manifest.size


@LAYOUTS
def test_without_reading_it_costs_a_few_small_requests_for_a_package_of_any_size(
    bucket: Bucket, sandbox: Any, tmp_path: Path, layout: str
) -> None:
    large = Tree(tmp_path / "large", svd_like(unet=6 * MiB))
    publish(bucket, large, layout)
    with FaultProxy(sandbox.aws_url) as proxy:
        through = Bucket(connect(proxy.url, sandbox), bucket.target, bucket.journals)
        found = judge(through, large, layout)
        assert len(proxy.exchanges) == found.requests == 7
        assert proxy.down < 32 * KiB


@LAYOUTS
def test_a_package_that_is_not_published_is_an_error(bucket: Bucket, tree: Tree, layout: str) -> None:
    with pytest.raises(UserError, match="not published") as caught:
        judge(bucket, tree, layout)
    assert "invoke upload" in (caught.value.fix or "")
    package = publish(bucket, tree, layout)
    bucket.store.delete(record(package))
    with pytest.raises(UserError, match="not published"):
        judge(bucket, tree, layout, deep=True)


@pytest.mark.slow
@LAYOUTS
@DOCUMENTS
def test_a_flipped_bit_in_a_document_is_found_until_it_is_restored(
    bucket: Bucket, tree: Tree, layout: str, document: str
) -> None:
    location = place(publish(bucket, tree, layout), document)
    genuine = bucket.get(location)
    for index in range(5, len(genuine), len(genuine) // 6):
        bucket.store.put(location, flipped(genuine, index))
        assert str(location) in {finding.where for finding in findings(bucket, tree, layout)}
    bucket.store.put(location, genuine)
    judge(bucket, tree, layout)


@LAYOUTS
@pytest.mark.parametrize("document", ["index", "manifest", "provenance", "sbom"])
def test_a_missing_document_is_found(bucket: Bucket, tree: Tree, layout: str, document: str) -> None:
    location = place(publish(bucket, tree, layout), document)
    bucket.store.delete(location)
    assert [str(finding) for finding in findings(bucket, tree, layout)] == [
        f"{location}: it is missing, or too large to be read"
    ]


@LAYOUTS
def test_a_bill_of_materials_that_no_release_lists_is_told(bucket: Bucket, tree: Tree, layout: str) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=layout), sbom=None)
    judge(bucket, tree, layout)
    package = bucket.package(tree, layout=layout)
    bucket.store.put(package.sbom_uri, sbom.text(bill_of(tree)))
    (finding,) = findings(bucket, tree, layout)
    assert (finding.where, finding.message.endswith("it is none")) == (str(package.sbom_uri), True)


@LAYOUTS
def test_a_package_without_a_bill_of_materials_gets_one_from_the_next_upload_and_nothing_else_is_sent(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    bucket.publish(tree, bucket.plan(tree, layout=layout), sbom=None)
    plan = bucket.plan(tree, layout=layout)
    assert (plan.done, plan.sent_bytes, plan.observation.model_stored) == (False, 0, True)
    later = bucket.publish(tree, plan)
    assert later.sent_bytes == 0
    assert bucket.plan(tree, layout=layout).done
    judge(bucket, tree, layout)


@LAYOUTS
def test_documents_of_other_files_are_told_though_their_release_lists_them(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    member = tree.manifest.members[0]
    about = provenance_of(tree)
    files = [{"name": each.path, "digest": {"sha256": each.digest.value}} for each in tree.manifest.members[1:]]
    about["predicate"] = {"buildDefinition": {"resolvedDependencies": files}}
    bill = bill_of(tree)
    bill["metadata"]["component"]["properties"][0]["value"] = str(Digest.sha256(b"other"))
    plan = bucket.plan(tree, layout=layout)
    bucket.publish(tree, plan, provenance=provenance.text(about), sbom=sbom.text(bill))
    package = bucket.package(tree, layout=layout)
    assert [(each.where, each.member) for each in findings(bucket, tree, layout)] == [
        (str(package.provenance_uri), member.path),
        (str(package.sbom_uri), None),
    ]


@LAYOUTS
def test_an_edited_manifest_is_reported_with_both_digests(bucket: Bucket, tree: Tree, layout: str) -> None:
    package = publish(bucket, tree, layout)
    document = json.loads(bucket.get(package.manifest_uri))
    document["members"][0]["sha256"] = "0" * 64
    edited = json.dumps(document).encode()
    bucket.store.put(package.manifest_uri, edited)
    (finding,) = findings(bucket, tree, layout)
    assert str(Digest.sha256(edited)) in finding.message
    assert str(Digest.sha256(tree.manifest.text().encode())) in finding.message


def test_an_archive_replaced_by_one_with_equal_checksums_is_found_by_its_etag(bucket: Bucket, tree: Tree) -> None:
    package = publish(bucket, tree, "archive")
    before, genuine = bucket.store.head(package.model_uri), tree.build()
    entry = next(entry for entry in tree.layout.entries if entry.path == WEIGHTS)
    other = patched(genuine, entry.content_offset + HEADER + 1000, collision())
    assert other != genuine
    assert Checksums.of(other) == Checksums.of(genuine)
    overwrite(bucket, package.model_uri, other)
    after = bucket.store.head(package.model_uri)
    assert before is not None
    assert after is not None
    assert before.checksums == after.checksums
    found = findings(bucket, tree, "archive")
    assert all("the ETag" in finding.message and before.etag in finding.message for finding in found)
    assert all(finding.where == str(package.model_uri) for finding in found)
    (content,) = [finding for finding in findings(bucket, tree, "archive", deep=True) if finding.member]
    assert (content.member, content.offset) == (WEIGHTS, entry.content_offset)
    overwrite(bucket, package.model_uri, genuine)  # the same parts give the same ETag
    judge(bucket, tree, "archive", deep=True)


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("how", ["plain", "collision"])
def test_documents_that_were_forged_with_the_model_are_found_by_reading_it(
    bucket: Bucket, tree: Tree, tmp_path: Path, layout: str, how: str
) -> None:
    poison(bucket, tree, layout, forged(tree, how), tmp_path)
    # All that can be had without the bytes agrees: nothing but reading finds it.
    judge(bucket, tree, layout)
    (finding,) = findings(bucket, tree, layout, deep=True)
    assert finding.member == WEIGHTS
    assert finding.offset is not None or layout == "prefix"
    digest = next(member.digest for member in tree.manifest.members if member.path == WEIGHTS)
    assert str(digest) in finding.message


def test_every_object_that_differs_is_reported(bucket: Bucket, tree: Tree) -> None:
    package = publish(bucket, tree, "prefix")
    for path in (WEIGHTS, "unet/config.json"):
        bucket.store.put(package.model_uri.child(path), bytes(len(tree.files[path])))
    bucket.store.put(package.model_uri.child("model_index.json"), b"longer")
    bucket.store.delete(package.model_uri.child("vae/config.json"))
    shallow = {finding.where.rpartition("/model/")[2] for finding in findings(bucket, tree, "prefix")}
    assert shallow == {WEIGHTS, "unet/config.json", "model_index.json", "vae/config.json"}
    deep = {finding.member for finding in findings(bucket, tree, "prefix", deep=True) if finding.member}
    assert deep == {WEIGHTS, "unet/config.json"}


@pytest.mark.parametrize("path", ["code/sitecustomize.py", ""])
def test_an_object_under_the_prefix_that_is_no_file_of_the_package_is_found(
    bucket: Bucket, tree: Tree, path: str
) -> None:
    package = publish(bucket, tree, "prefix")
    bucket.store.put(package.model_uri.child(path), b"import os")
    (finding,) = findings(bucket, tree, "prefix")
    assert finding.where == str(package.model_uri.child(path))
    bucket.store.delete(package.model_uri.child(path))
    judge(bucket, tree, "prefix")


def test_a_wrong_etag_in_the_list_of_files_is_found(bucket: Bucket, tree: Tree) -> None:
    package = publish(bucket, tree, "prefix")
    files = Files.parse(bucket.get(package.index_uri))
    assert files is not None
    first = replace(files.files[0], etag='"another"')
    bucket.store.put(package.index_uri, Files((first, *files.files[1:])).text())
    found = findings(bucket, tree, "prefix")
    assert {finding.where for finding in found} == {
        str(package.index_uri),
        str(package.model_uri.child(first.member.path)),
    }
    assert any('"another"' in finding.message and files.files[0].etag in finding.message for finding in found)


def first_version(bucket: Bucket, package: Package) -> None:
    """Write the documents of a package as the first version of their formats had them."""
    for location in (package.index_uri, record(package)):
        document = {**json.loads(bucket.get(location)), "version": 1}
        for key in ("sha256", "etag", "version_id", "checksums", "documents"):
            document.pop(key, None)
        bucket.store.put(location, json.dumps(document).encode())


@LAYOUTS
def test_a_release_of_the_first_version_needs_its_bytes_read(bucket: Bucket, tree: Tree, layout: str) -> None:
    package = publish(bucket, tree, layout)
    first_version(bucket, package)
    with pytest.raises(PackageError, match="version 1") as caught:
        judge(bucket, tree, layout)
    assert "--deep" in (caught.value.fix or "")
    assert len(judge(bucket, tree, layout, deep=True).notes) == 2
    model = package.model_uri if layout == "archive" else package.model_uri.child(WEIGHTS)
    bucket.store.put(model, flipped(bucket.get(model), 150_000))
    assert WEIGHTS in {finding.member for finding in findings(bucket, tree, layout, deep=True)}


def test_an_archive_that_is_replaced_while_it_is_read_is_an_error(bucket: Bucket, sandbox: Any, tree: Tree) -> None:
    package = publish(bucket, tree, "archive")

    def replace_it(number: int) -> None:
        if number == 7:
            bucket.store.put(package.model_uri, bytes(tree.layout.size))

    with FaultProxy(sandbox.aws_url) as proxy:
        proxy.on_request = replace_it
        through = Bucket(connect(proxy.url, sandbox), bucket.target, bucket.journals)
        with pytest.raises(ChangedError):
            judge(through, tree, "archive", deep=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil",
    [
        lambda member: member.update(crc32=f"{int(member['crc32'], 16) ^ 1:08x}"),
        lambda member: member["framed"].update(crc64nvme="1" + member["framed"]["crc64nvme"]),
    ],
    ids=["flipped", "too large"],
)
def test_a_damaged_index_costs_the_next_package_bytes_and_spoils_nothing(
    bucket: Bucket, tmp_path: Path, spoil: Callable[[dict[str, Any]], None]
) -> None:
    tree = Tree(tmp_path / "large", svd_like(unet=1000))
    package = publish(bucket, tree, "archive")
    genuine = bucket.get(package.index_uri)
    document = json.loads(genuine)
    spoil(next(member for member in document["members"] if member["path"] == "image_encoder/model.safetensors"))
    bucket.store.put(package.index_uri, json.dumps(document, separators=(",", ":")).encode() + b"\n")
    edited = Tree(tmp_path / "two", {**tree.files, "code/inference.py": b"print('two')\n"})
    bucket.publish(edited)
    assert bucket.archive(edited) == edited.build()
    # The damaged one is written anew by the next upload of its package.
    assert not bucket.plan(tree).done
    bucket.publish(tree)
    assert bucket.get(package.index_uri) == genuine
    judge(bucket, tree, "archive")


def test_a_message_shows_the_first_findings_and_the_document_all_of_them() -> None:
    error = PackageError([Finding(f"s3://b/{number}", "it is missing") for number in range(60)], fix="mend it")
    assert "s3://b/49: it is missing\n  and 10 more" in str(error)
    assert [finding["where"] for finding in error.to_json()["findings"]][59] == "s3://b/59"


@LAYOUTS
def test_publishing_again_overwrites_damaged_documents(bucket: Bucket, tree: Tree, layout: str) -> None:
    package = publish(bucket, tree, layout)
    for location in (package.manifest_uri, package.provenance_uri, package.sbom_uri, package.index_uri):
        bucket.store.put(location, b"{}")
    publish(bucket, tree, layout)
    judge(bucket, tree, layout)
