from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, cast

import pytest

from sagepack.aws.s3 import S3, ObjectSummary, S3Uri
from sagepack.deploy.failure import explained, newest
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = "s3://b/failure/1-error.out"


def body(message: str, code: int = 400) -> bytes:
    return json.dumps({"code": code, "type": "InternalServerException", "message": message}, indent=1).encode()


def test_a_request_that_the_container_refuses_is_told_in_its_words() -> None:
    error = explained(body("unknown field 'input': did you mean inputs?"), "svd", "i1", AT)
    assert type(error) is UserError
    assert error.lines()[0] == (
        "endpoint svd: the endpoint refused the request (400): unknown field 'input': did you mean inputs?"
    )
    assert f"  request i1; the failure as it came is at {AT}" in error.lines()
    assert "/aws/sagemaker/Endpoints/svd" in (error.fix or "")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            body("CUDA out of memory. Tried to allocate 2.00 GiB"),
            "(400): CUDA out of memory",
        ),  # the toolkit says 400 to all
        (body("Prediction failed", 503), "(503): Prediction failed"),
        (body("Prediction timeout", 408), "(408): Prediction timeout"),
        (b"<html>no JSON</html>", "request: <html>no JSON"),
        (b"\xff\xfe", "request: \ufffd"),
        (b"", "it does not say why"),
        (b'Received server error (0) from primary with message "worker died". See https://x', "request: worker died"),
    ],
)
def test_a_failure_of_the_endpoint_is_a_remote_error(data: bytes, said: str) -> None:
    error = explained(data, "svd", "i1", AT)
    assert type(error) is RemoteError
    assert said in error.message


def test_what_the_platform_writes_around_the_response_is_left_out() -> None:
    inner = body("inputs: expected a text").decode()
    text = f'Received client error (400) from primary with message "{inner}". See https://console.aws/x for more.'
    error = explained(text.encode(), "svd", "i1", AT)
    assert type(error) is UserError
    assert error.message == "the endpoint refused the request (400): inputs: expected a text"


def test_a_long_failure_is_cut_and_its_lines_follow_the_first() -> None:
    error = explained(body("\n".join(f"line {number}" for number in range(9_000))), "svd", "i1", AT)
    assert error.message.endswith(": line 0")
    assert error.details[0] == "line 1"
    assert len(error.details) == 21


def test_the_newest_failures_are_found_whatever_their_names() -> None:
    written = {"b-error.out": 1, "a-error.out": 3, "d-error.out": 2, "c-error.out": 0, "gone-error.out": 4}
    began, read = datetime(2026, 1, 1, tzinfo=timezone.utc), list[str]()

    class Store:
        def list(self, prefix: S3Uri) -> Iterator[ObjectSummary]:
            for name, minutes in written.items():
                yield ObjectSummary(prefix.child(name), 1, "", began + timedelta(minutes=minutes))

        def get(self, location: S3Uri, _limit: int) -> bytes | None:
            read.append(location.key)
            return None if "gone" in location.key else body("Prediction failed", 503)

    found = newest(cast("S3", Store()), S3Uri("b", "failure"), "svd", 3)
    assert read == ["failure/gone-error.out", "failure/a-error.out", "failure/d-error.out"]
    assert [(location.key, (time - began).seconds) for time, location, _ in found] == [
        ("failure/a-error.out", 180),
        ("failure/d-error.out", 120),
    ]
    assert all(isinstance(error, RemoteError) for _, _, error in found)
