"""Signed packages, with somebody who may write every key of them: what was signed is verified, and nothing else passes."""

from __future__ import annotations

import base64
import json
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagepack.aws.s3 import CRC64NVME, S3, ObjectSummary, S3Uri
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, SagepackError
from sagepack.package.attest import dsse, oms, provenance, sbom
from sagepack.progress import Silent
from sagepack.publish.checksums import Checksums
from sagepack.publish.documents import Index
from sagepack.publish.gate import require_signed
from sagepack.publish.keys import Package
from sagepack.publish.observation import Binding
from sagepack.publish.release import Release
from sagepack.publish.remote_check import PackageError
from sagepack.publish.remote_read import Checked, UnsignedError, verify
from sagepack.publish.signatures import PREDICATE_TYPE, SignedRelease, sign, signed_release
from sagepack.publish.signing import PackageSigner
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.forge import forge_archive, forge_files
from tests.helpers.forgery import collision, patched
from tests.helpers.publishing import NOW, Bucket, KiB, MiB, Tree, bill_of, connect, noise, provenance_of, svd_like
from tests.helpers.signing import P384, KeyPair

OURS, THEIRS = KeyPair.of("ours"), KeyPair.of("theirs")
UNET = "unet/model.safetensors"
FORGED = {UNET: noise(6 * MiB + 1, 666)}
LAYOUTS = pytest.mark.parametrize("layout", ["archive", "prefix"])


def crc32_of(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


Attack = Callable[[Bucket, Tree, Package], None]


@pytest.fixture
def bucket(sandbox: Any, tmp_path: Path) -> Bucket:
    store, target = connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models")
    return Bucket(store, target, tmp_path / "journals", keys=(OURS.public,), signer=OURS.signer)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "one", svd_like())


@pytest.fixture
def edited(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "two", {**svd_like(), "code/inference.py": b"print('two')\n"})


def other_machine(bucket: Bucket, **changes: Any) -> Bucket:
    """Somebody who remembers nothing of what is in the bucket."""
    return replace(bucket, journals=bucket.journals.parent / "other", notes=[], **changes)


def published(bucket: Bucket, tree: Tree, layout: str = "archive") -> Package:
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    return bucket.package(tree, layout=layout)


def judge(bucket: Bucket, tree: Tree, layout: str = "archive", *keys: KeyPair) -> Checked:
    """What a machine says that remembers nothing and does not read the model."""
    counting = [key.public for key in keys or (OURS,)]
    return verify(bucket.store, bucket.package(tree, layout=layout), tree.manifest, Silent(), keys=counting)


def admitted(bucket: Bucket, tree: Tree, layout: str = "archive", *keys: KeyPair) -> SignedRelease:
    """What such a machine says that is about to serve the package."""
    counting = [key.public for key in keys or (OURS,)]
    return require_signed(bucket.store, bucket.package(tree, layout=layout), lambda: tree.manifest, counting)


def findings(bucket: Bucket, tree: Tree, layout: str = "archive", *keys: KeyPair) -> dict[str, str]:
    """The messages by the name of the object."""
    with pytest.raises(PackageError) as caught:
        judge(bucket, tree, layout, *keys)
    assert caught.value.exit_code == 4
    with pytest.raises(PackageError) as refused:
        admitted(bucket, tree, layout, *keys)
    assert refused.value.findings == caught.value.findings
    found: dict[str, str] = {}
    for finding in caught.value.findings:
        name = finding.where.rpartition("/")[2]
        found[name] = f"{found.get(name, '')}{finding.message}; "
    return found


@LAYOUTS
def test_a_published_package_is_signed_before_its_record_says_that_it_is_there(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    package = published(bucket, tree, layout)
    checked = judge(bucket, tree, layout)
    assert checked.signature is not None
    assert (checked.signature.key, checked.signature.hint, checked.signature.signed) == (
        "key.pub",
        OURS.public.hint,
        NOW,
    )
    record = Release.parse(bucket.get(package.release_uri(NOW)))
    assert signed_release(bucket.get(package.release_signature_uri), [OURS.public]).release == record
    assert bucket.plan(tree, layout=layout).done
    assert oms.signed_files(bucket.get(package.files_signature_uri), [OURS.public])[0] == {
        member.path: member.digest.value for member in tree.manifest.members
    }


@LAYOUTS
def test_verifying_reads_little_whatever_the_model_weighs(
    bucket: Bucket, tree: Tree, layout: str, sandbox: Any
) -> None:
    published(bucket, tree, layout)
    with FaultProxy(sandbox.aws_url) as proxy:
        through = replace(bucket, store=connect(proxy.url, sandbox))
        found = judge(through, tree, layout)
        assert len(proxy.exchanges) == found.requests == 10
        assert proxy.down < 64 * KiB


def many(files: int) -> dict[str, bytes]:
    return {f"shards/{number:05}.safetensors": b"%d" % number for number in range(files)} | {"code/inference.py": b""}


@pytest.mark.parametrize(("layout", "requests", "per_file"), [("archive", 9, 0), ("prefix", 9, 800)])
def test_what_is_asked_before_a_package_serves_costs_the_same_for_any_number_of_files(
    bucket: Bucket, tmp_path: Path, layout: str, requests: int, per_file: int, sandbox: Any
) -> None:
    read = []
    for files in (1, 201):
        tree = Tree(tmp_path / str(files), many(files))
        published(bucket, tree, layout)
        with FaultProxy(sandbox.aws_url) as proxy:
            signed = admitted(replace(bucket, store=connect(proxy.url, sandbox)), tree, layout)
            assert (signed.key, signed.release.manifest_digest) == (OURS.public, tree.manifest.digest)
            assert len(proxy.exchanges) == requests
            read.append(proxy.down)
    assert read[0] < 16 * KiB
    assert abs(read[1] - read[0]) <= 200 * per_file + 100


@LAYOUTS
def test_documents_that_another_program_wrote_are_read_before_a_package_serves(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    package = published(bucket, tree, layout)
    for place in (package.provenance_uri, package.files_signature_uri):
        bucket.store.put(place, bucket.get(place), checksum=("CRC32", crc32_of(bucket.get(place))))
        head = bucket.store.head(place)
        assert head
        assert head.sha256 is None
    assert admitted(bucket, tree, layout).release.manifest_digest == tree.manifest.digest
    bucket.store.put(package.provenance_uri, b"{}", checksum=("CRC32", crc32_of(b"{}")))
    findings(bucket, tree, layout)


def test_the_checksum_that_the_gate_believes_cannot_be_claimed_for_other_bytes(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree)
    head = bucket.store.head(package.provenance_uri)
    assert head
    assert head.sha256
    claimed = base64.b64encode(bytes.fromhex(head.sha256.value)).decode()
    with pytest.raises(SagepackError, match="BadDigest"):
        bucket.store.put(package.provenance_uri, b"{}", checksum=("SHA256", claimed))


def test_a_release_that_names_no_signatures_still_counts(bucket: Bucket, tree: Tree) -> None:
    """So earlier versions of this program signed."""
    package = published(bucket, tree)
    record = Release.parse(bucket.get(package.release_uri(NOW)))
    assert record
    said = {"signed": "2030-01-01T00:00:00Z", "release": record.document()}
    about = Digest.sha256(tree.manifest.text().encode()).value
    text = dsse.signed(dsse.statement("manifest.json", about, PREDICATE_TYPE, said), OURS.signer)
    bucket.store.put(package.release_signature_uri, text)
    assert admitted(bucket, tree).signatures == {}
    half_signed(bucket, tree, package)
    assert "missing" in findings(bucket, tree)["model.sig"]


@contextmanager
def versions_without_a_name(bucket: Bucket) -> Iterator[None]:
    """What S3 says, and moto does not, in a bucket with versioning of what was written without it."""

    def name_it(parsed: Any, **_: Any) -> None:
        parsed.setdefault("VersionId", "null")

    events = bucket.store._client.meta.events
    events.register("after-call.s3.HeadObject", name_it)
    yield
    events.unregister("after-call.s3.HeadObject", name_it)


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("suspended", [False, True])
def test_a_bucket_that_gets_versioning_or_has_it_suspended_changes_nothing_of_what_was_signed(
    bucket: Bucket, tree: Tree, layout: str, suspended: bool
) -> None:
    with versions_without_a_name(bucket) if suspended else nullcontext():
        published(bucket, tree, layout)
    with versions_without_a_name(bucket):
        assert admitted(bucket, tree, layout).release.version_id is None
        assert judge(bucket, tree, layout).signature


def remembered(bucket: Bucket, package: Package) -> set[str]:
    return {each.etag for each in bucket.verified.of(package.folder).values()}


def test_a_signature_says_more_than_what_a_machine_remembers_of_an_earlier_upload(
    bucket: Bucket, tree: Tree, edited: Tree
) -> None:
    package, keys = published(bucket, tree), [OURS.public]
    for key in bucket.listing():
        bucket.store.delete(S3Uri(bucket.target.bucket, key))
    other = other_machine(bucket)
    for each in (edited, tree):  # copied in parts from the first one, so with another ETag
        published(other, each)
    assert remembered(bucket, package).isdisjoint(remembered(other, package))
    assert require_signed(bucket.store, package, lambda: tree.manifest, keys, bucket.verified).key == OURS.public
    assert verify(bucket.store, package, tree.manifest, Silent(), verified=bucket.verified, keys=keys).signature


class Interrupting(S3):
    """Something happens before the first write of an object with this name."""

    def __init__(self, bucket: Bucket, name: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(bucket.store._client)
        self.name = name
        self.meanwhile = [meanwhile]

    def put(self, location: S3Uri, data: bytes | Path, **options: Any) -> str | None:
        if self.meanwhile and location.key.endswith(self.name):
            self.meanwhile.pop()()
        return super().put(location, data, **options)


class Racing(S3):
    """Somebody replaces the package as soon as it was verified, before anything else is asked."""

    def __init__(self, bucket: Bucket, replace_it: Callable[[], object]) -> None:
        super().__init__(bucket.store._client)
        self.lists, self.replace_it = 0, replace_it

    def list(self, prefix: S3Uri) -> Iterator[ObjectSummary]:
        self.lists += 1
        if self.lists == 2:
            self.replace_it()
        return super().list(prefix)


def test_who_signs_on_the_word_of_another_signs_what_that_one_signed(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree)
    other = other_machine(bucket)
    racing = Racing(bucket, lambda: replaced(bucket, tree, package))
    documents = (provenance.text(provenance_of(tree)), sbom.text(bill_of(tree)))
    packaged = PackageSigner(racing, package, tree.manifest, *documents, other.verified, Silent())
    genuine = signed_release(bucket.get(package.release_signature_uri), [OURS.public]).release
    packaged.sign(THEIRS.signer, [OURS.public], NOW)
    assert signed_release(bucket.get(package.release_signature_uri), [THEIRS.public]).release == genuine


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("name", ["provenance.json", "model.sig", "release.sig", ".json"])
@pytest.mark.parametrize("other", [OURS, THEIRS], ids=["same key", "another key"])
def test_two_that_sign_at_once_from_different_commits_leave_what_one_of_them_signed(
    bucket: Bucket, tree: Tree, layout: str, name: str, other: KeyPair
) -> None:
    def made(commit: str) -> bytes:
        document = provenance_of(tree)
        source = {"uri": "git+https://example.com/p", "digest": {"gitCommit": commit * 40}, "name": "project"}
        return provenance.text({**document, "predicate": {"buildDefinition": {"resolvedDependencies": [source]}}})

    second = other_machine(bucket, signer=other.signer)
    slow = Interrupting(
        bucket, name, lambda: second.publish(tree, second.plan(tree, layout=layout), provenance=made("b"))
    )
    first = replace(bucket, store=slow)
    first.publish(tree, first.plan(tree, layout=layout), provenance=made("a"))
    assert not slow.meanwhile
    assert admitted(bucket, tree, layout, OURS, other).key == OURS.public
    assert bucket.get(bucket.package(tree, layout=layout).provenance_uri) in {made("a"), made("b")}
    assert judge(bucket, tree, layout, OURS).signature


def test_an_unsigned_package_costs_no_request_more(bucket: Bucket, tree: Tree, sandbox: Any) -> None:
    published(replace(bucket, keys=(), signer=None), tree)
    with FaultProxy(sandbox.aws_url) as proxy:
        verify(connect(proxy.url, sandbox), bucket.package(tree), tree.manifest, Silent())
        assert len(proxy.exchanges) == 7


@LAYOUTS
def test_an_unsigned_package_is_told_to_be_that(bucket: Bucket, tree: Tree, layout: str) -> None:
    published(replace(bucket, keys=(), signer=None), tree, layout)
    with pytest.raises(UnsignedError, match="not signed") as caught:
        judge(bucket, tree, layout)
    assert caught.value.exit_code == 1
    assert "invoke sign" in str(caught.value.fix)


@LAYOUTS
def test_a_package_that_is_published_and_not_signed_is_signed_by_the_next_upload(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    published(replace(bucket, keys=(), signer=None), tree, layout)
    plan = bucket.plan(tree, layout=layout)
    assert not plan.done
    assert plan.read_bytes == 0  # this machine has published it
    assert bucket.publish(tree, plan).sent_bytes == 0
    assert judge(bucket, tree, layout).signature


@LAYOUTS
def test_nobody_signs_what_another_machine_published_without_reading_it(
    bucket: Bucket, tree: Tree, layout: str
) -> None:
    published(replace(bucket, keys=(), signer=None), tree, layout)
    forge = forge_archive if layout == "archive" else forge_files
    if layout == "archive":
        bucket.store.delete(bucket.package(tree).model_uri)
    forge(bucket.store, bucket.target, "svd", tree, FORGED)
    other = other_machine(bucket)
    plan = other.plan(tree, layout=layout)
    assert plan.read_bytes >= plan.size
    with pytest.raises(IntegrityError, match=UNET):
        other.publish(tree, plan)
    assert not any(key.endswith(".sig") for key in bucket.listing())


def replaced(bucket: Bucket, tree: Tree, package: Package) -> None:
    """Other weights, of the same size and with the same checksums, and all documents and the record as if they belonged to them."""
    forged = {UNET: patched(tree.files[UNET], 70_000, collision())}
    bucket.store.delete(package.model_uri)
    forge_archive(bucket.store, bucket.target, "svd", tree, forged)


def replaced_plainly(bucket: Bucket, tree: Tree, package: Package) -> None:
    bucket.store.delete(package.model_uri)
    forge_archive(bucket.store, bucket.target, "svd", tree, FORGED)


def damaged(bucket: Bucket, tree: Tree, package: Package) -> None:
    data = bytearray(bucket.archive(tree))
    data[len(data) // 2] ^= 1
    bucket.store.put(package.model_uri, bytes(data))


def other_manifest(bucket: Bucket, _tree: Tree, package: Package) -> None:
    document = json.loads(bucket.get(package.manifest_uri))
    document["members"][0]["executable"] = True
    bucket.store.put(package.manifest_uri, json.dumps(document, indent=1).encode() + b"\n")


def flipped_index(bucket: Bucket, _tree: Tree, package: Package) -> None:
    """F6: a bit of a checksum, with the digest of the document made again."""
    index = Index.parse(bucket.get(package.index_uri))
    assert index is not None
    first = index.sums[0]
    sums = (replace(first, plain=replace(first.plain, crc32=first.plain.crc32 ^ 1)), *index.sums[1:])
    bucket.store.put(package.index_uri, replace(index, sums=sums).text())


def signed_by_them(bucket: Bucket, tree: Tree, package: Package) -> None:
    record = Release.parse(bucket.get(package.release_uri(NOW)))
    assert record is not None
    document = bucket.get(package.provenance_uri)
    for location, data in sign(package, tree.manifest, record, document, THEIRS.signer, NOW).items():
        bucket.store.put(location, data)


def swapped(bucket: Bucket, _tree: Tree, package: Package) -> None:
    bucket.store.put(package.release_signature_uri, bucket.get(package.files_signature_uri))


def half_signed(bucket: Bucket, _tree: Tree, package: Package) -> None:
    bucket.store.delete(package.files_signature_uri)


def signed_elsewhere(bucket: Bucket, tree: Tree, package: Package) -> None:
    """Genuine signatures of a genuine release of the same package, under another name."""
    bucket.publish(tree, bucket.plan(tree, "other"))
    other = bucket.package(tree, "other")
    for mine, theirs in zip(package.signature_uris, other.signature_uris, strict=True):
        bucket.store.put(mine, bucket.get(theirs))


def signed_before(bucket: Bucket, tree: Tree, package: Package) -> None:
    """Genuine signatures of an earlier release of the same name."""
    earlier = Tree(tree.folder.parent / "earlier", {**tree.files, "code/inference.py": b"print('bad')\n"})
    bucket.publish(earlier)
    for mine, theirs in zip(package.signature_uris, bucket.package(earlier).signature_uris, strict=True):
        bucket.store.put(mine, bucket.get(theirs))


def other_provenance(bucket: Bucket, _tree: Tree, package: Package) -> None:
    bucket.store.put(package.provenance_uri, bucket.get(package.provenance_uri).replace(b"predicate", b"predicates"))


def other_signed_provenance(bucket: Bucket, _tree: Tree, package: Package) -> None:
    """Our own signature of another statement."""
    text = bucket.get(package.provenance_uri).replace(b"manifest.json", b"manifest.JSON")
    bucket.store.put(package.provenance_signature_uri, dsse.signed_text(text, OURS.signer))


def provenance_signed_by_them(bucket: Bucket, _tree: Tree, package: Package) -> None:
    text = bucket.get(package.provenance_uri)
    bucket.store.put(package.provenance_signature_uri, dsse.signed_text(text, THEIRS.signer))


def other_bill(bucket: Bucket, _tree: Tree, package: Package) -> None:
    bucket.store.put(package.sbom_uri, b"{}")


@pytest.mark.parametrize(
    ("attack", "where", "message"),
    [
        (replaced, "model.tar.gz", "by the signed release"),
        (replaced_plainly, "model.tar.gz", "by the signed release"),
        (damaged, "model.tar.gz", "by the signed release"),
        (other_manifest, "manifest.json", "by lock and code"),
        (flipped_index, "index.json", "by the signed release"),
        (signed_by_them, "release.sig", "none of those that count"),
        (swapped, "release.sig", "another kind of statement"),
        (half_signed, "model.sig", "missing"),
        (other_signed_provenance, "provenance.sigstore.json", "another document than the provenance.json"),
        (provenance_signed_by_them, "provenance.sigstore.json", "none of those that count"),
        (other_bill, "sbom.cdx.json", "by the signed release"),
        (signed_elsewhere, "release.sig", "the name is other"),
        (signed_before, "model.sig", "code/inference.py"),
        (other_provenance, "provenance.json", "by the signed release"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused_and_named(
    bucket: Bucket, tree: Tree, attack: Attack, where: str, message: str, sandbox: Any
) -> None:
    package = published(bucket, tree)
    attack(bucket, tree, package)
    with FaultProxy(sandbox.aws_url) as proxy:
        found = findings(replace(bucket, store=connect(proxy.url, sandbox)), tree)
        assert proxy.down < 128 * KiB
    assert message in found[where]


@pytest.mark.parametrize(
    ("attack", "fix"),
    [
        (signed_by_them, "`invoke sign` compares all of it"),
        (half_signed, "`invoke sign` compares all of it"),
        (flipped_index, "`invoke upload`, which writes it again"),
    ],
)
def test_what_only_a_signer_can_mend_is_told_as_that(bucket: Bucket, tree: Tree, attack: Attack, fix: str) -> None:
    attack(bucket, tree, published(bucket, tree))
    with pytest.raises(PackageError) as caught:
        judge(bucket, tree)
    assert fix in str(caught.value.fix)


@pytest.mark.slow
@LAYOUTS
def test_a_flipped_bit_of_any_document_is_refused(bucket: Bucket, tree: Tree, layout: str) -> None:
    package, draw = published(bucket, tree, layout), random.Random(layout)
    names = [*package.format.document_names, "sbom.cdx.json"]
    places = [package.folder.child(name) for name in names]
    for place in (*places, *package.signature_uris, package.release_uri(NOW)):
        genuine = bucket.get(place)
        for _ in range(20):
            bucket.store.put(place, patched(genuine, draw.randrange(len(genuine)), bytes([1 << draw.randrange(8)])))
            with pytest.raises(PackageError):
                judge(bucket, tree, layout)
            with pytest.raises(PackageError):
                admitted(bucket, tree, layout)
        bucket.store.put(place, genuine)
    assert judge(bucket, tree, layout).signature


def test_signatures_that_were_removed_do_not_hide_another_archive(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree)
    damaged(bucket, tree, package)
    for location in package.signature_uris:
        bucket.store.delete(location)
    assert {"model.sig", "release.sig", "model.tar.gz"} <= findings(bucket, tree).keys()


def test_what_is_put_back_is_verified_again(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree)
    genuine = bucket.get(package.provenance_uri)
    other_provenance(bucket, tree, package)
    findings(bucket, tree)
    bucket.store.put(package.provenance_uri, genuine)
    assert judge(bucket, tree).signature


def test_files_of_a_prefix_that_were_replaced_or_added_are_named(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree, "prefix")
    forge_files(bucket.store, bucket.target, "svd", tree, FORGED)
    bucket.store.put(package.model_uri.child("code/extra.py"), b"import os\n")
    found = findings(bucket, tree, "prefix")
    assert "by the signed release" in found["files.json"]
    assert "no file of the package" in found["extra.py"]


def test_whatever_else_lies_under_a_prefix_is_refused(bucket: Bucket, tree: Tree) -> None:
    """SageMaker loads all keys that begin with it, the marker of a folder and names that nobody sees in a listing included."""
    package, client = published(bucket, tree, "prefix"), bucket.store._client
    for name in ("", "code/", ".hidden", "code/..", "\u200b"):
        place = {"Bucket": package.model_uri.bucket, "Key": f"{package.model_uri.key}{name}"}
        client.put_object(**place, Body=b"")
        with pytest.raises(PackageError, match="no file of the package"):
            admitted(bucket, tree, "prefix")
        client.delete_object(**place)
    assert admitted(bucket, tree, "prefix").key == OURS.public


def test_a_document_in_parts_is_read_since_its_checksum_is_not_of_its_bytes(bucket: Bucket, tree: Tree) -> None:
    package, client = published(bucket, tree), bucket.store._client
    place = {"Bucket": package.index_uri.bucket, "Key": package.index_uri.key}

    def in_parts(data: bytes) -> None:
        upload = {**place, "UploadId": client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]}
        part = client.upload_part(**upload, PartNumber=1, Body=data, ChecksumAlgorithm="SHA256")
        parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    in_parts(bucket.get(package.index_uri))
    assert admitted(bucket, tree).key == OURS.public
    in_parts(b"{}")
    assert "by the signed release" in findings(bucket, tree)["index.json"]


def test_any_of_several_keys_counts(bucket: Bucket, tree: Tree) -> None:
    published(bucket, tree)
    new = KeyPair.of("new", P384)
    assert judge(bucket, tree, "archive", new, OURS).signature
    assert "none of those that count" in findings(bucket, tree, "archive", new)["release.sig"]


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("place", ["reuse_from", "own name"])
def test_a_signed_release_is_copied_from_without_reading_it(
    bucket: Bucket, tree: Tree, edited: Tree, layout: str, place: str
) -> None:
    target = S3Uri(bucket.target.bucket, "dev") if place == "reuse_from" else bucket.target
    published(replace(bucket, target=target), tree, layout)
    other = other_machine(bucket)
    plan = other.plan(edited, layout=layout, reuse_from=[target])
    assert {c.origin.binding for c in plan.contents if c.origin} == {Binding.SIGNED}
    assert (plan.read_bytes, plan.copied_bytes > 6 * MiB) == (0, True)
    other.publish(edited, plan, sources=[edited.local("code/")])
    assert judge(bucket, edited, layout).signature


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("how", ["unsigned", "signed by others", "replaced after it was signed"])
def test_where_signatures_count_nothing_else_binds_what_other_machines_published(
    bucket: Bucket, tree: Tree, edited: Tree, layout: str, how: str
) -> None:
    signer = {"unsigned": None, "signed by others": THEIRS.signer}.get(how, OURS.signer)
    package = published(replace(bucket, signer=signer, keys=()), tree, layout)
    if how.startswith("replaced"):
        if layout == "archive":
            bucket.store.delete(package.model_uri)
        (forge_archive if layout == "archive" else forge_files)(bucket.store, bucket.target, "svd", tree, FORGED)
    other = other_machine(bucket)
    plan = other.plan(edited, layout=layout)
    assert {c.origin.binding for c in plan.contents if c.origin} == {Binding.NONE}
    other.publish(edited, plan)  # it is read and hashed first, and what is forged is sent instead
    assert judge(bucket, edited, layout).signature
    verify(bucket.store, bucket.package(edited, layout=layout), edited.manifest, Silent(), deep=True)


def test_a_signature_says_nothing_of_another_kind_of_release(bucket: Bucket, tree: Tree) -> None:
    package = published(bucket, tree)
    record = json.loads(bucket.get(package.release_uri(NOW)))
    about = Digest.sha256(tree.manifest.text().encode()).value
    said = {"signed": "2030-01-02T03:04:05Z", "release": {**record, "etag": None}}
    hostile = dsse.signed(dsse.statement("manifest.json", about, "urn:x-sagepack:release:v1", said), OURS.signer)
    bucket.store.put(package.release_signature_uri, hostile)
    assert "another kind of statement" in findings(bucket, tree)["release.sig"]


@LAYOUTS
def test_what_somebody_puts_in_the_place_of_what_was_just_written_is_never_signed(
    bucket: Bucket, tree: Tree, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other bytes with the same checksums, which S3 itself cannot tell from those that were sent."""
    forged = {**tree.files, UNET: patched(tree.files[UNET], 70_000, collision())}
    place = bucket.package(tree, layout=layout).model_uri
    data = Tree(tree.folder.parent / "forged", forged).build() if layout == "archive" else forged[UNET]
    place = place if layout == "archive" else place.child(UNET)
    store = bucket.store
    complete, put = store.complete, store.put

    def replaced_after(written: str | None, location: S3Uri) -> str | None:
        if written and location == place:
            monkeypatch.undo()
            overwrite(bucket, place, data)
        return written

    monkeypatch.setattr(
        store, "complete", lambda upload, *more: replaced_after(complete(upload, *more), upload.location)
    )
    monkeypatch.setattr(
        store, "put", lambda location, *more, **how: replaced_after(put(location, *more, **how), location)
    )
    with pytest.raises(IntegrityError, match=UNET):
        bucket.publish(tree, bucket.plan(tree, layout=layout))
    assert not any(key.endswith(".sig") for key in bucket.listing())


def overwrite(bucket: Bucket, location: S3Uri, data: bytes) -> None:
    """Put another object in the place of one, with a checksum that S3 has verified."""
    bucket.store.delete(location)
    upload, checksum = bucket.store.begin(location, CRC64NVME), Checksums.of(data).value(CRC64NVME)
    assert upload is not None
    part = bucket.store.send(upload, 1, bytearray(data), CRC64NVME, checksum)
    assert bucket.store.complete(upload, [part], len(data), CRC64NVME, checksum)
