from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING

import pytest
from botocore.response import StreamingBody

from sagepack.deploy.answer import save_answer
from sagepack.deploy.predict import input_prefix, predict
from sagepack.errors import RemoteError, UserError
from sagepack.spec import AsyncInference
from tests.deployments import Time, Told, endpoint, stubbed

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = [b"\xff\xd8one", b"\xff\xd8two"]
ANSWER = json.dumps({"frames": [base64.b64encode(frame).decode() for frame in FRAMES]}).encode()


@pytest.mark.parametrize(
    ("output", "failure", "prefix"),
    [
        ("s3://b/async/e/output/", "s3://b/async/e/failure/", "s3://b/async/e/input/"),
        ("s3://b/async/e/output", "s3://b/async/e/failure", "s3://b/async/e/input/"),
        ("s3://b/async/e/", "s3://b/async/e/", "s3://b/async/e/input/"),
        ("s3://b/out/", "s3://b/fail/", "s3://b/out/input/"),
        ("s3://b/out/", "s3://c/out/", "s3://b/out/input/"),
        ("s3://b/", "s3://b/", "s3://b/input/"),
    ],
)
def test_requests_lie_beside_their_answers(output: str, failure: str, prefix: str) -> None:
    assert input_prefix(AsyncInference(output, failure)) == prefix


def test_an_answer_with_a_suffix_is_kept_as_it_came(tmp_path: Path) -> None:
    (written,) = save_answer(ANSWER, tmp_path / "deep" / "answer.json")
    assert written.read_bytes() == ANSWER
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["answer.json"]


def test_frames_become_pictures_in_a_folder(tmp_path: Path) -> None:
    written = save_answer(ANSWER, tmp_path / "frames")
    assert [path.name for path in written] == ["frame-000.jpg", "frame-001.jpg"]
    assert [path.read_bytes() for path in written] == FRAMES


def test_a_folder_is_one_even_with_a_dot_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "frames.d"
    folder.mkdir()
    assert len(save_answer(ANSWER, folder)) == 2


@pytest.mark.parametrize(("answer", "name"), [(b'{"text": "a cat"}', "answer.json"), (b"\x00\x01", "answer.bin")])
def test_other_answers_are_one_file_in_the_folder(answer: bytes, name: str, tmp_path: Path) -> None:
    (written,) = save_answer(answer, tmp_path / "out")
    assert written == tmp_path / "out" / name
    assert written.read_bytes() == answer


@pytest.mark.parametrize("frame", ["not base64!", 7, None])
def test_frames_that_are_none_are_told(frame: object, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="frame 0"):
        save_answer(json.dumps({"frames": [frame]}).encode(), tmp_path / "frames")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"):
        save_answer(ANSWER, tmp_path / "file" / "answer.json")


def test_a_request_to_no_endpoint_says_what_to_do() -> None:
    aws, stubs = stubbed("sagemaker")
    stubs["sagemaker"].add_client_error("describe_endpoint", "ValidationException", 'Could not find endpoint "svd".')
    with pytest.raises(UserError, match="no such endpoint") as caught:
        predict(aws, endpoint(), b"{}", Told())
    assert caught.value.fix == "run `invoke deploy` first"


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    with pytest.raises(UserError, match="cannot be read"):
        predict(aws, endpoint(), tmp_path / "none.json", Told())


def test_a_key_that_s3_will_not_speak_of_counts_as_not_there_yet() -> None:
    """Without s3:ListBucket a missing key is answered 403."""
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    _describe(stubs["sagemaker"].add_response)
    stubs["s3"].add_response("put_object", {})
    places = {"OutputLocation": "s3://b/out/1.out", "FailureLocation": "s3://b/fail/1.out"}
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", places)
    stubs["s3"].add_client_error("get_object", "AccessDenied", http_status_code=403)
    stubs["s3"].add_client_error("get_object", "AccessDenied", http_status_code=403)
    body = StreamingBody(io.BytesIO(ANSWER), len(ANSWER))
    stubs["s3"].add_response("get_object", {"Body": body}, {"Bucket": "b", "Key": "out/1.out"})
    stubs["s3"].add_response("delete_object", {})
    assert predict(aws, endpoint(), b"{}", Told(), pace=Time().pace()).body == ANSWER


def _describe(add: object) -> None:
    assert callable(add)
    add(
        "describe_endpoint",
        {
            "EndpointName": "svd",
            "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/svd",
            "EndpointConfigName": "svd-0123456789ab",
            "EndpointStatus": "InService",
            "CreationTime": 0,
            "LastModifiedTime": 0,
        },
    )
