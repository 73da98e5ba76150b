"""What is written beside a package: laws of the sums, the documents and their schemas, the journal, the policy."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagepack.aws.s3 import S3, MultipartHandle, ObjectRef, S3Uri
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.archive.framing import frame
from sagepack.package.archive.layout import Layout
from sagepack.package.attest import provenance, sbom
from sagepack.package.attest.provenance import statement, subject
from sagepack.package.lock import Lock, LockedFile, LockedPackage
from sagepack.package.manifest import Manifest, Member
from sagepack.package.revision import Revision
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums, archive_sums
from sagepack.publish.cleanup import stale_uploads
from sagepack.publish.delta.parts import Copy, SentPart
from sagepack.publish.documents import MOST_FILES, Files, Index, Pointer, StoredFile
from sagepack.publish.iam_policy import publish_policy
from sagepack.publish.keys import Package, PackageFormat, package_folder, pointer_uri, released_package
from sagepack.publish.release import Release
from sagepack.publish.sealed import sealed
from sagepack.publish.upload.journal import CompletedPart, Journal, UploadSession
from sagepack.publish.upload.part_body import ContentRange
from sagepack.publish.upload.sources import framed_offset, plain_views
from sagepack.spec.model import Spec
from tests.helpers.fake_s3 import EPOCH, FakeS3
from tests.helpers.forgery import patched
from tests.helpers.paths import SCHEMAS

TARGET = S3Uri("bucket", "models")
FILES = {"a.bin": bytes(range(256)) * 600, "empty": b"", "code/inference.py": b"pass\n"}


def check(name: str, data: bytes) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema).validate(json.loads(data))


def sums_of(data: bytes) -> FramedChecksums:
    return FramedChecksums(Checksums.of(frame(data)), ContentChecksum(zlib.crc32(data), len(data)))


def manifest_of(files: dict[str, bytes]) -> Manifest:
    return Manifest.of(Member(path, len(data), Digest.sha256(data)) for path, data in files.items())


def index_of(files: dict[str, bytes]) -> Index:
    manifest = manifest_of(files)
    sums = tuple(sums_of(files[member.path]) for member in manifest.members)
    layout = Layout.of(manifest.members)
    return Index(manifest, sums, '"etag"', archive_sums(layout, sums, tar_crc(layout, [s.plain.crc32 for s in sums])))


def test_the_schemas_bound_the_number_of_files_as_the_parser_does() -> None:
    for name, key in (("index", "members"), ("files", "files")):
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        assert schema["properties"][key]["maxItems"] == MOST_FILES


def files_of(files: dict[str, bytes]) -> Files:
    return Files(tuple(StoredFile(m, '"e"', Checksums.of(files[m.path])) for m in manifest_of(files).members))


def release_of(format_: PackageFormat) -> Release:
    """A release in either format."""
    package = Package(TARGET, "svd", Digest.sha256(b"m"), format_)
    archive = format_ is PackageFormat.ARCHIVE
    return Release(
        package.name,
        format_,
        package.digest,
        str(package.model_uri),
        1234,
        EPOCH,
        '"e-1"' if archive else None,
        "v1" if archive else None,
        {name: Checksums.of(b"x").value(name) for name in ("CRC64NVME", "CRC32")} if archive else None,
        {name: Digest.sha256(name.encode()) for name in format_.document_names},
    )


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_checksums_add_up_as_the_bytes_do(one: bytes, other: bytes) -> None:
    assert Checksums.of(one) + Checksums.of(other) == Checksums.of(one + other)
    assert Checksums() + Checksums.of(one) == Checksums.of(one) == Checksums.of(one) + Checksums()


def test_checksums_are_written_as_s3_writes_them() -> None:
    # The check values of both algorithms, of the digits 1 to 9 (reveng's catalogue).
    sums = Checksums.of(b"123456789")
    assert sums.crc64.to_bytes(8, "big").hex() == "ae8b14860a799888"
    assert sums.value("CRC64NVME") == "rosUhgp5mIg="
    assert sums.value("CRC32") == "y/Q5Jg=="


def test_the_checksums_of_an_archive_follow_from_those_of_its_contents() -> None:
    index = index_of(FILES)
    members = index.manifest.members

    def read(number: int, offset: int, length: int) -> list[bytes]:
        return [FILES[members[number].path][offset : offset + length]]

    crc = tar_crc(index.layout, [sums.plain.crc32 for sums in index.sums])
    whole = b"".join(bytes(piece) for piece in index.layout.read(0, index.layout.size, read, crc))
    assert index.whole == Checksums.of(whole)


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(1, 90_000))
def test_plain_bytes_are_found_in_any_range_of_framed_bytes(size: int, start: int, length: int) -> None:
    plain = bytes(index * 7 & 0xFF for index in range(size))
    framed = frame(plain)
    start = min(start, len(framed))
    views = b"".join(plain_views(memoryview(framed)[start : start + length], start))
    before = b"".join(plain_views(memoryview(framed)[:start], 0))
    assert (before + views) == plain[: len(before) + len(views)]
    assert all(framed[framed_offset(place)] == plain[place] for place in range(0, size, 9973))


def test_an_index_is_read_as_it_was_written() -> None:
    index = index_of(FILES)
    check("index", index.text())
    assert Index.parse(index.text()) == index


def test_a_list_of_files_is_read_as_it_was_written() -> None:
    files = files_of(FILES)
    check("files", files.text())
    assert Files.parse(files.text()) == files
    backwards = Files(tuple(reversed(files.files)))
    assert Files.parse(backwards.text()) is None


def test_a_pointer_is_read_as_it_was_written() -> None:
    one = Pointer(Digest.sha256(b"x"), "svd/0123456789abcdef")
    check("pointer", one.text())
    assert Pointer.parse(one.text()) == one


@pytest.mark.parametrize("format_", PackageFormat)
def test_a_release_is_read_as_it_was_written(format_: PackageFormat) -> None:
    release = release_of(format_)
    check("release", release.text())
    assert Release.parse(release.text()) == release


def spoiled(document: Any) -> list[Any]:
    """The document with each of its values, at any depth, replaced or dropped."""
    found: list[Any] = [None, [], 3, "x", -1, 1 << 64, True, 1.5, "\ud800", "0" * 64]
    if isinstance(document, dict):
        for key, value in document.items():
            found.append({k: v for k, v in document.items() if k != key})
            found.extend({**document, key: child} for child in spoiled(value))
    if isinstance(document, list) and document:
        found.extend([child, *document[1:]] for child in spoiled(document[0]))
    return found


def written(document: Any, like: bytes) -> bytes:
    """The document in the form of another one, with the sum of itself if that has one."""
    if isinstance(document, dict) and b'"sha256"' in like and "package" not in document:
        rest = {key: value for key, value in document.items() if key != "sha256"}
        with suppress(UnicodeEncodeError):  # of half a character no sum can be taken
            document = sealed(rest)
    form: dict[str, Any] = {"indent": 1} if like[:2] == b"{\n" else {"separators": (",", ":")}
    return json.dumps(document, **form).encode() + b"\n"


PARSED = pytest.mark.parametrize(
    ("parse", "text"),
    [
        (Index.parse, index_of(FILES).text()),
        (Files.parse, files_of(FILES).text()),
        (Pointer.parse, Pointer(Digest.sha256(b"x"), "svd/0123456789abcdef").text()),
        (Release.parse, release_of(PackageFormat.ARCHIVE).text()),
        (Release.parse, release_of(PackageFormat.PREFIX).text()),
    ],
    ids=["index", "files", "pointer", "release", "release of files"],
)


@PARSED
def test_a_damaged_document_is_no_error_and_no_part_of_it_is_used(parse: Any, text: bytes) -> None:
    for document in spoiled(json.loads(text)):
        found = parse(written(document, text))
        # What is read is what the document says: another value, not a mixture.
        assert found is None or found.text() == written(document, text)
    for end in range(len(text)):
        assert parse(text[:end]) is None
    for data in (None, b"", b"\xff\xfe", b"[" * 100_000, b'{"version":' * 100_000, b"null", text + b" ", b" " + text):
        assert parse(data) is None
    older = {**json.loads(text), "version": json.loads(text)["version"] - 1}
    assert parse(written(older, text)) is None


@PARSED
def test_a_document_with_a_flipped_bit_counts_as_missing(parse: Any, text: bytes) -> None:
    genuine = parse(text)
    for index in range(len(text)):
        for bit in range(8):
            found = parse(patched(text, index, bytes([1 << bit])))
            # A pointer has no sum of itself: it may name another content or package, which do not fit each other then.
            assert found is None or (isinstance(found, Pointer) and found != genuine)


def test_an_index_with_an_impossible_checksum_counts_as_missing() -> None:
    for place in ("crc32", "crc64nvme"):
        document = json.loads(index_of(FILES).text())
        document["members"][0]["framed"][place] = f"1{0:016x}"
        assert Index.parse(written(document, b'"sha256"')) is None


def test_an_index_with_an_impossible_member_counts_as_missing() -> None:
    for changes in ({"size": 1 << 62}, {"path": "../evil"}, {"path": "a\nb"}, {"path": "x" * 5000}):
        document = json.loads(index_of(FILES).text())
        document["members"][0].update(changes)
        assert Index.parse(written(document, b'"sha256"')) is None


def test_an_index_of_another_version_counts_as_missing() -> None:
    document = json.loads(index_of(FILES).text())
    document["members"][0]["framed"]["offset"] += 1
    assert Index.parse(written(document, b'"sha256"')) is None


@pytest.mark.parametrize("path", ["../other/0123456789abcdef", "svd", "svd/0123", "a/b/0123456789abcdef", "", "/svd/0"])
def test_a_pointer_leads_to_nothing_but_a_package_of_its_target(path: str) -> None:
    assert package_folder(TARGET, path) is None
    assert package_folder(TARGET, "svd/0123456789abcdef") == S3Uri("bucket", "models/svd/0123456789abcdef")


def test_keys_are_as_documented() -> None:
    digest = Digest.sha256(b"x")
    package = Package(TARGET, "svd", digest)
    base = f"models/svd/{digest.short}"
    assert package.model_uri.key == f"{base}/model.tar.gz"
    assert Package(TARGET, "svd", digest, PackageFormat.PREFIX).model_uri.key == f"{base}/model/"
    assert Package(TARGET, "svd", digest, PackageFormat.PREFIX).index_uri.key == f"{base}/files.json"
    assert pointer_uri(TARGET, digest).key == f"models/contents/{digest.value}.json"
    record = package.release_uri(datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
    assert record.key == f"models/svd/releases/20300102T030405Z-{digest.short}.json"
    assert released_package(record) == digest.short
    assert released_package(record, PackageFormat.PREFIX) is None
    assert Package(S3Uri("bucket", ""), "svd", digest).index_uri.key == f"svd/{digest.short}/index.json"
    with pytest.raises(UserError, match="pointers"):
        Package(TARGET, "contents", digest)


STATE = UploadSession(
    MultipartHandle(S3Uri("b", "k"), "id"),
    "CRC64NVME",
    "sha256:x",
    900,
    (Copy(0, 500, 0, 3), SentPart(500, 400)),
    (ObjectRef(S3Uri("b", "source"), '"e"'),),
    (None, sums_of(b"abc")),
)


def journal_with_two_parts(path: Path) -> tuple[Journal, list[CompletedPart]]:
    """A journal of which two parts are done, and the content of one member checked."""
    sum32 = Checksums.of(b"").value("CRC32")
    journal, done = (
        Journal(path),
        [CompletedPart(n, f'"{n}"', sum32, (ContentRange(1, 0, 0, sums_of(b"abc")),)) for n in (1, 2)],
    )
    journal.begin(STATE)
    for one in done:
        journal.add(one)
    journal.verified(1)
    return journal, done


def test_a_journal_that_does_not_fit_on_the_disk_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal, _ = journal_with_two_parts(path)
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device") as caught:
        journal.verified(1)
    assert caught.value.where == str(path)


def test_an_incomplete_journal_says_what_its_complete_lines_say(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "j.jsonl"
    journal, done = journal_with_two_parts(path)
    text = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(text) if byte == 10]
    for cut in range(len(text) + 1):
        path.write_bytes(text[:cut])
        state = journal.read()
        lines = sum(cut >= end for end in ends)
        if not lines:
            assert state is None
            continue
        assert state is not None
        assert state.session == STATE
        assert list(state.done.values()) == done[: lines - 1]
        assert state.verified == ({1} if lines == 4 else frozenset())
    journal.clear()
    journal.clear()
    assert journal.read() is None


def test_a_flipped_bit_in_a_journal_costs_a_part_and_is_never_used(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal, done = journal_with_two_parts(path)
    text = path.read_bytes()
    for index in range(0, len(text), 2):
        path.write_bytes(patched(text, index, bytes([1 << index // 2 % 8])))
        state = journal.read()
        assert (state is None) == (index <= text.index(b"\n"))
        if state is not None:
            assert state.session == STATE
            assert len(state.done) + len(state.verified) in (1, 2)  # at a line's end, two become one
            assert all(one in done for one in state.done.values())


def test_lines_after_an_incomplete_line_are_read(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    journal, done = journal_with_two_parts(path)
    path.write_bytes(path.read_bytes()[:-5])
    journal.add(done[0])
    journal.verified(0)
    state = journal.read()
    assert state is not None
    assert list(state.done.values()) == done
    assert state.verified == {0}


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_line_of_a_journal_with_a_correct_checksum_is_validated_too(tmp_path: Path, number: int) -> None:
    path = tmp_path / "j.jsonl"
    journal, _ = journal_with_two_parts(path)
    lines = path.read_bytes().splitlines()
    for document in spoiled(json.loads(lines[number][9:])):
        body = json.dumps(document).encode()
        spoilt = b"%08x %b" % (zlib.crc32(body), body)
        path.write_bytes(b"\n".join([*lines[:number], spoilt, *lines[number + 1 :]]) + b"\n")
        state = journal.read()
        assert state is not None or number == 0
        for part in state.done.values() if state else ():
            assert 1 <= part.number <= len(STATE.parts)
            assert all(one.index < len(STATE.known) for one in part.ranges)


LOCK = Lock(
    spec_digest=Digest.sha256(b""),
    revision=Revision("org/model", "0" * 40),
    files=(LockedFile("a.bin", 3, Digest.sha256(b"a"), Digest.sha256(b"a").value),),
    excluded=(0, 0),
    image="repo:tag",
    image_digest=Digest.sha256(b"image"),
    image_registry="763104351884.dkr.ecr.us-east-1.amazonaws.com",
    requirements=("einops",),
    packages=(LockedPackage("einops", "0.8.0", "einops-0.8.0-py3-none-any.whl", 1, Digest.sha256(b"einops")),),
)


def spec(**artifact: Any) -> Spec:
    from sagepack.spec import model as s  # noqa: PLC0415 - many names, used here alone

    asynchronous = s.AsyncInference("s3://b/o/", "s3://b/f/")
    return Spec(
        name="svd",
        env="test",
        model=s.ModelSource("org/model", "0" * 40),
        code=s.Code("inference_code/svd"),
        image=s.Image("repo", "tag"),
        environment={"SECRETLIKE": "hidden value"},
        artifact=s.Artifact(**{"target": "s3://mine/models", **artifact}),
        aws=s.Aws("123456789012", "eu-west-1", "role"),
        endpoint=s.Endpoint("e", asynchronous, "ml.g5.xlarge"),
        sample=None,
    )


def test_provenance_names_model_image_and_requirements_and_no_secrets() -> None:
    document = json.dumps(statement(spec(), LOCK, manifest_of(FILES))).encode()
    check("provenance", document)
    for expected in (b"org/model@" + b"0" * 40, LOCK.image_digest.value.encode(), b"pkg:pypi/einops@0.8.0"):
        assert expected in document
    assert b"hidden value" not in document
    assert b"123456789012" not in document


def test_provenance_of_a_folder_has_the_digest_of_its_files_and_not_the_way_to_it() -> None:
    from sagepack.spec import model as s  # noqa: PLC0415 - many names, used here alone

    def made(lock: Lock) -> dict[str, Any]:
        local = replace(spec(), model=s.ModelSource(path="/home/alice/models/mine"))
        document: dict[str, Any] = statement(local, lock, manifest_of(FILES))
        check("provenance", json.dumps(document).encode())
        assert "alice" not in json.dumps(document)
        return document["predicate"]["buildDefinition"]["resolvedDependencies"][0]  # type: ignore[no-any-return]

    lock = replace(LOCK, revision=None, folder="/home/alice/models/mine")
    other = replace(lock, files=(LockedFile("b.bin", 3, Digest.sha256(b"a"), Digest.sha256(b"a").value),))
    assert made(lock)["name"] == "mine"
    assert made(lock) != made(other)


def test_provenance_names_the_hub_that_the_spec_names() -> None:
    from sagepack.spec import model as s  # noqa: PLC0415 - many names, used here alone

    company = "https://hub.company"
    document = json.dumps(
        statement(replace(spec(), hub=s.HubSource(company)), replace(LOCK, endpoint=company), manifest_of(FILES))
    ).encode()
    check("provenance", document)
    assert b"https://hub.company/org/model" in document


def test_the_subject_of_a_provenance_is_read_back() -> None:
    manifest = manifest_of(FILES)
    document = statement(spec(), LOCK, manifest)
    assert subject(json.dumps(document).encode()) == Digest.sha256(manifest.text().encode())
    for spoilt in spoiled({key: document[key] for key in ("_type", "subject", "predicateType")}):
        found = subject(json.dumps(spoilt).encode())
        assert found is None or found.value == spoilt["subject"][0]["digest"]["sha256"]


def test_no_provenance_and_no_bill_of_materials_stops_who_reads_it() -> None:
    manifest, project = manifest_of(FILES), provenance.ProjectCommit("a" * 40, clean=False)
    document = statement(spec(), LOCK, manifest, provenance.Origin(project=project))
    build = document["predicate"]["buildDefinition"]
    for dependency in build["resolvedDependencies"]:
        build["resolvedDependencies"] = [dependency]
        whole = provenance.text(document)
        for spoilt in spoiled(document):
            data = json.dumps(spoilt).encode()
            provenance.origin(data)
            provenance.requirements(data)
            provenance.other_files(data, manifest)
            provenance.same_build(data, whole)
    bill = sbom.document(spec(), LOCK, manifest)
    for spoilt in spoiled(bill):
        data = json.dumps(spoilt).encode()
        sbom.subject(data)
        sbom.same_contents(data, sbom.text(bill))


def allowed(policy: dict[str, Any], action: str, resource: str) -> bool:
    import fnmatch  # noqa: PLC0415 - used here alone

    return any(
        action in statement["Action"]
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for statement in policy["Statement"]
    )


KEYS = [
    "svd/0123456789abcdef/model.tar.gz",
    "svd/0123456789abcdef/index.json",
    "svd/0123456789abcdef/manifest.json",
    "svd/releases/20300101T000000Z-0123456789abcdef.json",
]


def test_a_publisher_writes_the_packages_of_its_own_name_and_pointers() -> None:
    policy = publish_policy(spec(reuse_from=("s3://theirs/m",)))
    for key in [*KEYS, "contents/x.json"]:
        assert allowed(policy, "s3:PutObject", f"arn:aws:s3:::mine/models/{key}")
        assert allowed(policy, "s3:GetObject", f"arn:aws:s3:::mine/models/{key}")
        assert not allowed(policy, "s3:PutObject", f"arn:aws:s3:::theirs/m/{key}")
        assert not allowed(policy, "s3:PutObject", f"arn:aws:s3:::mine/{key}")
    for key in KEYS:
        other = f"arn:aws:s3:::mine/models/{key.replace('svd', 'svd-2')}"
        for action in ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
            assert allowed(policy, action, f"arn:aws:s3:::mine/models/{key}")
            assert not allowed(policy, action, other)
        # What a copy needs: the model and its index.
        assert allowed(policy, "s3:GetObject", other) == key.endswith(("model.tar.gz", "index.json"))
    assert not allowed(policy, "s3:AbortMultipartUpload", "arn:aws:s3:::mine/models/contents/x.json")
    (pointers,) = [one for one in policy["Statement"] if one["Sid"] == "Pointers"]
    assert pointers["Action"] == ["s3:GetObject", "s3:PutObject"]


def test_reuse_is_read_only() -> None:
    policy = publish_policy(spec(reuse_from=("s3://theirs/m",)))
    theirs = [one for one in policy["Statement"] if "theirs" in str(one["Resource"])]
    assert {action for one in theirs for action in one["Action"]} == {"s3:GetObject", "s3:ListBucket"}
    for key in ("contents/x.json", "llava/0123456789abcdef/model.tar.gz", "llava/0123456789abcdef/index.json"):
        assert allowed(policy, "s3:GetObject", f"arn:aws:s3:::theirs/m/{key}")
    assert not allowed(policy, "s3:GetObject", "arn:aws:s3:::theirs/private/x")


def test_the_policy_of_a_prefix_grants_its_files() -> None:
    policy = publish_policy(spec(layout="prefix"))
    assert allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/models/other/0123456789abcdef/model/unet/a.bin")
    assert allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/models/other/0123456789abcdef/files.json")
    assert not allowed(policy, "s3:GetObject", "arn:aws:s3:::mine/models/other/0123456789abcdef/model.tar.gz")


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_policy_is_of_the_partition_of_its_region(region: str, partition: str) -> None:
    here = spec(sse="aws:kms", kms_key_id="1234", reuse_from=("s3://theirs/m",))
    policy = publish_policy(replace(here, aws=replace(here.aws, region=region)))
    resources = [resource for one in policy["Statement"] for resource in one["Resource"]]
    assert resources
    assert all(resource.startswith(f"arn:{partition}:") for resource in resources)


def test_a_target_with_a_wildcard_in_its_name_grants_no_other_target() -> None:
    policy = publish_policy(spec(target="s3://mine/m*dels?"))
    written = [resource for one in policy["Statement"] for resource in one["Resource"] if resource.endswith("/svd/*")]
    assert written == ["arn:aws:s3:::mine/m${*}dels${?}/svd/*"]


def test_the_policy_has_what_settings_need_and_deletes_notes_alone() -> None:
    policy = publish_policy(spec(sse="aws:kms", kms_key_id="1234", tags={"a": "b"}))
    assert allowed(policy, "kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/1234")
    for key in ("svd/x", "contents/x.json"):
        assert allowed(policy, "s3:PutObjectTagging", f"arn:aws:s3:::mine/models/{key}")
    actions = {action for one in policy["Statement"] for action in one["Action"]}
    assert {action for action in actions if "Delete" in action or "*" in action} == {"s3:DeleteObject"}
    package = "arn:aws:s3:::mine/models/svd/0123456789abcdef"
    assert allowed(policy, "s3:DeleteObject", f"{package}/upload/id/00001.json")
    for name in ("model.tar.gz", "model/upload/weights.bin", "manifest.json", "upload"):
        assert not allowed(policy, "s3:DeleteObject", f"{package}/{name}")
    assert "s3:PutObjectTagging" not in str(publish_policy(spec()))
    assert "kms" not in str(publish_policy(spec()))
    for alias in ("alias/models", "arn:aws:kms:eu-west-1:123456789012:alias/models"):
        policy = publish_policy(spec(sse="aws:kms", kms_key_id=alias))
        conditions = [one["Condition"] for one in policy["Statement"] if "kms:Decrypt" in one["Action"]]
        assert conditions == [{"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/models"}}]


def test_only_old_uploads_of_this_name_are_stale() -> None:
    store = FakeS3(1)
    s3 = cast("S3", store)
    ours = ["models/svd/0123456789abcdef/model.tar.gz", "models/svd/0123456789abcdef/model/a/b"]
    for key in [
        *ours,
        "models/else",
        "models/svd/backup.tar",
        "models/svd/0123456789abcdef/notes",
        "other/x",
        "models/llava/0123456789abcdef/model.tar.gz",
    ]:
        store.begin(S3Uri("bucket", key), "CRC32")
    later = EPOCH + timedelta(days=2)
    assert [u.location.key for u in stale_uploads(s3, TARGET, "svd", timedelta(days=1), later)] == ours
    assert stale_uploads(s3, TARGET, "svd", timedelta(days=3), later) == []
