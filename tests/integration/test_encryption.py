"""Keys of AWS KMS for volumes and results: what is checked before a byte moves, and what is encrypted with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from sagepack.aws.s3 import S3
from sagepack.deploy.predict import predict
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.invocations import ScriptedResult
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import BUCKET, changed, deployment, published

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
LARGE = b'"%s"' % (b"x" * 130_000)  # more than a request may have without an object of its own in S3


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return deployments.session_of(sandbox)


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def make_key(aws: Aws) -> str:
    return str(aws.client("kms").create_key()["KeyMetadata"]["Arn"])


def test_a_request_and_its_answer_are_encrypted_with_the_key_of_results(aws: Aws, sandbox: Servers) -> None:
    key, value = make_key(aws), published(aws, deployment())
    value = changed(value, asynchronous=structs.replace(value.endpoint.asynchronous, kms_key_id=key))
    reconcile(aws, value, Silent(), WAITER)
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    sent: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        sent.append(params)

    events = aws.client("s3").meta.events
    events.register("provide-client-params.s3.PutObject", note)
    try:
        answer = predict(aws, S3(aws.client("s3")), value.endpoint, LARGE, Silent(), waiter=WAITER)
    finally:
        events.unregister("provide-client-params.s3.PutObject", note)
    assert [(each["ServerSideEncryption"], each["SSEKMSKeyId"]) for each in sent] == [("aws:kms", key)]
    written = aws.client("s3").head_object(Bucket=BUCKET, Key=answer.location.partition(f"{BUCKET}/")[2])
    assert written["SSEKMSKeyId"] == key


def test_keys_are_looked_at_before_a_byte_moves(cloud: Cloud, aws: Aws) -> None:
    key = make_key(aws)
    sets = (f"endpoint.kms_key_id={key}", f"endpoint.async.kms_key_id={key}")
    found = {check.id: check.verdict for check in cloud.project(*sets).doctor().checks}
    assert (found["volume-key"], found["results-key"]) == ("ok", "ok")
    aws.client("kms").disable_key(KeyId=key.rpartition("/")[2])  # moto knows no ARN here
    with pytest.raises(UserError, match="2 checks failed") as caught:
        cloud.project(*sets).deploy()
    assert "is Disabled" in str(caught.value)
    with pytest.raises(UserError, match="there is no key alias/nothing"):
        cloud.project("endpoint.async.kms_key_id=alias/nothing").deploy()
    assert cloud.moved == []
