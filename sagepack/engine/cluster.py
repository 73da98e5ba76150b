"""The workers of a running Dask cluster as a `concurrent.futures.Executor`. No other module imports `distributed`.

Dask waits without end where no worker is: for the first one, and after the last one died. Here every wait has an end, and
whatever ends of a cluster is a `RemoteError`: what was done is in S3, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
import warnings
from concurrent import futures
from concurrent.futures import CancelledError, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from sagepack.engine import worker_check
from sagepack.engine.unit_pool import UnitPool
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.text import counted, printable
from sagepack.workers import pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import distributed

    from sagepack.engine.worker_check import Demand, Problem
    from sagepack.progress import Progress
    from sagepack.spec.model import Cluster, ClusterTls

_Answer = TypeVar("_Answer")

CONNECT = 10.0  # seconds until the scheduler has answered
WAIT = 60.0  # seconds for the first worker, and those that a cluster may be without any
CHECKED = 120.0  # seconds in which a worker makes its checks
_LOOK = 2.0  # seconds between two looks at the cluster
_CLOSE = 5.0  # seconds to take leave of it
_HERE = "publish from this machine with `--set cluster=null`"
_SAME = "the same command continues: what was done is in S3"
_TLS_VARIABLES = "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ...__CLIENT__CERT and ...__CLIENT__KEY"
# What they write of a lost connection, and of work that cannot be cancelled any more, an error of this program says.
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio", "concurrent.futures")


class Worker(NamedTuple):
    """A worker and what it lacks; `host` is empty where it did not say its name."""

    address: str
    host: str
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        return f"{self.address} on {self.host}" if self.host else self.address


def pool(cluster: Cluster, root: Path, progress: Progress) -> UnitPool:
    """What makes the units of an upload: the workers of a cluster. Arguments and errors are those of `workers`."""

    def executor(demand: Demand) -> AbstractContextManager[Executor]:
        return workers(cluster, root, demand, progress)

    return UnitPool(executor, f"the workers of {cluster.scheduler}", connections=cluster.connections)


@contextmanager
def workers(cluster: Cluster, root: Path, demand: Demand, progress: Progress) -> Iterator[Executor]:
    """The workers of a cluster as an executor, once there is one and all that are there have what they need.

    What runs within the block may run twice. A result, or the error in its place, comes in bounded time.

    Args:
        cluster: as declared.
        root: the project, to which paths are relative.
        demand: what each worker must have.
        progress: says what is waited for.

    Raises:
        UserError: `distributed` is not installed, the files of TLS do not serve, or workers lack something.
        RemoteError: there is no scheduler, or no worker within a minute.
    """
    with ExitStack() as stack:
        with progress.activity(f"connecting to {cluster.scheduler}"):
            scheduler = stack.enter_context(connected(cluster, root))
        scheduler.wait_for_workers(progress)
        with progress.activity("checking what the workers of the cluster need"):
            found = scheduler.check(demand)
        if lacking := [worker for worker in found if worker.problems]:
            raise lacking_error(lacking)
        progress.note(f"{counted(len(found), 'worker')} of {cluster.scheduler} can read from the Hub and send to S3")
        yield stack.enter_context(scheduler.executor(progress))


@contextmanager
def connected(cluster: Cluster, root: Path) -> Iterator[Scheduler]:
    """A connection to the scheduler of a cluster.

    Raises:
        UserError: `distributed` is not installed, or the files of TLS do not serve.
        RemoteError: there is no scheduler at the address.
    """
    dask = _distributed()
    security = _security(dask, cluster.tls, root) if cluster.tls else None

    def connect() -> distributed.Client:
        client = dask.Client.__new__(dask.Client)
        try:
            client.__init__(cluster.scheduler, timeout=CONNECT, security=security, set_as_default=False)
        except BaseException:
            # It is connecting still, and would hold up the end of this process for 20 s, with a traceback of Dask's.
            with suppress(Exception):
                client.close(timeout=_CLOSE)
            raise
        return client

    with _explained(cluster), warnings.catch_warnings():
        # Of the versions that matter, `worker_check` says more.
        warnings.simplefilter("ignore", dask.versions.VersionMismatchWarning)
        client = _within(2 * CONNECT, connect)
    try:
        yield Scheduler(cluster.scheduler, client)
    finally:
        with suppress(Exception):  # it may be gone, and nothing is lost with it
            client.close(timeout=_CLOSE)


def _within(seconds: float, make: Callable[[], _Answer]) -> _Answer:
    """What `make` returns. Dask's own limit does not count for a scheduler that takes a connection and says nothing.

    Raises:
        TimeoutError: it did not within so many seconds; the thread that still waits does not keep the process alive.
    """
    made = Future[_Answer]()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            made.set_exception(error)

    threading.Thread(target=run, name="connect", daemon=True).start()
    return made.result(seconds)


class Scheduler:
    """A scheduler and its workers.

    Args:
        address: as declared.
        client: Dask's connection to it.
    """

    def __init__(self, address: str, client: distributed.Client) -> None:
        self._address = address
        self._client = client

    def workers(self) -> list[str]:
        """The addresses of the workers that are there.

        Raises:
            RemoteError: the scheduler does not answer.
        """

        async def ask() -> list[str]:
            return sorted(await self._client.nthreads())

        return self._ask(ask, CONNECT)

    def wait_for_workers(self, progress: Progress) -> None:
        """Wait for the first worker.

        Raises:
            RemoteError: none came within a minute.
        """
        if self.workers():
            return
        end = time.monotonic() + WAIT
        with progress.activity(f"waiting up to {WAIT:.0f} s for the first worker of {self._address}"):
            while not self.workers():
                if time.monotonic() > end:
                    raise self._no_worker()
                pause(_LOOK / 4)

    def check(self, demand: Demand) -> list[Worker]:
        """All workers and what each of them lacks, asked at the same time.

        Raises:
            RemoteError: the scheduler does not answer.
        """
        text = msgspec.json.encode(demand).decode()

        async def ask(address: str) -> Worker | None:
            run = self._client.run(worker_check.check, text, workers=[address], on_error="return")
            try:
                answers = await asyncio.wait_for(run, CHECKED)
            except asyncio.TimeoutError:
                return Worker(address, "", (_SILENT,))
            return _worker(address, answers[address]) if address in answers else None

        async def ask_all() -> list[Worker | None]:
            return await asyncio.gather(*map(ask, sorted(await self._client.nthreads())))

        return [worker for worker in self._ask(ask_all, CHECKED + CONNECT) if worker]

    @contextmanager
    def executor(self, progress: Progress) -> Iterator[Executor]:
        """The workers as an executor, which gives up when there are none any more; at the end what is not done is cancelled."""
        executor, ended = _Workers(self._address, self._client.get_executor(pure=False)), threading.Event()
        threading.Thread(target=self._watch, args=(executor, ended, progress), name="cluster", daemon=True).start()
        try:
            yield executor
        finally:
            ended.set()
            executor.shutdown(wait=False, cancel_futures=True)

    def _watch(self, executor: _Workers, ended: threading.Event, progress: Progress) -> None:
        """Look after the cluster: without a scheduler, and without a worker for a minute, nothing will come."""
        seen, is_told = time.monotonic(), False
        while not ended.wait(_LOOK):
            if self._client.status == "closed":  # Dask tried in vain to connect again
                executor.give_up(connection_lost(self._address))
                return
            lost = self._no_worker()
            try:
                if self.workers():
                    seen, is_told = time.monotonic(), False
                elif not is_told:
                    progress.note(f"no worker of {self._address} is left: waiting up to {WAIT:.0f} s for another")
                    is_told = True
            except RemoteError as error:
                lost = error
            if time.monotonic() > seen + WAIT:
                executor.give_up(lost)
                return

    def _ask(self, ask: Callable[[], Awaitable[_Answer]], seconds: float) -> _Answer:
        """What the scheduler answers.

        Raises:
            RemoteError: it did not, within so many seconds, or it is gone.
        """
        try:
            answer: _Answer = self._client.sync(ask, callback_timeout=seconds)
        except Exception as error:
            # Dask, tornado and asyncio have classes of their own for a connection that is gone.
            raise RemoteError("the scheduler does not answer", where=self._address, fix=_SAME) from error
        return answer

    def _no_worker(self) -> RemoteError:
        fix = f"{start_workers(self._address)}, or {_HERE}; {_SAME}"
        return RemoteError(f"the cluster has no worker, and had none for {WAIT:.0f} s", where=self._address, fix=fix)


def connection_lost(address: str) -> RemoteError:
    """The error for work whose scheduler is gone."""
    fix = f"start it again if it ended; {_SAME}"
    return RemoteError("the connection to the scheduler is lost, or it ended", where=address, fix=fix)


def start_workers(address: str) -> str:
    """What starts a worker."""
    return f"start workers: `dask worker {address} --nthreads 1 --memory-limit 0`"


_SILENT = worker_check.Problem(
    f"it did not answer within {CHECKED:.0f} s",
    "end it if it hangs: what it holds is given to others only after `worker-ttl`",
)


def _worker(address: str, answer: Any) -> Worker | None:
    """What a worker said: a report, or the error with which Dask failed to ask it; None for one that ended meanwhile."""
    if isinstance(answer, OSError):
        return None
    if isinstance(answer, str):
        report = msgspec.json.decode(answer, type=worker_check.Report)
        return Worker(address, report.host, report.problems)
    if _is_import(answer):
        problem = worker_check.Problem(
            printable(f"it has no sagepack, or another version: {answer}"), worker_check.installation()
        )
    else:
        problem = worker_check.Problem(printable(f"unexpected {type(answer).__name__}: {answer}"), "look at its log")
    return Worker(address, "", (problem,))


def _is_import(error: BaseException) -> bool:
    """Whether a worker could not import what it was given. Dask sends an error that it cannot pickle as the text of one."""
    return isinstance(error, ImportError) or str(error).startswith(("ModuleNotFoundError(", "ImportError("))


def lacking_error(lacking: Sequence[Worker]) -> UserError:
    """The error that names every worker which lacks something; those that lack the same share a line."""
    by_problem: dict[Problem, list[str]] = {}
    for worker in lacking:
        for problem in worker.problems:
            by_problem.setdefault(problem, []).append(str(worker))
    lines = []
    for problem, names in by_problem.items():
        lines += [f"{', '.join(names)}: {problem.message}", *([f"  {problem.fix}"] if problem.fix else [])]
    fix = f"correct them, end them, or {_HERE}"
    return UserError(
        f"{counted(len(lacking), 'worker')} of the cluster cannot publish, so no unit was handed out",
        details=lines,
        fix=fix,
    )


def _distributed() -> Any:
    """The module `distributed`, which from now on writes no log of its own here."""
    try:
        import distributed
        import distributed.versions
    except ImportError as error:
        fix = f"`pip install 'sagepack[cluster]'`, or {_HERE}"
        raise UserError(
            f"a cluster takes distributed, which cannot be imported: {error}", where="cluster", fix=fix
        ) from error
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed


def _security(distributed: Any, tls: ClusterTls, root: Path) -> distributed.Security:
    """The files of TLS.

    Raises:
        UserError: one is not there.
    """
    names = {"ca": tls.ca, "cert": tls.cert, **({"key": tls.key} if tls.key else {})}
    for key, name in names.items():
        if not (root / name).is_file():
            raise UserError(
                f"there is no file {name!r} on this machine",
                where=f"cluster.tls.{key}",
                fix=f"put it there, or {_HERE}",
            )
    paths = {key: str(root / name) for key, name in names.items()}
    return distributed.Security(
        require_encryption=True, tls_ca_file=paths["ca"], tls_client_cert=paths["cert"], tls_client_key=paths.get("key")
    )


@contextmanager
def _explained(cluster: Cluster) -> Iterator[None]:
    """Explain why there is no connection to the scheduler.

    Raises:
        UserError: it is a matter of TLS.
        RemoteError: nobody answers, or not in Dask's protocol.
    """
    try:
        yield
    except SagepackError:
        raise
    except Exception as error:
        where = f"cluster.scheduler, {cluster.scheduler}"
        if (refused := _refusal(error, is_tls=cluster.scheduler.startswith("tls"))) is not None:
            raise UserError(printable(refused[0]), where=where, fix=refused[1]) from error
        if isinstance(error.__cause__, ConnectionError):
            fix = f"if it takes TLS, write tls://; else look at its log, or {_HERE}"
            raise RemoteError("the scheduler closed the connection", where=where, fix=fix) from error
        fix = f"start it (`dask scheduler`), correct the address, or {_HERE}"
        raise RemoteError("no scheduler answers there", where=where, fix=fix) from error


def _refusal(error: Exception, *, is_tls: bool) -> tuple[str, str] | None:
    """What is wrong with TLS or its certificates, and what to do; None if they are not the matter.

    Dask tells it by Python's classes, and by words of its own and of tornado's.
    """
    cause, text = error.__cause__, str(error)
    if "encryption required" in text:
        fix = "write tls://, or unset DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION here"
        return "Dask's settings on this machine require TLS", fix
    if isinstance(error, TypeError):
        return "TLS takes certificates, and none are declared", f"set cluster.tls, or {_TLS_VARIABLES}"
    if isinstance(error, ssl.SSLError):
        fix = "all are PEM, and cluster.tls.key, or the file of cluster.tls.cert, has the key of that certificate"
        return f"the files of cluster.tls do not serve: {text}", fix
    return _refused_by_peer(text, cause) if is_tls or isinstance(cause, ssl.SSLError) else None


def _refused_by_peer(text: str, cause: BaseException | None) -> tuple[str, str] | None:
    """The same, of a connection by TLS that failed once it was there."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        fix = "give the certificates of the authority that signed the scheduler's"
        return f"the scheduler's certificate is not one of cluster.tls.ca: {cause.verify_message}", fix
    if "convert to SSL" in text or getattr(cause, "reason", "") == "WRONG_VERSION_NUMBER":
        fix = "start it with `--protocol tls`, or write tcp:// without cluster.tls if it is on this machine"
        return "the scheduler does not speak TLS", fix
    if isinstance(cause, (ssl.SSLError, ConnectionError)):
        fix = "set cluster.tls.cert to one that the authority of scheduler and workers signed; or look at the scheduler's log"
        return "the scheduler closes the connection, as if it does not accept this machine's certificate", fix
    return None


class _Workers(Executor):
    """Dask's own executor, with results that come in bounded time and errors that are those of this program."""

    def __init__(self, address: str, inner: Executor) -> None:
        self._address = address
        self._inner = inner
        self._lock = threading.Lock()
        self._open: set[Future[Any]] = set()  # handed out, and not done
        self._lost: RemoteError | None = None

    def submit(self, task: Callable[..., _Answer], /, *args: Any, **kwargs: Any) -> Future[_Answer]:
        """Let a worker call `task`, a function of an importable module. It may be called twice."""
        outer = Future[_Answer]()
        try:
            inner = self._inner.submit(task, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the client has closed itself, with a class of its own
            outer.set_exception(self._error_of(error))
            return outer
        with self._lock:
            lost = self._lost
            self._open.add(outer)
        outer.add_done_callback(lambda _: inner.cancel())  # without effect on one that is done
        inner.add_done_callback(lambda _: self._settle(outer, inner))
        if lost is not None:
            self._fail(outer, lost)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what is not done, if that is wanted: workers end the unit that they are at."""
        with self._lock:
            handed = set(self._open)
            if cancel_futures:
                self._open.clear()
        if cancel_futures:
            with suppress(Exception):  # the connection may be lost, and with it the work
                self._inner.shutdown(wait=False)  # all of them in one message
            for outer in handed:
                outer.cancel()
        elif wait:
            futures.wait(handed)

    def give_up(self, lost: RemoteError) -> None:
        """End what is waited for, and whatever is submitted from now on, with an error."""
        with self._lock:
            self._lost, handed = lost, list(self._open)
        for outer in handed:
            self._fail(outer, lost)

    def _settle(self, outer: Future[_Answer], inner: Future[_Answer]) -> None:
        """Hand on a result."""
        if inner.cancelled():
            self._fail(outer, self._error_of(CancelledError()))
        elif error := inner.exception():
            self._fail(outer, self._error_of(error))
        elif self._is_waited_for(outer):
            outer.set_result(inner.result())

    def _fail(self, outer: Future[Any], error: SagepackError) -> None:
        if self._is_waited_for(outer):
            outer.set_exception(error)

    def _is_waited_for(self, outer: Future[Any]) -> bool:
        """Whether its result is to be set: several threads may end a future, and the first that asks does."""
        with self._lock:
            is_first = outer in self._open
            self._open.discard(outer)
        return is_first and outer.set_running_or_notify_cancel()

    def _error_of(self, error: BaseException) -> SagepackError:
        """What a worker raised, or what became of the worker."""
        if isinstance(error, SagepackError):
            return error
        if isinstance(error, CancelledError) or type(error).__name__ == "ClosedClientError":
            return connection_lost(self._address)
        killed: Any = error
        if type(error).__name__ == "KilledWorker":
            message = f"{counted(killed.allowed_failures + 1, 'worker')} ended while they made the same unit"
            where, fix = str(killed.last_worker.address), f"look at their logs; they may need more memory. Then {_SAME}"
        elif _is_import(error):
            message, where = printable(f"a worker has no sagepack, or another version: {error}"), self._address
            fix = f"{worker_check.installation()}; {_SAME}"
        else:
            message, where = printable(f"a worker cannot do its work: {type(error).__name__}: {error}"), self._address
            fix = f"look at its log; {_SAME}"
        return RemoteError(message, where=where, fix=fix)
