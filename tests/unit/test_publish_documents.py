"""What is written beside a package: laws of the sums, the documents and their schemas, the journal, the policy."""

from __future__ import annotations

import json
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.archive.checksum import tar_crc
from sagepack.archive.framing import frame
from sagepack.archive.layout import Layout
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.lock import Lock, LockedFile, LockedRequirement
from sagepack.manifest import Manifest, Member
from sagepack.publish.index import Files, Index, Pointer, StoredFile
from sagepack.publish.journal import Done, Journal, Work
from sagepack.publish.keys import Package, package_folder, pointer, released
from sagepack.publish.planner import Copy, Literal
from sagepack.publish.policy import publish_policy
from sagepack.publish.provenance import statement
from sagepack.publish.render import Stretch
from sagepack.publish.sources import framed_offset, plain_views
from sagepack.publish.sums import ContentSums, Plain, Sums, archive_sums
from sagepack.publish.upkeep import stale_uploads
from sagepack.remote.s3 import S3, Location, Seen, Upload
from sagepack.spec import Spec
from tests.fakes3 import EPOCH, FakeS3

SCHEMAS = Path(__file__).parents[2] / "schemas"
TARGET = Location("bucket", "models")
FILES = {"a.bin": bytes(range(256)) * 600, "empty": b"", "code/inference.py": b"pass\n"}


def check(name: str, data: bytes) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    validator(schema).validate(json.loads(data))


def sums_of(data: bytes) -> ContentSums:
    return ContentSums(Sums.of(frame(data)), Plain(zlib.crc32(data), len(data)))


def manifest_of(files: dict[str, bytes]) -> Manifest:
    return Manifest.of(Member(path, len(data), Digest.sha256(data)) for path, data in files.items())


def index_of(files: dict[str, bytes]) -> Index:
    manifest = manifest_of(files)
    sums = tuple(sums_of(files[member.path]) for member in manifest.members)
    layout = Layout.of(manifest.members)
    return Index(manifest, sums, '"etag"', archive_sums(layout, sums, tar_crc(layout, [s.plain.crc32 for s in sums])))


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_sums_add_as_bytes_do(one: bytes, other: bytes) -> None:
    assert Sums.of(one) + Sums.of(other) == Sums.of(one + other)
    assert Sums() + Sums.of(one) == Sums.of(one) == Sums.of(one) + Sums()


def test_sums_are_written_as_s3_writes_them() -> None:
    # The check values of both algorithms, of the digits 1 to 9 (reveng's catalogue).
    sums = Sums.of(b"123456789")
    assert sums.crc64.to_bytes(8, "big").hex() == "ae8b14860a799888"
    assert sums.value("CRC64NVME") == "rosUhgp5mIg="
    assert sums.value("CRC32") == "y/Q5Jg=="


def test_the_sums_of_an_archive_follow_from_those_of_its_contents() -> None:
    index = index_of(FILES)
    members = index.manifest.members

    def read(number: int, offset: int, length: int) -> list[bytes]:
        return [FILES[members[number].path][offset : offset + length]]

    crc = tar_crc(index.layout, [sums.plain.crc32 for sums in index.sums])
    whole = b"".join(bytes(piece) for piece in index.layout.read(0, index.layout.size, read, crc))
    assert index.whole == Sums.of(whole)


@given(st.integers(0, 200_000), st.integers(0, 200_000), st.integers(1, 90_000))
def test_plain_bytes_are_found_in_any_stretch_of_framed_ones(size: int, start: int, length: int) -> None:
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
    files = Files(tuple(StoredFile(m, '"e"', Sums.of(FILES[m.path])) for m in manifest_of(FILES).members))
    check("files", files.text())
    assert Files.parse(files.text()) == files


def test_a_pointer_is_read_as_it_was_written() -> None:
    one = Pointer(Digest.sha256(b"x"), "svd/0123456789abcdef")
    check("pointer", one.text())
    assert Pointer.parse(one.text()) == one


def spoiled(document: Any) -> list[Any]:
    """The document with each of its values, at any depth, replaced or dropped."""
    found: list[Any] = [None, [], 3, "x"]
    if isinstance(document, dict):
        for key, value in document.items():
            found.append({k: v for k, v in document.items() if k != key})
            found.extend({**document, key: child} for child in spoiled(value))
    if isinstance(document, list) and document:
        found.extend([child, *document[1:]] for child in spoiled(document[0]))
    return found


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (Index.parse, index_of(FILES).text()),
        (Files.parse, Files((StoredFile(manifest_of(FILES).members[0], '"e"', Sums()),)).text()),
        (Pointer.parse, Pointer(Digest.sha256(b"x"), "svd/0123456789abcdef").text()),
    ],
    ids=["index", "files", "pointer"],
)
def test_a_spoiled_document_is_no_error(parse: Any, text: bytes) -> None:
    for document in spoiled(json.loads(text)):
        parse(json.dumps(document).encode())
    for end in range(0, len(text) - 1, 7):
        assert parse(text[:end]) is None
    assert parse(None) is None
    assert parse(b"\xff\xfe") is None
    assert parse(b"[" * 100_000) is None


def test_an_index_of_another_format_is_a_miss() -> None:
    document = json.loads(index_of(FILES).text())
    document["members"][0]["framed"]["offset"] += 1
    assert Index.parse(json.dumps(document).encode()) is None


@pytest.mark.parametrize("path", ["../other/0123456789abcdef", "svd", "svd/0123", "a/b/0123456789abcdef", "", "/svd/0"])
def test_a_pointer_leads_to_nothing_but_a_package_of_its_target(path: str) -> None:
    assert package_folder(TARGET, path) is None
    assert package_folder(TARGET, "svd/0123456789abcdef") == Location("bucket", "models/svd/0123456789abcdef")


def test_keys_are_as_documented() -> None:
    digest = Digest.sha256(b"x")
    package = Package(TARGET, "svd", digest)
    base = f"models/svd/{digest.short}"
    assert package.model.key == f"{base}/model.tar.gz"
    assert Package(TARGET, "svd", digest, "prefix").model.key == f"{base}/model/"
    assert Package(TARGET, "svd", digest, "prefix").index.key == f"{base}/files.json"
    assert pointer(TARGET, digest).key == f"models/contents/{digest.value}.json"
    record = package.release(datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
    assert record.key == f"models/svd/releases/20300102T030405Z-{digest.short}.json"
    assert released(record) == digest.short
    assert released(record, "prefix") is None
    assert Package(Location("bucket", ""), "svd", digest).index.key == f"svd/{digest.short}/index.json"
    with pytest.raises(UserError, match="no such layout"):
        Package(TARGET, "svd", digest, "zip")


STATE = Work(
    Upload(Location("b", "k"), "id"),
    "CRC64NVME",
    "sha256:x",
    900,
    (Copy(0, 500, 0, 3), Literal(500, 400)),
    (Seen(Location("b", "source"), '"e"'),),
    (None, sums_of(b"abc")),
)


def test_a_torn_journal_says_what_its_whole_lines_say(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "j.jsonl")
    done = [Done(n, f'"{n}"', "c", (Stretch(1, 0, 0, sums_of(b"abc")),)) for n in (1, 2)]
    journal.begin(STATE)
    for one in done:
        journal.add(one)
    journal.verified(1)
    text = (tmp_path / "deep" / "j.jsonl").read_bytes()
    ends = [index + 1 for index, byte in enumerate(text) if byte == 10]
    for cut in range(len(text) + 1):
        (tmp_path / "deep" / "j.jsonl").write_bytes(text[:cut])
        state = journal.read()
        lines = sum(cut >= end for end in ends)
        if not lines:
            assert state is None
            continue
        assert state is not None
        assert state.work == STATE
        assert list(state.done.values()) == done[: lines - 1]
        assert state.verified == ({1} if lines == 4 else frozenset())
    journal.clear()
    journal.clear()
    assert journal.read() is None


LOCK = Lock(
    asked=Digest.sha256(b""),
    model="org/model",
    commit="0" * 40,
    files=(LockedFile("a.bin", 3, Digest.sha256(b"a"), Digest.sha256(b"a").value),),
    left_out=(0, 0),
    image="repo:tag",
    image_digest=Digest.sha256(b"image"),
    image_registry="763104351884.dkr.ecr.us-east-1.amazonaws.com",
    requirements=(LockedRequirement("einops==0.8.0", ("sha256:x",)),),
)


def spec(**artifact: Any) -> Spec:
    from sagepack import spec as s  # noqa: PLC0415 - many names, used here alone

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
        endpoint=s.Endpoint("e", "ml.g5.xlarge", asynchronous),
        sample=None,
    )


def test_provenance_names_model_image_and_requirements_and_no_secrets() -> None:
    document = json.dumps(statement(spec(), LOCK, manifest_of(FILES))).encode()
    check("provenance", document)
    for expected in (b"org/model@" + b"0" * 40, LOCK.image_digest.value.encode(), b"pkg:pypi/einops@0.8.0"):
        assert expected in document
    assert b"hidden value" not in document
    assert b"123456789012" not in document


def allowed(policy: dict[str, Any], action: str, resource: str) -> bool:
    import fnmatch  # noqa: PLC0415 - used here alone

    return any(
        action in statement["Action"]
        and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        for statement in policy["Statement"]
    )


def test_the_policy_allows_publishing_and_no_more() -> None:
    policy = publish_policy(spec(reuse_from=("s3://theirs/m",), sse="aws:kms", kms_key_id="1234"))
    assert allowed(policy, "s3:PutObject", "arn:aws:s3:::mine/models/svd/x")
    assert allowed(policy, "s3:GetObject", "arn:aws:s3:::theirs/m/x")
    assert allowed(policy, "kms:Decrypt", "arn:aws:kms:eu-west-1:123456789012:key/1234")
    assert not allowed(policy, "s3:PutObject", "arn:aws:s3:::mine/other/x")
    assert not allowed(policy, "s3:PutObject", "arn:aws:s3:::theirs/m/x")
    actions = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert not any("Delete" in action or "*" in action for action in actions)
    assert "s3:PutObjectTagging" not in actions
    assert "s3:PutObjectTagging" in str(publish_policy(spec(tags={"a": "b"})))
    assert "kms" not in str(publish_policy(spec()))
    alias = publish_policy(spec(sse="aws:kms", kms_key_id="alias/models"))
    assert {"kms:RequestAlias": "alias/models"} in [
        condition for s in alias["Statement"] for condition in s.get("Condition", {}).values()
    ]


def test_only_old_uploads_of_this_program_are_stale() -> None:
    store = FakeS3(1)
    s3 = cast("S3", store)
    ours = ["models/svd/0123456789abcdef/model.tar.gz", "models/svd/0123456789abcdef/model/a/b"]
    for key in [*ours, "models/else", "models/svd/backup.tar", "models/svd/0123456789abcdef/notes", "other/x"]:
        store.begin(Location("bucket", key), "CRC32")
    later = EPOCH + timedelta(days=2)
    assert [u.location.key for u in stale_uploads(s3, TARGET, timedelta(days=1), later)] == ours
    assert stale_uploads(s3, TARGET, timedelta(days=3), later) == []
