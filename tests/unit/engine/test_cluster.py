"""The workers of a cluster as an executor: results come in bounded time, and every error says what to do."""

from __future__ import annotations

import ssl
import sys
import time
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.engine import cluster, preflight, worker_check
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.spec.model import Cluster, ClusterTls

if TYPE_CHECKING:
    from pathlib import Path

ADDRESS = "tcp://127.0.0.1:8786"


UNIMPORTED = ModuleNotFoundError("No module named 'sagepack'")
UNPICKLED = Exception(repr(UNIMPORTED))  # so Dask sends an error that it cannot pickle


class KilledWorker(Exception):  # noqa: N818 - Dask's name
    """As Dask's, which is told by its name: nothing but the adapter may import Dask."""

    allowed_failures = 3
    last_worker = SimpleNamespace(address="tcp://10.0.0.7:41234")


class ClosedClientError(Exception):
    """As Dask's."""


class Held(Executor):
    """Keeps what is submitted, for the test to end."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def submit(self, _task: Any, /, *_args: Any, **_options: Any) -> Future[Any]:
        self.futures.append(Future())
        return self.futures[-1]


def test_a_result_and_an_error_of_this_program_pass() -> None:
    inner = Held()
    workers = cluster._Workers(ADDRESS, inner)
    first, second = workers.submit(str, "a"), workers.submit(str, "b")
    inner.futures[0].set_result("made")
    inner.futures[1].set_exception(IntegrityError("other bytes"))
    assert first.result(0) == "made"
    assert isinstance(second.exception(0), IntegrityError)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KilledWorker(), "4 workers ended while they made the same unit"),
        (CancelledError(), "the connection to the scheduler is lost"),
        (ClosedClientError("Client is closed"), "the connection to the scheduler is lost"),
        (ValueError("x"), "a worker cannot do its work: ValueError: x"),
        (UNIMPORTED, "a worker has no sagepack, or another version"),
        (UNPICKLED, "a worker has no sagepack, or another version"),
    ],
)
def test_what_becomes_of_a_worker_or_a_scheduler_is_a_failure_after_which_the_same_command_continues(
    error: BaseException, message: str
) -> None:
    inner = Held()
    future = cluster._Workers(ADDRESS, inner).submit(str, "a")
    inner.futures[0].set_exception(error)
    found = future.exception(0)
    assert isinstance(found, RemoteError)
    assert message in found.message
    assert "the same command continues" in str(found.fix)


def test_dask_cancels_the_work_of_a_client_that_lost_its_scheduler() -> None:
    inner = Held()
    future = cluster._Workers(ADDRESS, inner).submit(str, "a")
    inner.futures[0].cancel()
    assert "the connection to the scheduler is lost" in str(future.exception(0))


def test_an_executor_that_gave_up_fails_what_is_open_and_what_comes_later_and_cancels_it_at_dask() -> None:
    inner = Held()
    workers = cluster._Workers(ADDRESS, inner)
    done, before = workers.submit(str, "a"), workers.submit(str, "b")
    inner.futures[0].set_result("made")
    lost = cluster.connection_lost(ADDRESS)
    workers.give_up(lost)
    assert workers.submit(str, "c").exception(0) is lost
    assert before.exception(0) is lost
    assert done.result(0) == "made"
    assert [future.cancelled() for future in inner.futures] == [False, True, True]


def test_at_its_end_an_executor_cancels_what_is_open_and_reports_none_of_it_as_a_failure() -> None:
    inner = Held()
    workers = cluster._Workers(ADDRESS, inner)
    future = workers.submit(str, "a")
    workers.shutdown(wait=False, cancel_futures=True)
    assert future.cancelled()
    assert inner.futures[0].cancelled()


def test_a_work_that_cannot_be_handed_in_fails_by_its_future() -> None:
    class Closed(Held):
        def submit(self, _task: Any, /, *_args: Any, **_options: Any) -> Future[Any]:
            raise ClosedClientError

    assert "is lost" in str(cluster._Workers(ADDRESS, Closed()).submit(str, "a").exception(0))


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def refusal(error: Exception, cause: Exception | None = None) -> SagepackError:
    error.__cause__ = cause
    with pytest.raises(SagepackError) as raised, cluster._explained(Cluster(ADDRESS)):
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("error", "cause", "kind", "message"),
    [
        (TypeError("TLS expects a `ssl_context`"), None, UserError, "none are declared"),
        (OSError("x"), untrusted(), UserError, "is not one of cluster.tls.ca"),
        (ssl.SSLError(1, "PEM lib"), None, UserError, "do not serve: "),
        (RuntimeError("encryption required by Dask configuration"), None, UserError, "on this machine require TLS"),
        (OSError("x"), ssl.SSLEOFError(), UserError, "does not accept this machine's certificate"),
        (OSError("x"), ConnectionResetError(), RemoteError, "the scheduler closed the connection"),
        (OSError("Timed out"), TimeoutError(), RemoteError, "no scheduler answers there"),
        (AssertionError(), None, RemoteError, "no scheduler answers there"),
    ],
)
def test_a_connection_that_fails_says_why_where_and_what_to_do(
    error: Exception, cause: Exception | None, kind: type[SagepackError], message: str
) -> None:
    found = refusal(error, cause)
    assert type(found) is kind
    assert message in found.message
    assert ADDRESS in str(found.where)
    assert found.fix


def test_a_connection_by_tls_that_is_closed_is_a_matter_of_the_certificate() -> None:
    error = OSError("x")
    error.__cause__ = ConnectionResetError()
    with pytest.raises(UserError, match="accept this machine's certificate"), cluster._explained(Cluster("tls://a:1")):
        raise error


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ValueError("IOStream is not idle; cannot convert to SSL"), None),
        (OSError("x"), ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
    ],
)
def test_a_scheduler_without_tls_is_told_as_one(error: Exception, cause: ssl.SSLError | None) -> None:
    if cause:
        cause.reason = "WRONG_VERSION_NUMBER"
    error.__cause__ = cause
    with pytest.raises(UserError, match="does not speak TLS") as raised, cluster._explained(Cluster("tls://a:1")):
        raise error
    assert "--protocol tls" in str(raised.value.fix)


def test_a_client_that_could_not_connect_is_closed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Client:
        def __init__(self, *_: object, **__: object) -> None:
            raise TypeError("TLS expects a `ssl_context`")

        def close(self, timeout: float) -> None:
            closed.append(timeout)

    versions = SimpleNamespace(VersionMismatchWarning=Warning)
    monkeypatch.setattr(cluster, "_distributed", lambda: SimpleNamespace(Client=Client, versions=versions))
    with pytest.raises(UserError, match="none are declared"), cluster.connected(Cluster("tls://a:1"), tmp_path):
        pass
    assert closed == [cluster._CLOSE]


def test_without_the_extra_a_cluster_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="cannot be imported") as raised, cluster.connected(Cluster(ADDRESS), tmp_path):
        pass
    assert "sagepack[cluster]" in str(raised.value.fix)


def test_a_file_of_tls_that_is_not_there_is_named_by_its_key(tmp_path: Path) -> None:
    tls = ClusterTls("ca.pem", "client.pem")
    (tmp_path / "ca.pem").touch()
    with pytest.raises(UserError) as raised:
        cluster._security(SimpleNamespace(), tls, tmp_path)
    assert raised.value.where == "cluster.tls.cert"


def test_a_scheduler_that_takes_a_connection_and_says_nothing_is_given_up() -> None:
    begun = time.monotonic()
    with pytest.raises(futures.TimeoutError):
        cluster._within(0.05, lambda: time.sleep(1))
    assert time.monotonic() - begun < 0.9


def worker(name: str, *messages: str) -> cluster.Worker:
    return cluster.Worker(
        f"tcp://{name}:1", name, tuple(worker_check.Problem(each, f"mend {each}") for each in messages)
    )


def test_workers_that_lack_the_same_share_a_line_and_none_is_left_out() -> None:
    error = cluster.lacking_error([worker("a", "memory"), worker("b", "memory", "bucket")])
    assert error.details == (
        "tcp://a:1 on a, tcp://b:1 on b: memory",
        "  mend memory",
        "tcp://b:1 on b: bucket",
        "  mend bucket",
    )
    assert "2 workers of the cluster cannot publish, so no unit was handed out" in error.message
    assert "--set cluster=null" in str(error.fix)


def test_doctor_judges_the_workers_that_are_there() -> None:
    assert preflight.judge_workers(ADDRESS, [worker("a")]).verdict == "ok"
    assert preflight.judge_workers(ADDRESS, []).verdict == "warning"
    failed = preflight.judge_workers(ADDRESS, [worker("a"), worker("b", "bucket")])
    assert (failed.verdict, failed.detail) == ("failed", "tcp://b:1 on b: bucket; mend bucket")


def test_an_answer_that_is_no_report_is_told_as_what_it_means() -> None:
    gone = cluster._worker("tcp://a:1", OSError("closed"))
    broken = cluster._worker("tcp://a:1", ValueError("x"))
    assert gone is None
    for error in (UNIMPORTED, UNPICKLED):
        other = cluster._worker("tcp://a:1", error)
        assert other
        assert "it has no sagepack, or another version" in other.problems[0].message
        assert "sagepack[cluster]==" in str(other.problems[0].fix)
    assert broken
    assert "unexpected ValueError: x" in broken.problems[0].message
