from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from sagepack.aws.s3 import S3, WriteOptions
from sagepack.aws.session import Aws, AwsConnection
from sagepack.deploy.predict import fetch, predict
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.sent import SentRequest, SentRequests
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.sandbox.identity import ACCOUNT
from tests.helpers.deployments import BUCKET, FakeClock, RecordedProgress, deployment, published, session_of, violations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
LARGE = b'"' + bytes(128_000).replace(b"\0", b"x") + b'"'  # goes by way of S3


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


@pytest.fixture
def live(aws: Aws) -> Deployment:
    value = published(aws, deployment())
    reconcile(aws, value, Silent(), WAITER)
    return value


def inputs(aws: Aws) -> list[str]:
    listed = aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="async/svd/input/")
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_a_result_is_returned_and_the_request_is_deleted(aws: Aws, live: Deployment, sandbox: Servers) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'{"frames": []}', delay=0.05))
    result = predict(aws, S3(aws.client("s3")), live.endpoint, LARGE, Silent(), waiter=WAITER)
    assert result.body == b'{"frames": []}'
    assert inputs(aws) == []


def test_a_large_file_keeps_its_content_type_in_s3(
    aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    kinds: list[str] = []
    events = aws.client("s3").meta.events
    remember = lambda params, **_: kinds.append(params["ContentType"])  # noqa: E731
    events.register("provide-client-params.s3.PutObject", remember)
    (tmp_path / "cat.png").write_bytes(bytes(128_001))
    predict(
        aws,
        S3(aws.client("s3")),
        live.endpoint,
        tmp_path / "cat.png",
        Silent(),
        content_type="image/png",
        waiter=WAITER,
    )
    events.unregister("provide-client-params.s3.PutObject", remember)
    assert kinds == ["image/png"]


def test_the_answer_has_the_media_type_that_was_asked_for(aws: Aws, live: Deployment, sandbox: Servers) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"a film"))
    asked: list[dict[str, Any]] = []
    events = aws.client("sagemaker-runtime").meta.events
    remember = lambda params, **_: asked.append(params)  # noqa: E731
    events.register("provide-client-params.sagemaker-runtime.InvokeEndpointAsync", remember)
    store = S3(aws.client("s3"))
    result = predict(aws, store, live.endpoint, b"{}", Silent(), accept="video/mp4", waiter=WAITER)
    events.unregister("provide-client-params.sagemaker-runtime.InvokeEndpointAsync", remember)
    assert result.body == b"a film"
    (request,) = asked
    assert request["Accept"] == "video/mp4"
    assert request["Filename"] == f"{result.inference_id}.out"
    assert violations("sagemaker-runtime", "InvokeEndpointAsync", request) == []


def test_a_request_passes_the_bucket_policies_that_publishing_passes(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    """Policies that deny PutObject without encryption or without If-None-Match; every request names the bucket's owner."""
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    owners: list[str | None] = []
    tags: list[str | None] = []

    def policy(request: AWSPreparedRequest, **_event: Any) -> AWSResponse | None:
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        owners.append(headers.get("x-amz-expected-bucket-owner"))
        if request.method != "PUT" or {"x-amz-server-side-encryption", "if-none-match"} <= headers.keys():
            tags.extend([headers["x-amz-tagging"]] if request.method == "PUT" else [])
            return None
        denied = AWSResponse(request.url, 403, {}, None)
        denied._content = b"<Error><Code>AccessDenied</Code><Message>by the bucket's policy</Message></Error>"
        return denied

    events = aws.client("s3").meta.events
    events.register("before-send.s3", policy)
    try:
        options = WriteOptions(bucket=BUCKET, owner=ACCOUNT, sse="AES256", tags={"team": "vision"})
        store = S3(aws.client("s3"), options)
        assert predict(aws, store, live.endpoint, LARGE, Silent(), waiter=WAITER).body == b"{}"
    finally:
        events.unregister("before-send.s3", policy)
    assert len(owners) >= 3
    assert set(owners) == {ACCOUNT}
    assert tags == ["team=vision"]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_a_failed_request_is_an_error_with_the_message_of_the_container(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"CUDA out of memory", status=500))
    with pytest.raises(RemoteError, match="CUDA out of memory") as caught:
        predict(aws, S3(aws.client("s3")), live.endpoint, LARGE, Silent(), waiter=WAITER)
    assert caught.value.exit_code == 3
    assert "/aws/sagemaker/Endpoints/svd" in str(caught.value)
    assert inputs(aws) == []


def test_a_wait_without_a_result_ends_with_what_to_do_and_keeps_the_request(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"too late", delay=3))
    progress = RecordedProgress()
    with pytest.raises(RemoteError, match="no result after 300 s") as caught:
        predict(aws, S3(aws.client("s3")), live.endpoint, LARGE, progress, waiter=FakeClock().waiter(timeout=300))
    assert type(caught.value) is RemoteError
    assert "without instances" in str(caught.value)
    assert "InService" in progress.text
    assert len(inputs(aws)) == 1


def test_a_small_request_takes_no_way_through_s3(aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    writes: list[str] = []
    remember = lambda request, **_: writes.append(request.method)  # noqa: E731
    events = aws.client("s3").meta.events
    events.register("before-send.s3", remember)
    (tmp_path / "r.json").write_bytes(LARGE[1:-1].replace(b"x", b"1"))
    for request in (b"{}", tmp_path / "r.json"):
        assert predict(aws, S3(aws.client("s3")), live.endpoint, request, Silent(), waiter=WAITER).body == b"{}"
    events.unregister("before-send.s3", remember)
    assert set(writes) == {"GET"}
    assert [len(body) for _, body in sandbox.aws.invocations.received] == [2, 128_000]


def test_where_a_region_takes_no_small_request_it_goes_by_way_of_s3(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    events = aws.client("sagemaker-runtime").meta.events

    def without_body(request: AWSPreparedRequest, **_event: Any) -> AWSResponse | None:
        if not request.body:
            return None
        refused = AWSResponse(request.url, 400, {"x-amzn-ErrorType": "ValidationError"}, None)
        refused._content = b'{"Message": "InputLocation is required"}'
        return refused

    events.register("before-send.sagemaker-runtime", without_body)
    assert predict(aws, S3(aws.client("s3")), live.endpoint, b"{}", Silent(), waiter=WAITER).body == b"{}"
    events.unregister("before-send.sagemaker-runtime", without_body)
    assert [body for _, body in sandbox.aws.invocations.received] == [b"{}"]
    assert inputs(aws) == []


def test_a_caller_who_may_not_invoke_is_told_that_and_nothing_is_put_into_s3(
    aws: Aws, live: Deployment, sandbox: Servers
) -> None:
    sandbox.aws.denied.set(["sagemaker:InvokeEndpointAsync", "s3:PutObject"])
    with pytest.raises(UserError, match="InvokeEndpointAsync"):
        predict(aws, S3(aws.client("s3")), live.endpoint, b"{}", Silent(), waiter=WAITER)
    sandbox.aws.denied.set([])
    assert inputs(aws) == []


def test_an_endpoint_that_is_being_created_accepts_no_requests(aws: Aws) -> None:
    value = published(aws, deployment())
    client = aws.client("sagemaker")
    client.create_model(**value.create_model_request)
    client.create_endpoint_config(**value.create_endpoint_config_request)
    client.create_endpoint(**value.create_endpoint_request)
    with pytest.raises(UserError, match="is Creating"):
        predict(aws, S3(aws.client("s3")), value.endpoint, LARGE, Silent(), waiter=WAITER)
    assert inputs(aws) == []


def remembered_in(folder: Path) -> tuple[SentRequests, Callable[[], list[SentRequest]]]:
    found = SentRequests(folder)
    return found, lambda: [sent for path in sorted(folder.glob("*.json")) if (sent := found.find(path.stem))]


def test_an_interrupted_wait_keeps_the_request_and_the_same_request_waits_for_its_answer(
    aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'"late"', delay=0.3))
    remembered, all_of = remembered_in(tmp_path)
    store, progress = S3(aws.client("s3")), RecordedProgress()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    interrupted = WaiterConfig(delay=0.01, timeout=30, sleep=interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict(aws, store, live.endpoint, LARGE, progress, waiter=interrupted, remembered=remembered)
    (sent,) = all_of()
    assert progress.notes[-1] == (
        f"request {sent.inference_id} stays in the queue for up to 6 hours; its answer will be at {sent.output}, "
        f"and `invoke predict --id {sent.inference_id}` fetches it"
    )
    assert [f"s3://{BUCKET}/{key}" for key in inputs(aws)] == [sent.source]

    result = predict(aws, store, live.endpoint, LARGE, progress, waiter=WAITER, remembered=remembered)
    assert (result.inference_id, result.body) == (sent.inference_id, b'"late"')
    assert len(sandbox.aws.invocations.received) == 1
    assert inputs(aws) == []
    again = predict(aws, store, live.endpoint, LARGE, progress, waiter=WAITER, remembered=remembered)
    assert again.inference_id != sent.inference_id


def test_a_late_answer_is_fetched_by_its_id_here_and_elsewhere(
    aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'"late"', delay=0.8))
    remembered, all_of = remembered_in(tmp_path / "here")
    store = S3(aws.client("s3"))
    with pytest.raises(RemoteError, match="no result after 0 s"):
        predict(
            aws,
            store,
            live.endpoint,
            LARGE,
            Silent(),
            waiter=WaiterConfig(delay=0.01, timeout=0.01),
            remembered=remembered,
        )
    (sent,) = all_of()
    elsewhere, _ = remembered_in(tmp_path / "elsewhere")
    for place in (remembered, elsewhere):
        found = fetch(aws, store, live.endpoint, sent.inference_id, Silent(), waiter=WAITER, remembered=place)
        assert (found.body, found.location) == (b'"late"', sent.output)
    assert inputs(aws) == []
    with pytest.raises(UserError, match="no answer to this request"):
        fetch(aws, store, live.endpoint, "20260101T000000Z-0", Silent(), waiter=WAITER, remembered=elsewhere)


def test_a_late_failure_is_fetched_by_its_id_as_often_as_wanted(
    aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    failed = b'{"code": 400, "type": "InternalServerException", "message": "unknown field \\u0027input\\u0027"}'
    sandbox.aws.invocations.script(ScriptedResult(failed, status=400))
    remembered, all_of = remembered_in(tmp_path)
    store = S3(aws.client("s3"))
    said = r"the endpoint refused the request \(400\): unknown field 'input'"
    with pytest.raises(UserError, match=said):
        predict(aws, store, live.endpoint, b"{}", Silent(), waiter=WAITER, remembered=remembered)
    (sent,) = all_of()
    for _ in range(2):
        with pytest.raises(UserError, match=said):
            fetch(aws, store, live.endpoint, sent.inference_id, Silent(), waiter=WAITER, remembered=remembered)
    assert inputs(aws) == []


def test_a_request_that_sagemaker_refuses_leaves_nothing_behind(
    aws: Aws, live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    aws.client("sagemaker").delete_endpoint(EndpointName=live.endpoint.name)
    remembered, all_of = remembered_in(tmp_path)
    with pytest.raises(UserError):
        predict(aws, S3(aws.client("s3")), live.endpoint, LARGE, Silent(), waiter=WAITER, remembered=remembered)
    assert all_of() == []
    assert inputs(aws) == []
    assert sandbox.aws.invocations.received == []


def test_a_wait_goes_on_with_the_new_login_after_the_old_one_expired(
    live: Deployment, sandbox: Servers, tmp_path: Path
) -> None:
    connection = AwsConnection(sandbox.region, None, sandbox.aws_url, sandbox.access_key, sandbox.secret_key)
    aws = Aws(connection)  # of its own: it is renewed

    def expired(request: AWSPreparedRequest, **_event: Any) -> AWSResponse | None:
        if request.method != "GET":
            return None
        refused = AWSResponse(request.url, 400, {}, None)
        refused._content = b"<Error><Code>ExpiredToken</Code><Message>expired</Message></Error>"
        return refused

    aws.client("s3").meta.events.register("before-send.s3", expired)
    sandbox.aws.invocations.script(ScriptedResult(b"{}"))
    remembered, _ = remembered_in(tmp_path)
    progress = RecordedProgress()
    result = predict(aws, S3(aws.client("s3")), live.endpoint, LARGE, progress, waiter=WAITER, remembered=remembered)
    assert result.body == b"{}"
    assert "(log in again in another terminal)" in progress.text
    assert inputs(aws) == []
