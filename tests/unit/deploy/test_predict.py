from __future__ import annotations

import base64
import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.response import StreamingBody

from sagepack.deploy.predict import LARGEST_REQUEST, input_prefix, predict
from sagepack.deploy.results import save_answer
from sagepack.errors import RemoteError, UserError
from sagepack.spec.model import AsyncInference
from tests.helpers.deployments import Time, Told, endpoint, stubbed

if TYPE_CHECKING:
    from botocore.stub import Stubber

    from sagepack.aws.session import Aws

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
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


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("not base64!", "frame 1 of the answer is not base64"),
        ("ä", "frame 1 of the answer is not base64"),
        (7, r"the frames of the answer are not texts: \[1\]: expected `str`, got `int`"),
        (None, "not texts"),
        ({"../../x": 1}, "not texts"),
        (encoded(b"PNG"), "frame 1 of the answer is not a JPEG"),
        ("", "frame 1 of the answer is not a JPEG"),
    ],
)
def test_frames_that_are_no_pictures_are_told_and_none_is_written(frame: object, reason: str, tmp_path: Path) -> None:
    answer = json.dumps({"frames": [encoded(FRAMES[0]), frame]}).encode()
    with pytest.raises(RemoteError, match=reason):
        save_answer(answer, tmp_path / "frames")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_names_no_file(tmp_path: Path) -> None:
    answer = b'{"../evil": "x", "frames": 25, "name": "../../evil"}'
    assert save_answer(answer, tmp_path / "a" / "out") == [tmp_path / "a" / "out" / "answer.json"]
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "out", "answer.json"]


def test_an_answer_of_countless_frames_is_refused_before_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="more than 10,000 frames"):
        save_answer(b'{"frames": ["' + b'","' * 10_000 + b'"]}', tmp_path / "out")


@pytest.mark.parametrize(
    "answer", [b"[" * 100_000, b'{"a":' * 100_000, b'{"frames": [', b"\xff\xfe", b"", b'{"frames": ["\\ud800"]}']
)
def test_what_is_not_json_is_kept_as_bytes(answer: bytes, tmp_path: Path) -> None:
    (written,) = save_answer(answer, tmp_path / "out")
    assert (written.name, written.read_bytes()) == ("answer.bin", answer)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="a file stands where a folder belongs"):
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


def test_an_answer_without_end_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagepack.deploy.predict.LIMIT", 10)
    aws, stubs = sent()
    stubs["s3"].add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"x" * 100), 100)})
    stubs["s3"].add_response("delete_object", {})
    with pytest.raises(RemoteError, match="the answer has more than 10 bytes"):
        predict(aws, endpoint(), b"{}", Told(), pace=Time().pace())


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "s3://bucket", "s3:///key", "http://b/k", "s3://b/k" + "k" * 2048]
)
def test_a_place_for_the_answer_that_is_none_is_told(location: str) -> None:
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    _describe(stubs["sagemaker"].add_response)
    stubs["s3"].add_response("put_object", {})
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", {"OutputLocation": location})
    stubs["s3"].add_response("delete_object", {})
    with pytest.raises(RemoteError, match=r"not as AWS describes it .OutputLocation: "):
        predict(aws, endpoint(), b"{}", Told(), pace=Time().pace())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("r.json", b'{"a": NaN}', "is not JSON"),
        ("r.json", b'{"a": 1', "is not JSON"),
        ("r.json", b"\x89PNG\r\n", "is not JSON"),
        ("r.json", b'{"a": "\xff"}', "is not JSON"),
        ("r.json", b"", "is not JSON"),
        ("r.json", b"[" * 100_000, "is not JSON: it is nested too deeply"),
        ("r.json", None, "is not a file"),
    ],
)
def test_a_request_that_cannot_be_right_is_not_sent(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        predict(aws, endpoint(), path, Told())


def test_a_request_beyond_the_limit_of_the_service_is_not_sent(tmp_path: Path) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    with (tmp_path / "r.bin").open("wb") as file:
        file.truncate(LARGEST_REQUEST + 1)
    with pytest.raises(UserError, match="more than 1,000,000,000 bytes"):
        predict(aws, endpoint(), tmp_path / "r.bin", Told())
    with pytest.raises(UserError, match="is not a file"):
        predict(aws, endpoint(), Path("/dev/zero"), Told())


def sent() -> tuple[Aws, dict[str, Stubber]]:
    """A session that takes one request and is about to be asked for the answer."""
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    _describe(stubs["sagemaker"].add_response)
    stubs["s3"].add_response("put_object", {})
    places = {"OutputLocation": "s3://b/out/1.out", "FailureLocation": "s3://b/fail/1.out"}
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", places)
    return aws, stubs


def test_a_key_that_s3_will_not_speak_of_counts_as_not_there_yet() -> None:
    """Without s3:ListBucket a missing key is answered 403."""
    aws, stubs = sent()
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
            "CreationTime": NOW,
            "LastModifiedTime": NOW,
        },
    )
