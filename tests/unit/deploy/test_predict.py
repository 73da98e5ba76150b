from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from botocore.response import StreamingBody

from sagepack.aws.s3 import S3
from sagepack.aws.s3_types import WriteOptions
from sagepack.deploy.predict import default_timeout, input_prefix, predict, request_options
from sagepack.deploy.sent import SentRequests
from sagepack.errors import RemoteError, UserError
from sagepack.spec.model import AsyncInference, Scaling
from tests.helpers.deployments import GONE, FakeClock, RecordedProgress, described, endpoint, stubbed

if TYPE_CHECKING:
    from pathlib import Path

    from botocore.stub import Stubber

    from sagepack.aws.session import Aws

ARN = "arn:aws:iam::123456789012:user/ada"
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


@pytest.mark.parametrize(
    ("key", "bucket", "sse", "used"),
    [
        (None, "b", "aws:kms", "packages"),  # as everything in that bucket
        (None, "other", None, None),  # by the default there
        ("results", "b", "aws:kms", "results"),
        ("results", "other", "aws:kms", "results"),
    ],
)
def test_a_request_is_encrypted_as_its_answer_or_its_bucket(
    key: str | None, bucket: str, sse: str | None, used: str | None
) -> None:
    packages = WriteOptions("b", "1", "aws:kms", "packages", "GLACIER_IR", {"team": "video"})
    settings = AsyncInference(f"s3://{bucket}/output/", f"s3://{bucket}/failure/", kms_key_id=key)
    # Its storage class is the default one: every other charges for 30 days or more.
    assert request_options(packages, settings) == WriteOptions("b", "1", sse, used, None, {"team": "video"})


def test_a_request_to_a_missing_endpoint_fails_with_what_to_do() -> None:
    aws, stubs = stubbed("sagemaker")
    stubs["sagemaker"].add_client_error("describe_endpoint", *GONE)
    with pytest.raises(UserError, match="no such endpoint") as caught:
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress())
    assert caught.value.fix == "run `invoke deploy` first"


def test_a_result_above_the_size_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagepack.deploy.predict.MAX_SIZE", 10)
    aws, stubs = sent()
    stubs["s3"].add_response("get_object", {"Body": StreamingBody(io.BytesIO(b"x" * 100), 100)})
    with pytest.raises(RemoteError, match="the result has more than 10 bytes"):
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "s3://bucket", "s3:///key", "http://b/k", "s3://b/k" + "k" * 2048]
)
def test_an_output_location_that_is_no_s3_uri_is_an_error(location: str) -> None:
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    stubs["sagemaker"].add_response("describe_endpoint", described("InService"))
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", {"OutputLocation": location})
    with pytest.raises(RemoteError, match=r"not as AWS describes it .OutputLocation: "):
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())


def sent() -> tuple[Aws, dict[str, Stubber]]:
    """A session whose stubs accept one request; the responses to GetObject have to be added."""
    aws, stubs = stubbed("sagemaker", "sagemaker-runtime", "s3")
    stubs["sagemaker"].add_response("describe_endpoint", described("InService"))
    places = {"OutputLocation": "s3://b/out/1.out", "FailureLocation": "s3://b/fail/1.out"}
    stubs["sagemaker-runtime"].add_response("invoke_endpoint_async", places)
    return aws, stubs


def test_a_result_that_s3_denies_counts_as_not_there_yet() -> None:
    """To a caller without s3:ListBucket S3 responds 403 for a missing key."""
    aws, stubs = sent()
    stubs["s3"].add_client_error("get_object", "AccessDenied", http_status_code=403)
    missing = f"User: {ARN} is not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::b because ..."
    stubs["s3"].add_client_error("get_object", "AccessDenied", missing, http_status_code=403)
    answer_with(stubs["s3"])
    result = predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())
    assert result.body == RESULT


def test_an_answer_that_the_caller_may_not_read_ends_the_wait_at_once_and_keeps_the_request() -> None:
    aws, stubs = sent()
    denial = f"User: {ARN} is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/out/1.out because ..."
    stubs["s3"].add_client_error("get_object", "AccessDenied", denial, http_status_code=403)
    with pytest.raises(UserError, match="s3:GetObject") as caught:
        predict(aws, S3(aws.client("s3")), endpoint(), b"{}", RecordedProgress(), waiter=FakeClock().waiter())
    assert "allow the caller s3:GetObject" in (caught.value.fix or "")
    stubs["s3"].assert_no_pending_responses()  # and none asked to delete it


def test_a_wait_goes_on_after_an_outage_which_is_told_once() -> None:
    aws, stubs = sent()
    for _ in range(3):
        stubs["s3"].add_client_error("get_object", "InternalError", http_status_code=500)
    answer_with(stubs["s3"])
    progress = RecordedProgress()
    result = predict(aws, S3(aws.client("s3")), endpoint(), b"{}", progress, waiter=FakeClock().waiter())
    assert result.body == RESULT
    (told,) = [note for note in progress.notes if "InternalError" in note]
    assert told.endswith("trying again, for 30 min 00 s at most (check the network)")
    assert progress.notes[-1] == "AWS responds again, after 45.0 s"


def test_an_outage_until_the_end_of_the_wait_is_told_as_its_cause_and_keeps_the_request(tmp_path: Path) -> None:
    aws, stubs = sent()
    for _ in range(5):
        stubs["s3"].add_client_error("get_object", "InternalError", http_status_code=500)
    remembered, clock, progress = SentRequests(tmp_path), FakeClock(), RecordedProgress()
    with pytest.raises(RemoteError, match="InternalError") as caught:
        predict(
            aws,
            S3(aws.client("s3")),
            endpoint(),
            b"{}",
            progress,
            waiter=clock.waiter(3),
            remembered=remembered,
        )
    assert clock.now == 3
    assert "goes on in AWS" in (caught.value.fix or "")
    (path,) = tmp_path.glob("*.json")
    request = remembered.find(path.stem)
    assert request is not None
    assert f"`invoke predict --id {path.stem}` fetches it" in progress.text
    assert request.abandoned
    assert request.failure == "s3://b/fail/1.out"


def test_the_wait_is_longer_where_the_endpoint_may_sleep() -> None:
    assert default_timeout(endpoint(scaling=None)) == 900
    assert default_timeout(endpoint(scaling=Scaling(1, 2))) == 900
    assert default_timeout(endpoint(scaling=Scaling(0, 2))) == 1800


def answer_with(stub: Stubber) -> None:
    stub.add_response(
        "get_object", {"Body": StreamingBody(io.BytesIO(RESULT), len(RESULT))}, {"Bucket": "b", "Key": "out/1.out"}
    )
