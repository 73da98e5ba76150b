"""A processing job as a value: its name, its request, and the error that it leaves."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from sagepack.aws import service_model
from sagepack.aws.s3 import S3Uri
from sagepack.engine.remote.job import Job, Moved, error_of, exit_message, name_prefix
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.spec.model import Remote, Vpc
from tests.helpers import deployments

ROLE = "arn:aws:iam::123456789012:role/publisher"
PACKAGE = "s3://b/models/svd/0123456789abcdef/model.tar.gz"


def job(remote: Remote, package: str = PACKAGE, source: str = "models/svd/remote/1", name: str = "svd") -> Job:
    spec = structs.replace(deployments.spec("svd"), remote=remote, name=name)
    return Job.of(spec, deployments.lock(), package, S3Uri("b", source), {})


def test_the_request_is_one_that_aws_accepts() -> None:
    vpc = Vpc(("subnet-01234567",), ("sg-01234567",))
    found = job(Remote(ROLE, "ml.c5.4xlarge", vpc=vpc), name="a" * 40)
    request = {"ProcessingJobName": found.name(9999), **found.request}
    assert service_model.violations("sagemaker", "CreateProcessingJob", request) == []
    assert request["NetworkConfig"]["VpcConfig"] == {
        "Subnets": ["subnet-01234567"],
        "SecurityGroupIds": ["sg-01234567"],
    }
    assert request["AppSpecification"]["ImageUri"] == deployments.lock().image_uri


def test_an_image_of_ones_own_takes_the_place_of_the_endpoints() -> None:
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/python:3.12-slim"
    assert job(Remote(ROLE, image=image)).request["AppSpecification"]["ImageUri"] == image


def test_the_name_changes_with_everything_that_the_job_does_and_with_nothing_else() -> None:
    same = job(Remote(ROLE)).name(1)
    assert same == job(Remote(ROLE)).name(1)
    others = [
        job(Remote(ROLE), package=PACKAGE.replace("0", "1")),
        job(Remote(ROLE), source="models/svd/remote/2"),
        job(Remote(f"{ROLE}-2")),
        job(Remote(ROLE, "ml.m5.2xlarge")),
    ]
    assert len({same, *(other.name(1) for other in others)}) == 5
    assert job(Remote(ROLE)).name(2) == f"{same[:-1]}2"


@pytest.mark.parametrize("name", ["svd", "a" * 40, "a" * 35 + "-b"])
def test_every_job_of_a_spec_begins_alike(name: str) -> None:
    spec = structs.replace(deployments.spec("svd"), name=name)
    assert job(Remote(ROLE), name=name).name(1).startswith(name_prefix(spec))
    assert "--" not in job(Remote(ROLE), name=name).name(1)


@pytest.mark.parametrize("kind", [UserError, RemoteError, IntegrityError])
def test_an_error_comes_back_as_it_was(kind: type[SagepackError]) -> None:
    error = kind("it failed", where="there", fix="do that")
    found = error_of(exit_message(error).decode())
    assert found is not None
    assert (type(found), found.message, found.where, found.fix) == (kind, "it failed", "there", "do that")


def test_an_error_of_any_length_fits_the_exit_message() -> None:
    error = IntegrityError("é" * 5000, where="w" * 300, fix="\n" * 300)
    assert len(exit_message(error)) <= 1024
    assert isinstance(error_of(exit_message(error).decode()), IntegrityError)


def test_the_bytes_that_a_job_has_moved_come_back_and_of_any_other_message_nothing_is_known() -> None:
    moved = Moved(3, 2, None)
    assert Moved.of(moved.message().decode()) == moved
    assert error_of(moved.message().decode()) is None
    for text in (None, "", "Killed", "[]", '{"fetched": "many"}'):
        assert Moved.of(text) == Moved()


@pytest.mark.parametrize(
    "text", [None, "", "Killed", "{}", "[]", '{"exit_code": 1}', '{"exit_code": 2, "message": ""}']
)
def test_any_other_exit_message_is_no_error_of_ours(text: Any) -> None:
    assert error_of(text) is None
