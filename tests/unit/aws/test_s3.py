"""What is asked of S3, judged by botocore's own model; no stand-in checks owners, encryption or storage classes."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.response import StreamingBody
from botocore.stub import Stubber

from sagepack.aws.s3 import S3, ChangedError, MultipartHandle, ObjectRef, S3Uri, UploadedPart
from sagepack.aws.session import AccessDeniedError
from sagepack.digest import Digest
from sagepack.engine.clients import write_options
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.spec.model import Artifact

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OWNER = "123456789012"
AT = S3Uri("mine", "models/a/model.tar.gz")
SEEN = ObjectRef(S3Uri("mine", "models/b/model.tar.gz"), '"e"')
FOREIGN = ObjectRef(S3Uri("theirs", "c"), '"e"')
UPLOAD = MultipartHandle(AT, "u")
ARTIFACT = Artifact(
    target="s3://mine/models",
    sse="aws:kms",
    kms_key_id="key",
    expected_bucket_owner=OWNER,
    storage_class="STANDARD_IA",
    tags={"team": "vision & more"},
)
WRITTEN = {
    "ServerSideEncryption": "aws:kms",
    "SSEKMSKeyId": "key",
    "StorageClass": "STANDARD_IA",
    "Tagging": "team=vision+%26+more",
}
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def body(data: bytes) -> dict[str, Any]:
    return {"Body": StreamingBody(io.BytesIO(data), len(data)), "ContentLength": len(data), "ETag": '"e"'}


class Desk:
    """A client that answers from a list and keeps what it was asked."""

    def __init__(self, artifact: Artifact = ARTIFACT) -> None:
        self.client = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="s")
        self.stub = Stubber(self.client)
        self.asked: list[dict[str, Any]] = []
        self.client.meta.events.register_first("provide-client-params.s3.*", self._note)
        self.stub.activate()
        self.store = S3(self.client, write_options(artifact))

    def _note(self, params: dict[str, Any], **_other: Any) -> None:
        self.asked.append(dict(params))

    def answer(self, operation: str, response: dict[str, Any]) -> Desk:
        # A body can be read once.
        self.stub.add_response(operation, body(b"x") if operation == "get_object" and not response else response)
        return self

    def refuse(self, operation: str, code: str, status: int = 400, headers: dict[str, str] | None = None) -> Desk:
        self.stub.add_client_error(
            operation, code, http_status_code=status, response_meta={"HTTPHeaders": headers or {}}
        )
        return self


CALLS: list[tuple[str, dict[str, Any], Callable[[S3], Any]]] = [
    ("head_object", {"ContentLength": 1, "ETag": '"e"'}, lambda s3: s3.head(AT)),
    ("get_object", {}, lambda s3: s3.read(AT)),
    ("get_object", {}, lambda s3: s3.get(AT, 1)),
    ("get_object", {}, lambda s3: list(s3.open(SEEN, 0, 1))),
    ("put_object", {"ETag": '"e"'}, lambda s3: s3.put(AT, b"{}")),
    ("copy_object", {"CopyObjectResult": {"ETag": '"e"'}}, lambda s3: s3.copy(SEEN, AT, "CRC64NVME")),
    ("create_multipart_upload", {"UploadId": "u"}, lambda s3: s3.begin(AT, "CRC64NVME")),
    ("upload_part", {"ETag": '"e"'}, lambda s3: s3.send(UPLOAD, 1, bytearray(b"x"), "CRC64NVME", "AAAAAAAAAAA=")),
    ("upload_part_copy", {"CopyPartResult": {"ETag": '"e"'}}, lambda s3: s3.send_copy(UPLOAD, 1, SEEN, 0, 9)),
    ("list_parts", {}, lambda s3: s3.parts(UPLOAD)),
    (
        "complete_multipart_upload",
        {"ETag": '"e"'},
        lambda s3: s3.complete(UPLOAD, [UploadedPart(1, '"e"', 1, "AAAAAAAAAAA=")], 1, "CRC64NVME", "AAAAAAAAAAA="),
    ),
    ("abort_multipart_upload", {}, lambda s3: s3.abort(UPLOAD)),
    ("delete_object", {}, lambda s3: s3.delete(AT)),
    ("list_objects_v2", {}, lambda s3: list(s3.list(AT))),
    ("list_multipart_uploads", {}, lambda s3: list(s3.uploads(AT))),
]


@pytest.mark.parametrize(("operation", "response", "call"), CALLS, ids=[call[0] for call in CALLS])
def test_every_request_names_the_owner_that_the_bucket_must_have(
    operation: str, response: dict[str, Any], call: Callable[[S3], Any]
) -> None:
    desk = Desk().answer(operation, response)
    call(desk.store)
    assert [asked["ExpectedBucketOwner"] for asked in desk.asked] == [OWNER]
    desk.stub.assert_no_pending_responses()


@pytest.mark.parametrize(("operation", "response", "call"), CALLS, ids=[call[0] for call in CALLS])
def test_without_an_owner_in_the_spec_none_is_named(
    operation: str, response: dict[str, Any], call: Callable[[S3], Any]
) -> None:
    desk = Desk(Artifact(target="s3://mine/models")).answer(operation, response)
    call(desk.store)
    assert not any("Owner" in key for asked in desk.asked for key in asked)


@pytest.mark.parametrize(
    ("operation", "response", "call"),
    [call for call in CALLS if call[0] in {"put_object", "copy_object", "create_multipart_upload"}],
    ids=["put", "copy", "begin"],
)
def test_encryption_class_and_tags_are_set_where_an_object_is_made(
    operation: str, response: dict[str, Any], call: Callable[[S3], Any]
) -> None:
    desk = Desk().answer(operation, response)
    call(desk.store)
    assert {key: desk.asked[0].get(key) for key in WRITTEN} == WRITTEN


@pytest.mark.parametrize(("seen", "owner"), [(SEEN, OWNER), (FOREIGN, None)])
def test_the_owner_of_a_source_is_named_only_in_the_bucket_it_is_known_of(seen: ObjectRef, owner: str | None) -> None:
    desk = (
        Desk()
        .answer("upload_part_copy", {"CopyPartResult": {"ETag": '"e"'}})
        .answer("copy_object", {"CopyObjectResult": {"ETag": '"e"'}})
    )
    desk.store.send_copy(UPLOAD, 3, seen, 100, 50)
    desk.store.copy(seen, AT, "CRC64NVME")
    assert [asked.get("ExpectedSourceBucketOwner") for asked in desk.asked] == [owner, owner]
    assert [asked["CopySourceIfMatch"] for asked in desk.asked] == ['"e"', '"e"']
    assert desk.asked[0]["CopySourceRange"] == "bytes=100-149"
    assert desk.asked[0]["CopySource"] == {"Bucket": seen.location.bucket, "Key": seen.location.key}


def test_the_checksum_algorithm_is_named_from_begin_to_end() -> None:
    desk = Desk().answer("create_multipart_upload", {"UploadId": "u"}).answer("upload_part", {"ETag": '"e"'})
    desk.answer("complete_multipart_upload", {"ETag": '"e"'})
    desk.store.begin(AT, "CRC64NVME")
    part = desk.store.send(UPLOAD, 1, bytearray(b"x"), "CRC64NVME", "AAAAAAAAAAA=")
    assert desk.store.complete(UPLOAD, [part, UploadedPart(2, '"c"', 9)], 10, "CRC64NVME", "AAAAAAAAAAE=")
    begun, sent, completed = desk.asked
    assert (begun["ChecksumAlgorithm"], begun["ChecksumType"]) == ("CRC64NVME", "FULL_OBJECT")
    assert sent["ChecksumCRC64NVME"] == "AAAAAAAAAAA="
    assert (completed["IfNoneMatch"], completed["MpuObjectSize"], completed["ChecksumType"]) == ("*", 10, "FULL_OBJECT")
    assert completed["ChecksumCRC64NVME"] == "AAAAAAAAAAE="
    assert completed["MultipartUpload"]["Parts"] == [
        {"PartNumber": 1, "ETag": '"e"', "ChecksumCRC64NVME": "AAAAAAAAAAA="},
        {"PartNumber": 2, "ETag": '"c"'},
    ]


@pytest.mark.parametrize(
    ("url", "hashed"), [("https://s3.test", False), ("http://s3.test", True)], ids=["https", "http"]
)
def test_a_body_with_a_checksum_is_hashed_for_the_signature_only_where_nothing_encrypts_it(
    url: str, hashed: bool
) -> None:
    headers: list[dict[str, str]] = []

    def send(request: Any, **_event: Any) -> AWSResponse:
        text = {name.lower(): value for name, value in request.headers.items()}
        headers.append({name: value.decode() if isinstance(value, bytes) else value for name, value in text.items()})
        answer = AWSResponse(url, 200, {"ETag": '"e"'}, None)
        answer._content = b""
        return answer

    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "s"}
    client = boto3.client("s3", region_name="eu-west-1", endpoint_url=url, **keys)
    client.meta.events.register("before-send.s3.*", send)
    data = bytearray(b"123456789")
    S3(client).send(UPLOAD, 1, data, "CRC64NVME", "rosUhgp5mIg=")
    S3(client).put(AT, bytes(data), checksum=("CRC64NVME", "rosUhgp5mIg="))
    S3(client).put(AT, bytes(data))
    last = headers[-1]
    assert last["x-amz-checksum-sha256"] == b64(hashlib.sha256(data).digest())
    assert (last["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD") != hashed
    headers.pop()
    for sent in headers:
        assert sent["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
        assert (sent["x-amz-content-sha256"] == hashlib.sha256(data).hexdigest()) == hashed
        assert (sent["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD") != hashed
        assert "x-amz-trailer" not in sent
    assert len(headers) == 2


def test_a_part_that_s3_received_differently_is_an_error() -> None:
    desk = Desk().answer("upload_part", {"ETag": '"e"', "ChecksumCRC64NVME": "BBBBBBBBBBA="})
    with pytest.raises(RemoteError, match="received other bytes"):
        desk.store.send(UPLOAD, 1, bytearray(b"x"), "CRC64NVME", "AAAAAAAAAAA=")


def test_an_unknown_checksum_algorithm_is_distinguished_from_other_refusals() -> None:
    desk = Desk().refuse("create_multipart_upload", "NotImplemented", 501)
    assert desk.store.begin(AT, "CRC64NVME") is None
    desk.refuse("create_multipart_upload", "AccessDenied", 403)
    with pytest.raises(UserError, match="AccessDenied"):
        desk.store.begin(AT, "CRC64NVME")


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchUpload"])
def test_an_object_of_another_publisher_at_completion_is_no_error(code: str) -> None:
    desk = Desk().refuse("complete_multipart_upload", code, 412)
    assert not desk.store.complete(UPLOAD, [], 0, "CRC64NVME", "AAAAAAAAAAA=")


@pytest.mark.parametrize("code", ["BadDigest", "InvalidPart", "EntityTooSmall", "InvalidRequest"])
def test_an_upload_that_s3_refuses_to_complete_is_an_integrity_error(code: str) -> None:
    desk = Desk().refuse("complete_multipart_upload", code)
    with pytest.raises(IntegrityError, match=code):
        desk.store.complete(UPLOAD, [], 0, "CRC64NVME", "AAAAAAAAAAA=")


@pytest.mark.parametrize(
    ("code", "status"),
    [("NoSuchKey", 404), ("PreconditionFailed", 412), ("NoSuchBucket", 404), ("InvalidArgument", 400)],
)
def test_a_changed_source_is_an_error_of_its_own(code: str, status: int) -> None:
    desk = Desk().refuse("upload_part_copy", code, status)
    with pytest.raises(ChangedError) as caught:
        desk.store.send_copy(UPLOAD, 1, SEEN, 0, 9)
    assert caught.value.location == SEEN.location


def test_an_object_that_is_there_is_not_copied_over() -> None:
    desk = Desk().refuse("copy_object", "PreconditionFailed", 412)
    desk.answer("head_object", {"ContentLength": 1, "ETag": '"e"'})
    desk.store.copy(SEEN, AT, "CRC64NVME")
    assert desk.asked[0]["IfNoneMatch"] == "*"
    desk.stub.assert_no_pending_responses()


def test_a_store_that_applies_the_condition_to_the_source_gets_the_request_without_it() -> None:
    desk = Desk().refuse("copy_object", "PreconditionFailed", 412).refuse("head_object", "404", 404)
    desk.answer("copy_object", {"CopyObjectResult": {"ETag": '"e"'}})
    desk.store.copy(SEEN, AT, "CRC64NVME")
    assert "IfNoneMatch" not in desk.asked[2]
    desk.refuse("copy_object", "NoSuchKey", 404).refuse("head_object", "404", 404)
    desk.refuse("copy_object", "NoSuchKey", 404)
    with pytest.raises(ChangedError):
        desk.store.copy(SEEN, AT, "CRC64NVME")


def test_a_copy_into_a_deleted_upload_is_not_blamed_on_the_source() -> None:
    desk = Desk().refuse("upload_part_copy", "NoSuchUpload", 404)
    with pytest.raises(RemoteError) as caught:
        desk.store.send_copy(UPLOAD, 1, SEEN, 0, 9)
    assert not isinstance(caught.value, ChangedError)


def test_a_refused_request_on_a_pinned_bucket_mentions_the_owner() -> None:
    desk = Desk().refuse("list_objects_v2", "AccessDenied", 403)
    with pytest.raises(UserError) as caught:
        list(desk.store.list(AT))
    assert OWNER in (caught.value.fix or "")


WITH_REGION = {"x-amz-bucket-region": "eu-west-1"}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["head"], ("eu-west-1", True)),
        # With the least policy for publishing HeadBucket is denied, and a listing below the prefix is not.
        ([403, "list"], ("eu-west-1", True)),
        ([403, 403, "list"], ("eu-west-1", False)),
        ([403, 403, 403], ("eu-west-1", None)),
    ],
)
def test_the_owner_of_a_bucket_is_found_out_by_what_the_caller_may_do(
    answers: list[str | int], expected: tuple[str, bool | None]
) -> None:
    desk, operations = Desk(Artifact(target="s3://mine/models")), ["head_bucket", "list_objects_v2", "list_objects_v2"]
    for operation, answer in zip(operations, answers, strict=False):
        if answer == 403:
            desk.refuse(operation, "403" if operation == "head_bucket" else "AccessDenied", 403, WITH_REGION)
        else:
            desk.answer(operation, {"BucketRegion": "eu-west-1"} if answer == "head" else {})
    found = desk.store.look_at(S3Uri("mine", "models/svd/"), OWNER)
    assert (found.region, found.owned) == expected
    assert ["ExpectedBucketOwner" in asked for asked in desk.asked] == [True, True, False][: len(answers)]
    desk.stub.assert_no_pending_responses()


def test_a_bucket_of_which_nothing_may_be_known_is_a_missing_permission() -> None:
    desk = Desk().refuse("head_bucket", "403", 403)
    desk.refuse("list_objects_v2", "AccessDenied", 403).refuse("list_objects_v2", "AccessDenied", 403)
    with pytest.raises(AccessDeniedError, match="looking for the bucket failed"):
        desk.store.look_at(S3Uri("mine", "models/svd/"), OWNER)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], False),
        ([{"Filter": {"Prefix": ""}}], True),
        ([{"Filter": {}}], True),
        ([{"Prefix": ""}], True),
        ([{"Filter": {"Prefix": "models/"}}], True),
        ([{"Filter": {"Prefix": "other/"}}], False),
        ([{"Filter": {"Prefix": "models/svd/"}}], False),  # of one name only
        ([{"Filter": {"And": {"Prefix": "", "Tags": []}}}], False),
        ([{"Filter": {"Prefix": ""}, "Status": "Disabled"}], False),
        ([{"Filter": {"Prefix": "x/"}}, {"Filter": {"Prefix": "mod"}}], True),
    ],
)
def test_a_lifecycle_rule_must_be_about_all_keys_of_the_target(rules: list[dict[str, Any]], expected: bool) -> None:
    abort = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
    desk = Desk().answer("get_bucket_lifecycle_configuration", {"Rules": [{**abort, **rule} for rule in rules]})
    assert desk.store.aborts_unfinished_uploads(S3Uri("mine", "models/")) is expected


def test_a_bucket_without_lifecycle_rules_aborts_nothing() -> None:
    desk = Desk().refuse("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration", 404)
    assert not desk.store.aborts_unfinished_uploads(S3Uri("mine", "models/"))


@pytest.mark.parametrize("operation", ["get_object", "put_object", "list_objects_v2", "create_multipart_upload"])
def test_a_missing_bucket_is_told_with_the_command_that_makes_it(operation: str) -> None:
    desk = Desk().refuse(operation, "NoSuchBucket", 404)
    calls = {name: call for name, _, call in CALLS if name != "get_object"} | {"get_object": lambda s3: s3.read(AT)}
    with pytest.raises(UserError) as caught:
        calls[operation](desk.store)
    assert caught.value.where == "s3://mine"
    assert caught.value.fix == "`aws s3 mb s3://mine --region eu-west-1` creates it; or correct artifact.target"


@pytest.mark.parametrize(
    ("answer", "sums"),
    [
        ({"ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}, {"CRC64NVME": "AAAAAAAAAAA="}),
        ({"ChecksumCRC32": "AAAAAA==", "ChecksumType": "COMPOSITE"}, {}),
        ({"ChecksumCRC32": "AAAAAA==-3"}, {}),
        ({}, {}),
    ],
)
def test_only_checksums_of_the_full_object_count(answer: dict[str, Any], sums: dict[str, str]) -> None:
    desk = Desk().answer("head_object", {"ContentLength": 1, "ETag": '"e"', **answer})
    head = desk.store.head(AT)
    assert head is not None
    assert (head.checksums, head.sha256) == (sums, None)


@pytest.mark.parametrize(
    ("answer", "is_known"),
    [
        ({"ChecksumSHA256": b64(hashlib.sha256(b"{}").digest())}, True),
        ({"ChecksumSHA256": b64(hashlib.sha256(b"{}").digest()) + "-1"}, False),
        ({"ChecksumSHA256": b64(hashlib.sha256(b"{}").digest()), "ChecksumType": "COMPOSITE"}, False),
        ({"ChecksumSHA256": "AAAA"}, False),
        ({"ChecksumSHA256": "?"}, False),
    ],
)
def test_the_sha256_that_bytes_are_written_with_is_told_of_the_object(
    answer: dict[str, Any], *, is_known: bool
) -> None:
    desk = Desk().answer("put_object", {"ETag": '"e"'})
    desk.store.put(AT, b"{}")
    assert desk.asked[0]["ChecksumSHA256"] == b64(hashlib.sha256(b"{}").digest())
    head = Desk().answer("head_object", {"ContentLength": 2, "ETag": '"e"', **answer}).store.head(AT)
    assert head is not None
    assert (head.sha256, head.checksums) == (Digest.sha256(b"{}") if is_known else None, {})


def test_parts_are_listed_to_the_last_page() -> None:
    part = {"PartNumber": 1, "ETag": '"e"', "Size": 5, "LastModified": NOW}
    desk = Desk().answer("list_parts", {"Parts": [part], "IsTruncated": True, "NextPartNumberMarker": 1})
    desk.answer("list_parts", {"Parts": [{**part, "PartNumber": 2}], "IsTruncated": False})
    assert [part.number for part in desk.store.parts(UPLOAD) or ()] == [1, 2]
    desk.refuse("list_parts", "NoSuchUpload", 404)
    assert desk.store.parts(UPLOAD) is None


def test_an_interrupted_read_continues_where_it_stopped() -> None:
    desk = Desk()
    short = {**body(b""), "Body": StreamingBody(io.BytesIO(b"abc"), 6), "ContentLength": 6}
    desk.answer("get_object", short).answer("get_object", body(b"def"))
    assert b"".join(desk.store.open(SEEN, 10, 6)) == b"abcdef"
    assert [asked["Range"] for asked in desk.asked] == ["bytes=10-15", "bytes=13-15"]
    assert all(asked["IfMatch"] == '"e"' for asked in desk.asked)


def test_a_read_that_makes_no_progress_pauses_between_attempts_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, pauses = Desk(), list[float | None]()
    monkeypatch.setattr(threading.Event, "wait", lambda _self, timeout=None: pauses.append(timeout))
    for _ in range(9):
        desk.answer("get_object", {**body(b""), "Body": StreamingBody(io.BytesIO(b""), 6), "ContentLength": 6})
    with pytest.raises(RemoteError, match=r"broke off at byte 0 \(5 times\)"):
        list(desk.store.open(SEEN, 0, 6))
    assert len(pauses) == 4
    assert all(pause and pause > 0 for pause in pauses)


def test_a_missing_object_is_distinguished_from_a_denied_request() -> None:
    assert Desk().refuse("get_object", "NoSuchKey", 404).store.get(AT, 9) is None
    for code in ("AccessDenied", "403"):
        with pytest.raises(AccessDeniedError):
            Desk().refuse("get_object", code, 403).store.get(AT, 9)


def test_a_file_is_sent_with_its_content_type(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"a cat")
    desk = Desk().answer("put_object", {"ETag": '"e"'})
    desk.store.put(AT, tmp_path / "cat.png", content_type="image/png", if_absent=True)
    assert (desk.asked[0]["ContentType"], desk.asked[0]["IfNoneMatch"]) == ("image/png", "*")


@pytest.mark.parametrize("uri", ["", "s3://", "mine/models", "https://mine/models", "s3:///a"])
def test_a_text_that_is_no_s3_uri_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="not an S3 URI"):
        S3Uri.parse(uri)


@pytest.mark.parametrize(
    "uri", ["s3://mine/", "s3://mine/models", "s3://mine/a/b/", "s3://mine//a", "s3://mine/a//b c"]
)
def test_a_uri_is_parsed_without_changes(uri: str) -> None:
    assert str(S3Uri.parse(uri)) == uri


@pytest.mark.parametrize("uri", ["s3://mine/models", "s3://mine/models/"])
def test_a_prefix_has_the_same_children_with_and_without_a_slash_at_its_end(uri: str) -> None:
    assert S3Uri.parse(uri).child("a/b") == S3Uri("mine", "models/a/b")


@pytest.mark.parametrize("uri", ["s3://mine", "s3://mine/"])
def test_children_of_a_bucket_have_no_leading_slash(uri: str) -> None:
    assert S3Uri.parse(uri).child("a/b") == S3Uri("mine", "a/b")
