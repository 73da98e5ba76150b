from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.response import StreamingBody

from sagepack.aws.s3 import S3
from sagepack.deploy.predict import MAX_REQUEST_SIZE, input_prefix, predict
from sagepack.errors import RemoteError, UserError
from sagepack.spec.model import AsyncInference
from tests.helpers.deployments import GONE, FakeClock, RecordedProgress, described, endpoint, stubbed

if TYPE_CHECKING:
    from botocore.stub import Stubber

    from sagepack.aws.session import Aws

RESULT = b'{"text": "a cat"}'


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
def test_requests_are_put_next_to_their_results(output: str, failure: str, prefix: str) -> None:
    assert input_prefix(AsyncInference(output, failure)) == prefix


def test_a_request_to_a_missing_endpoint_fails_with_what_to_do() -> None:
    aws, stubs = stubbed("sagemaker")
    stubs["sagemaker"].add_client_error("describe_endpoint", *GONE)
    with pytest.raises(UserError, match="no such endpoint") as caught:
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress())
    assert caught.value.fix == "run `invoke deploy` first"


def test_a_missing_request_file_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    with pytest.raises(UserError, match="No such file") as missing:
        predict(aws, S3(aws.client("s3")), endpoint(), tmp_path / "none.json", RecordedProgress())
    assert missing.value.fix == "check the name"


def test_a_result_above_the_size_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagepack.deploy.predict.MAX_SIZE", 10)
    aws, stubs = sent()
    stubs["s3"].add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"x" * 100), 100)})
    stubs["s3"].add_response("delete_object", {})
    with pytest.raises(RemoteError, match="the result has more than 10 bytes"):
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "s3://bucket", "s3:///key", "http://b/k", "s3://b/k" + "k" * 2048]
)
def test_an_output_location_that_is_no_s3_uri_is_an_error(location: str) -> None:
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    stubs["sagemaker"].add_response("describe_endpoint", described("InService"))
    stubs["s3"].add_response("put_object", {})
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", {"OutputLocation": location})
    stubs["s3"].add_response("delete_object", {})
    with pytest.raises(RemoteError, match=r"not as AWS describes it .OutputLocation: "):
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())


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
def test_a_request_file_that_is_invalid_is_not_sent(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    path = tmp_path / name
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        predict(aws, S3(aws.client("s3")), endpoint(), path, RecordedProgress())


def test_a_request_above_the_limit_of_the_service_is_not_sent(tmp_path: Path) -> None:
    aws, _ = stubbed("sagemaker", "s3")
    with (tmp_path / "r.bin").open("wb") as file:
        file.truncate(MAX_REQUEST_SIZE + 1)
    with pytest.raises(UserError, match="more than 1,000,000,000 bytes"):
        predict(aws, S3(aws.client("s3")), endpoint(), tmp_path / "r.bin", RecordedProgress())
    with pytest.raises(UserError, match="is not a file"):
        predict(aws, S3(aws.client("s3")), endpoint(), Path("/dev/zero"), RecordedProgress())


def sent() -> tuple[Aws, dict[str, Stubber]]:
    """A session whose stubs accept one request; the responses to GetObject have to be added."""
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    stubs["sagemaker"].add_response("describe_endpoint", described("InService"))
    stubs["s3"].add_response("put_object", {})
    places = {"OutputLocation": "s3://b/out/1.out", "FailureLocation": "s3://b/fail/1.out"}
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", places)
    return aws, stubs


def test_a_result_that_s3_denies_counts_as_not_there_yet() -> None:
    """To a caller without s3:ListBucket S3 responds 403 for a missing key."""
    aws, stubs = sent()
    stubs["s3"].add_client_error("get_object", "AccessDenied", http_status_code=403)
    stubs["s3"].add_client_error("get_object", "AccessDenied", http_status_code=403)
    body = StreamingBody(io.BytesIO(RESULT), len(RESULT))
    stubs["s3"].add_response("get_object", {"Body": body}, {"Bucket": "b", "Key": "out/1.out"})
    stubs["s3"].add_response("delete_object", {})
    assert (
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter()).body
        == RESULT
    )
