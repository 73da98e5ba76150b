"""What travels between whoever leads an upload and its workers: errors come back as they went, texts of others are refused."""

from __future__ import annotations

import json

import msgspec
import pytest

from sagepack.aws.s3 import ChangedError, RefusedError, S3Uri, UploadGoneError
from sagepack.aws.session import AccessDeniedError, CredentialsError
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.publish.upload.proof import SourceError
from sagepack.publish.upload.sources import NoSourceError
from sagepack.publish.upload.unit_text import Answer, Failure, UnitTask

HERE = S3Uri("bucket", "models/svd/0123456789abcdef/model.tar.gz")


class _PrivateError(CredentialsError):
    """A class that another version may not know."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UserError("m", where="w", fix="f", details=("d",), failure="quota"), UserError),
        (RemoteError("m", where="w"), RemoteError),
        (IntegrityError("m", fix="f"), IntegrityError),
        (CredentialsError("m", fix="log in"), CredentialsError),
        (_PrivateError("m"), CredentialsError),
        (AccessDeniedError("m"), AccessDeniedError),
        (NoSourceError("m"), NoSourceError),
        (RefusedError("m"), RefusedError),
        (UploadGoneError("m"), UploadGoneError),
        (ChangedError("m", HERE), ChangedError),
        (SourceError("m", HERE), SourceError),
        (SagepackError("m"), RemoteError),
    ],
)
def test_an_error_of_a_worker_comes_back_as_it_went(error: SagepackError, kind: type[SagepackError]) -> None:
    with pytest.raises(SagepackError) as caught:
        Answer.parse(Answer(failure=Failure.of(error, "host (process 7)")).text())
    found = caught.value
    assert type(found) is kind
    assert (found.message, found.where, found.fix, found.failure) == (
        error.message,
        error.where,
        error.fix,
        error.failure,
    )
    assert found.details == (*error.details, "in the worker host (process 7)")
    if isinstance(found, (ChangedError, SourceError)):
        assert found.location == HERE


@pytest.mark.parametrize("object_", [None, ["bucket", "key"]])
@pytest.mark.parametrize("name", ["ChangedError", "SourceError", "KeyboardInterrupt", "", "__class__"])
def test_a_failure_of_any_name_is_an_error_of_this_program(name: str, object_: list[str] | None) -> None:
    text = json.dumps({"failure": {"type": name, "message": "m", "object": object_}})
    with pytest.raises(SagepackError, match="m"):
        Answer.parse(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"version": 1}', "\x00", '{"version": 1, "sagepack": "9", "archive": 1}']
)
def test_a_text_that_is_no_unit_of_this_version_is_refused_and_names_the_worker(text: str) -> None:
    with pytest.raises(UserError) as caught:
        UnitTask.parse(text, "host (process 7)")
    assert caught.value.where == "host (process 7)"


def test_an_answer_says_nothing_that_it_does_not_know() -> None:
    assert msgspec.json.decode(Answer().text()) == {}
