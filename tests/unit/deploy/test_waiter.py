from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.logs import Tail, log_group
from sagepack.aws.session import AccessDeniedError, Aws, AwsConnection, CredentialsError, Patience
from sagepack.deploy.waiter import WaiterConfig, surviving, wait_until_stable
from sagepack.errors import RemoteError
from tests.helpers.deployments import GONE, MOMENT, FakeClock, RecordedProgress, described, spec, stubbed

if TYPE_CHECKING:
    from botocore.stub import Stubber

    from sagepack.sandbox.servers import Servers


def add_statuses(stub: Stubber, *statuses: str) -> None:
    for status in statuses:
        stub.add_response("describe_endpoint", described(status))


def event(number: int, text: str) -> dict[str, Any]:
    return {"eventId": str(number), "timestamp": 1767225600000 + number, "message": text}


def test_a_status_is_reported_when_it_changes_and_once_a_minute() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], *["Creating"] * 6, "InService")
    for _ in range(7):
        stubs["logs"].add_client_error("filter_log_events", "ResourceNotFoundException")
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert progress.notes == [
        "endpoint svd: Creating",
        "endpoint svd: Creating (1 min 00 s)",
        "endpoint svd: InService (1 min 30 s)",
    ]


def test_a_stable_endpoint_is_not_reported() -> None:
    aws, stubs = stubbed("sagemaker")
    add_statuses(stubs["sagemaker"], "InService")
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert progress.notes == []


def test_each_log_line_is_reported_once() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating", "Creating", "InService")
    one, two = event(1, "starting\n"), event(2, "Traceback\n  line 1\n")
    request = {"logGroupName": "/aws/sagemaker/Endpoints/svd", "startTime": int(MOMENT.timestamp() * 1000)}
    for events in ([one], [one, two], [one, two]):
        stubs["logs"].add_response("filter_log_events", {"events": events}, request)
    progress = RecordedProgress()
    wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert [note for note in progress.notes if "|" in note] == ["  | starting", "  | Traceback", "  |   line 1"]


def test_a_log_that_cannot_be_read_is_reported_once_and_stops_no_wait() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating", "Creating", "InService")
    stubs["logs"].add_client_error("filter_log_events", "AccessDeniedException")
    progress = RecordedProgress()
    live = wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert live is not None
    assert live.endpoint_status == "InService"
    assert progress.text.count("cannot be read: AccessDeniedException") == 1


def test_a_log_is_read_past_the_events_of_one_response() -> None:
    aws, stubs = stubbed("logs")
    many = [{**event(number, str(number)), "timestamp": 5} for number in range(1000)]
    group = "/aws/sagemaker/Endpoints/svd"
    stubs["logs"].add_response("filter_log_events", {"events": many}, {"logGroupName": group, "startTime": 5})
    rest = {"events": [event(1001, "last")]}
    stubs["logs"].add_response("filter_log_events", rest, {"logGroupName": group, "startTime": 6})
    tail = Tail(aws, log_group("svd"), 5)
    assert len(tail.lines()) == 1000
    assert tail.lines() == ["last"]


def test_waiting_for_an_endpoint_that_is_deleted_returns_none() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Deleting")
    stubs["logs"].add_client_error("filter_log_events", "ResourceNotFoundException")
    stubs["sagemaker"].add_client_error("describe_endpoint", *GONE)
    progress = RecordedProgress()
    assert wait_until_stable(aws, "svd", progress, FakeClock().waiter()) is None
    assert progress.notes[-1] == "endpoint svd: deleted (15.0 s)"


def test_the_timeout_covers_the_declared_timeouts_of_the_endpoint() -> None:
    declared = spec(model_data_download_timeout_in_seconds=3600, container_startup_health_check_timeout_in_seconds=60)
    assert WaiterConfig.of(declared).timeout == 3600 + 60 + 1800


def test_delays_double_up_to_the_configured_one_and_end_at_the_timeout() -> None:
    waiter = FakeClock().waiter(timeout=40)
    assert list(waiter.attempts()) == [0, 15, 30, 40]
    assert list(waiter.attempts(first_delay=2)) == [0, 2, 6, 14, 29, 40]


def unreachable(stub: Stubber, times: int) -> None:
    for _ in range(times):
        stub.add_client_error("describe_endpoint", "InternalFailure", "try later", http_status_code=500)


@pytest.mark.parametrize(
    ("code", "status", "advice"),
    [("InternalFailure", 500, "check the network"), ("ThrottlingException", 400, "check the network")],
)
def test_a_wait_survives_an_outage_of_less_than_half_an_hour_and_tells_it_once(
    code: str, status: int, advice: str
) -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating")
    stubs["logs"].add_client_error("filter_log_events", "ServiceUnavailableException", http_status_code=503)
    for _ in range(119):
        stubs["sagemaker"].add_client_error("describe_endpoint", code, "try later", http_status_code=status)
    add_statuses(stubs["sagemaker"], "InService")
    stubs["logs"].add_response("filter_log_events", {"events": [event(1, "started")]})
    progress = RecordedProgress()
    live = wait_until_stable(aws, "svd", progress, FakeClock().waiter())
    assert live is not None
    assert live.endpoint_status == "InService"
    assert sum("trying again, for 30 min 00 s at most" in note for note in progress.notes) == 1
    assert advice in progress.text
    assert "AWS responds again, after 29 min 45 s" in progress.notes
    assert "  | started" in progress.notes


def test_a_wait_ends_after_an_outage_of_half_an_hour_and_says_how_to_resume() -> None:
    aws, stubs = stubbed("sagemaker")
    unreachable(stubs["sagemaker"], 121)
    time = FakeClock()
    with pytest.raises(RemoteError, match="try later") as caught:
        wait_until_stable(aws, "svd", RecordedProgress(), time.waiter())
    assert time.now == 1800
    again = "AWS cannot respond now: run the command again, it continues"
    assert caught.value.fix == f"what was requested goes on in AWS; {again}"
    assert caught.value.public_type() == "RemoteError"


def test_of_blocks_that_survive_an_outage_the_outermost_counts() -> None:
    aws, stubs = stubbed("sagemaker")
    unreachable(stubs["sagemaker"], 121)
    progress, clock = RecordedProgress(), FakeClock()
    inner = dataclasses.replace(clock.waiter(), outage=60.0)
    with pytest.raises(RemoteError, match="try later") as caught, surviving(aws, progress, clock.waiter()):
        wait_until_stable(aws, "svd", progress, inner)
    assert clock.now == 1800
    assert str(caught.value.fix).count("goes on in AWS") == 1


def test_a_wait_goes_on_with_new_credentials_after_the_old_ones_have_expired(sandbox: Servers) -> None:
    connection = AwsConnection(sandbox.region, None, sandbox.aws_url, sandbox.access_key, sandbox.secret_key)
    aws, progress, clock = Aws(connection), RecordedProgress(), FakeClock()
    held = aws.client("sagemaker")
    held.list_models()

    def use(access_key: str) -> None:
        aws.connection = aws._session.connection = dataclasses.replace(connection, access_key=access_key)

    def log_in(seconds: float) -> None:
        clock.sleep(seconds)
        use(sandbox.access_key)

    use("AKIAEXPIRED")
    aws.renew_credentials()
    waiter = dataclasses.replace(clock.waiter(), sleep=log_in)
    assert wait_until_stable(aws, "none", progress, waiter) is None
    assert "log in again in another terminal" in progress.text
    assert progress.notes[-1] == "AWS responds again, after 15.0 s"
    # A client that somebody holds, as `S3` does, is not left behind with the old ones.
    assert aws.client("sagemaker") is not held
    use("AKIAEXPIRED")
    assert held.list_models()["Models"] == []


def test_credentials_that_have_never_worked_end_a_wait_at_once(sandbox: Servers) -> None:
    aws = Aws(AwsConnection(sandbox.region, None, sandbox.aws_url, "AKIAWRONG", sandbox.secret_key))
    clock = FakeClock()
    with pytest.raises(CredentialsError, match="UnrecognizedClientException"):
        wait_until_stable(aws, "none", RecordedProgress(), clock.waiter())
    assert clock.now == 0


def test_a_missing_permission_ends_a_wait_at_once() -> None:
    aws, stubs = stubbed("sagemaker")
    stubs["sagemaker"].add_client_error("describe_endpoint", "AccessDeniedException", http_status_code=403)
    time = FakeClock()
    with pytest.raises(AccessDeniedError):
        wait_until_stable(aws, "svd", RecordedProgress(), time.waiter())
    assert time.now == 0


def test_an_interrupted_wait_says_that_the_operation_goes_on_and_how_to_resume() -> None:
    aws, stubs = stubbed("sagemaker", "logs")
    add_statuses(stubs["sagemaker"], "Creating")
    stubs["logs"].add_client_error("filter_log_events", "ResourceNotFoundException")

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    progress = RecordedProgress()
    with pytest.raises(KeyboardInterrupt):
        wait_until_stable(aws, "svd", progress, dataclasses.replace(FakeClock().waiter(), sleep=interrupt))
    assert progress.notes[-1] == (
        "endpoint svd is still Creating, which goes on in AWS; run the same command again to keep waiting"
    )


def test_a_wait_survives_that_no_connection_can_be_made() -> None:
    aws = Aws(AwsConnection("us-east-1", None, "http://127.0.0.1:9", "AKIA", "s")).with_patience(Patience(attempts=1))
    time = FakeClock()
    with pytest.raises(RemoteError, match="Could not connect"):
        wait_until_stable(aws, "svd", RecordedProgress(), time.waiter())
    assert time.now == 1800
