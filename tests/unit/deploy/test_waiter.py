from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.logs import Tail
from sagepack.deploy.waiter import WaiterConfig, wait_until_stable
from tests.helpers.deployments import GONE, MOMENT, FakeClock, RecordedProgress, described, spec, stubbed

if TYPE_CHECKING:
    from botocore.stub import Stubber


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
    tail = Tail(aws, "svd", 5)
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
