"""Leading the workers of an upload: units are handed out, and count as made when a record says so and S3 has their parts."""

from __future__ import annotations

import queue
import time
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sagepack.aws.s3 import ChangedError, UploadGoneError
from sagepack.errors import RemoteError, SagepackError
from sagepack.publish.upload.unit_text import Answer
from sagepack.publish.upload.units import announced
from sagepack.text import counted
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from sagepack.aws.s3 import MultipartHandle, UploadedPart
    from sagepack.publish.upload.context import UnitWorkers, UploadContext
    from sagepack.publish.upload.shared import UploadFolder
    from sagepack.publish.upload.sources import Tally
    from sagepack.publish.upload.unit_text import UnitRecord, UnitTask
    from sagepack.publish.upload.units import Unit

LOOK = 10.0  # seconds between two looks at what S3 has
# Seconds without any new part after which workers count as gone. The largest part of a usual upload takes a minute at 10 Mbit/s.
PATIENCE = 900.0
_ATTEMPTS = 3
_LOOKED_AT = 64  # uploads at a time: of files, those that were handed out first are being made
_THREADS = 16
_FIX = "run the same command again: it continues where this one stopped, on any machine"


@dataclass(frozen=True)
class Job:
    """A unit that is to be made.

    Attributes:
        unit: the unit.
        task: what a worker must know of it.
        there: what S3 has of its upload when this begins, by number of the part.
    """

    unit: Unit
    task: UnitTask
    there: Mapping[int, UploadedPart]


class _PoolError(RemoteError):
    """A process of a pool ended, and with it the pool: none of its work comes back any more."""


class Owner(Protocol):
    """Whose units they are."""

    def made(self, job: Job, record: UnitRecord, *, is_ours: bool) -> None:
        """A unit is made, as far as its record says.

        Args:
            job: the unit.
            record: of the unit.
            is_ours: whether a worker of this run answered with it; it is a claim if it was found in S3.
        """

    def gone(self, job: Job, error: UploadGoneError) -> None:
        """The upload of a unit does not exist any more.

        Raises:
            UploadGoneError: and what it was to make is not there.
        """


class Lead:
    """Hands out the units that are not made yet, and takes what comes back.

    Args:
        context: S3 and progress.
        workers: who makes the units.
        folder: where they leave records.
        jobs: all units.
        owner: is told what comes of them.
        add: is called with the bytes that are in their place.

    Attributes:
        sent: bytes that workers sent for this run.
        witnessed: the parts that workers sent for this run, with the ETags that S3 answered them.
    """

    def __init__(
        self,
        context: UploadContext,
        workers: UnitWorkers,
        folder: UploadFolder,
        jobs: Sequence[Job],
        owner: Owner,
        add: Callable[[int], None],
    ) -> None:
        self.sent = 0
        self.witnessed: list[UploadedPart] = []
        self._context = context
        self._workers = workers
        self._folder = folder
        self._owner = owner
        self._add = add
        # By the key of the record, the largest first: so the last round is a short one.
        self._missing = {job.task.record: job for job in sorted(jobs, key=_largest_first)}
        self._counted = dict.fromkeys(self._missing, 0)
        self._attempts = dict.fromkeys(self._missing, 0)
        self._failed: dict[str, SagepackError] = {}
        self._ended: queue.Queue[Future[Any]] = queue.Queue()
        self._moved = time.monotonic()

    def run(self, here: Future[Any]) -> None:
        """Have all units made that no record in S3 says are made.

        Args:
            here: what this process does meanwhile; if it fails, this fails as well.

        Raises:
            IntegrityError, UserError, ChangedError, UploadGoneError: as the first worker says that meets it.
            RemoteError: some units failed again and again, or no part has come for long. All others are made.
        """
        total = len(self._missing)
        there = {record: job.there for record, job in self._missing.items()}
        self._take_records(there)
        self._count(there)
        if not self._missing:
            return
        self._context.progress.note(self._announcement(total))
        here.add_done_callback(self._ended.put)
        self._until_made(here)
        if self._failed:
            first = next(iter(self._failed.values()))
            raise RemoteError(
                f"{counted(len(self._failed), 'unit')} of {total} could not be made: {first.message}",
                where=first.where,
                fix=first.fix or _FIX,
                details=first.details,
            ) from first

    def _until_made(self, here: Future[Any]) -> None:
        """Have all units made that do not fail; processes that end take their pool with them, and a new one makes what is left.

        Raises:
            RemoteError: pool after pool broke, and none of them made a unit.
        """
        broken, left = 0, len(self._missing)
        while self._left:
            try:
                with self._workers.executor() as executor:
                    self._hand_out(executor, here)
            except _PoolError as error:  # noqa: PERF203 - once for each pool
                self._look()  # a unit may be made whose worker could not say so
                broken, left = (broken + 1 if len(self._missing) == left else 1), len(self._missing)
                if broken == _ATTEMPTS:
                    raise
                self._context.progress.note(f"{error.message}; others go on")

    @property
    def _left(self) -> list[Job]:
        """The units that are neither made nor given up."""
        return [job for key, job in self._missing.items() if key not in self._failed]

    def _hand_out(self, executor: Executor, here: Future[Any]) -> None:
        running: dict[Future[str], Job] = {}
        try:
            for job in self._left:
                running[self._submit(executor, job)] = job
            while self._left:
                self._next(executor, running, here)
        except _PoolError:
            for future, job in running.items():
                if future.done() and job.task.record in self._missing:
                    with suppress(RemoteError):  # it went with the pool, and is made again
                        self._answered(job, _record_of(future, job.unit, self._workers.fetched))
            raise
        finally:
            for future in running:
                future.cancel()

    def _announcement(self, total: int) -> str:
        made = total - len(self._missing)
        text = announced([job.unit for job in self._missing.values()], self._workers.count)
        return f"{text} (continuing: {made} of {total} were made before)" if made else text

    def _submit(self, executor: Executor, job: Job) -> Future[str]:
        try:
            future = executor.submit(self._workers.make, job.task.text())
        except BrokenExecutor as error:
            raise _explained(error) from error
        future.add_done_callback(self._ended.put)
        return future

    def _next(self, executor: Executor, running: dict[Future[str], Job], here: Future[Any]) -> None:
        """Wait until something ends, or it is time to look at S3."""
        try:
            ended = self._ended.get(timeout=LOOK)
        except queue.Empty:
            self._look()
            return
        if ended is here:
            here.result()
            return
        job = running.pop(ended, None)
        if job is None or job.task.record not in self._missing:
            return  # a record said already that it is made
        try:
            record = _record_of(ended, job.unit, self._workers.fetched)
        except ChangedError:
            raise
        except UploadGoneError as error:
            self._gone(job, error)
        except _PoolError:
            raise
        except RemoteError as error:
            self._attempts[job.task.record] += 1
            if self._attempts[job.task.record] < _ATTEMPTS:
                running[self._submit(executor, job)] = job
            else:
                self._failed[job.task.record] = error
        else:
            self._answered(job, record)

    def _answered(self, job: Job, record: UnitRecord) -> None:
        """Take what a worker of this run has made."""
        self.sent += record.sent
        self.witnessed += record.sent_parts(job.unit)
        self._take(job, record, is_ours=True)

    def _take(self, job: Job, record: UnitRecord, *, is_ours: bool) -> None:
        self._owner.made(job, record, is_ours=is_ours)
        self._done(job)

    def _gone(self, job: Job, error: UploadGoneError) -> None:
        self._owner.gone(job, error)
        self._done(job)

    def _done(self, job: Job) -> None:
        self._add(job.unit.length - self._counted[job.task.record])
        self._moved = time.monotonic()
        del self._missing[job.task.record]
        self._failed.pop(job.task.record, None)

    def _take_records(self, listed: Mapping[str, Mapping[int, UploadedPart]]) -> None:
        """Look for units that were made, whether or not their workers could say so.

        Args:
            listed: what S3 has of the uploads of units, by the keys of their records.
        """
        for key, record in self._folder.records(listed.keys()).items():
            job = self._missing[key]
            if record.matches(job.unit) and record.agrees(job.unit, listed[key]):
                self._take(job, record, is_ours=False)

    def _look(self) -> None:
        """Look at what S3 has of the units that are being made.

        Raises:
            UploadGoneError: an upload does not exist any more, and neither does what it was to make.
            RemoteError: nothing has come for long.
        """
        jobs = list(self._missing.values())
        handles = list(dict.fromkeys(job.task.handle for job in jobs))[:_LOOKED_AT]
        with worker_pool(_THREADS, "look") as pool:
            found = dict(zip(handles, pool.map(self._parts, handles), strict=True))
        listed = {}
        for job in jobs:
            handle = job.task.handle
            parts = found.get(handle)
            if parts is not None:
                listed[job.task.record] = parts
            elif handle in found:
                self._gone(job, UploadGoneError("the upload was completed or aborted", where=str(handle.location)))
        self._take_records(listed)
        self._count(listed)
        if time.monotonic() - self._moved > PATIENCE:
            raise RemoteError(
                f"no part has come from the workers for {PATIENCE / 60:.0f} minutes: they are gone, or cannot reach S3 or the Hub",
                fix=f"look at their logs, and {_FIX}",
            )

    def _parts(self, upload: MultipartHandle) -> dict[int, UploadedPart] | None:
        parts = self._context.store.parts(upload)
        return None if parts is None else {part.number: part for part in parts}

    def _count(self, listed: Mapping[str, Mapping[int, UploadedPart]]) -> None:
        """Show the parts of units that are being made."""
        for key, parts in listed.items():
            if key in self._missing:
                there = sum(parts[number].size for number in self._missing[key].unit.numbers if number in parts)
                if there != self._counted[key]:
                    self._add(there - self._counted[key])
                    self._counted[key] = there
                    self._moved = time.monotonic()


def _largest_first(job: Job) -> int:
    return -job.unit.length


def _record_of(ended: Future[Any], unit: Unit, fetched: Tally) -> UnitRecord:
    """The record in what came of a unit, whose bytes from the Hub are counted.

    Raises:
        SagepackError: as the worker says.
        RemoteError: what runs the work failed, not the work.
    """
    try:
        answer = ended.result()
    except SagepackError:
        raise
    except (Exception, CancelledError) as error:
        raise _explained(error) from error
    record, bytes_fetched = Answer.parse(answer)
    if not record.matches(unit):
        raise RemoteError("a worker answered about another unit")
    fetched.add(bytes_fetched)
    return record


def _explained(error: BaseException) -> RemoteError:
    """The error for one of whatever runs the work (a pool of processes, a cluster)."""
    if isinstance(error, BrokenExecutor):
        return _PoolError("a worker process was killed, or ended for lack of memory", fix=_FIX, details=[str(error)])
    return RemoteError(f"the work was lost: {type(error).__name__}: {error}", fix=_FIX)
