"""Leading the workers of an upload: units are handed out, and count as made when a record says so and S3 has their parts."""

from __future__ import annotations

import queue
import time
from concurrent.futures import BrokenExecutor, CancelledError
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ChangedError, UploadGoneError
from sagepack.errors import RemoteError, SagepackError
from sagepack.publish.upload.unit_text import Answer
from sagepack.publish.upload.units import announced
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor, Future

    from sagepack.aws.s3 import UploadedPart
    from sagepack.publish.upload.context import UnitWorkers, UploadContext
    from sagepack.publish.upload.journal import CompletedPart
    from sagepack.publish.upload.shared import SharedUpload, UploadFolder
    from sagepack.publish.upload.unit_text import UnitRecord
    from sagepack.publish.upload.units import Unit
    from sagepack.publish.upload.verifier import ContentVerifier

LOOK = 10.0  # seconds between two looks at what S3 has
# Seconds without any new part after which workers count as gone. The largest part of a usual upload takes a minute at 10 Mbit/s.
PATIENCE = 900.0
_ATTEMPTS = 3
_FIX = "run the same command again: it continues where this one stopped, on any machine"


class Lead:
    """Hands out the units that are not made yet, and takes what comes back.

    Args:
        context: S3 and progress.
        workers: who makes the units.
        folder: where they leave records.
        upload: the multipart upload, and what S3 has of it.
        units: all units.
        texts: what a worker must know of each, by the number of its first part.
        verifier: is told the checksums of the contents.
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
        upload: SharedUpload,
        units: Sequence[Unit],
        texts: Mapping[int, str],
        verifier: ContentVerifier,
        add: Callable[[int], None],
    ) -> None:
        self.sent = 0
        self.witnessed: list[UploadedPart] = []
        self._context = context
        self._workers = workers
        self._folder = folder
        self._upload = upload
        self._texts = texts
        self._verifier = verifier
        self._add = add
        self._missing = {unit.first: unit for unit in units}
        self._counted = dict.fromkeys(self._missing, 0)
        self._attempts = dict.fromkeys(self._missing, 0)
        self._failed: dict[int, SagepackError] = {}
        self._ended: queue.Queue[Future[str] | Future[list[CompletedPart]]] = queue.Queue()
        self._moved = time.monotonic()

    def run(self, here: Future[list[CompletedPart]]) -> None:
        """Have all units made that no record in S3 says are made.

        Args:
            here: what this process does meanwhile; if it fails, this fails as well.

        Raises:
            IntegrityError, UserError, ChangedError, UploadGoneError: as the first worker says that meets it.
            RemoteError: some units failed again and again, or no part has come for long. All others are made.
        """
        total = len(self._missing)
        self._take_records(self._upload.parts)
        self._count(self._upload.parts)
        if not self._missing:
            return
        self._context.progress.note(self._announcement(total))
        with self._workers.executor() as executor:
            here.add_done_callback(self._ended.put)
            running = {
                self._submit(executor, unit): unit for unit in sorted(self._missing.values(), key=_largest_first)
            }
            try:
                while self._missing.keys() - self._failed.keys():
                    self._next(executor, running, here)
            finally:
                for future in running:
                    future.cancel()
        if self._failed:
            first = next(iter(self._failed.values()))
            raise RemoteError(
                f"{counted(len(self._failed), 'unit')} of {total} could not be made: {first.message}",
                where=first.where,
                fix=first.fix or _FIX,
                details=first.details,
            ) from first

    def _announcement(self, total: int) -> str:
        made = total - len(self._missing)
        text = announced(list(self._missing.values()), self._workers.count)
        return f"{text} (continuing: {made} of {total} were made before)" if made else text

    def _submit(self, executor: Executor, unit: Unit) -> Future[str]:
        self._attempts[unit.first] += 1
        try:
            future = executor.submit(self._workers.make, self._texts[unit.first])
        except BrokenExecutor as error:
            raise _explained(error) from error
        future.add_done_callback(self._ended.put)
        return future

    def _next(self, executor: Executor, running: dict[Future[str], Unit], here: Future[list[CompletedPart]]) -> None:
        """Wait until something ends, or it is time to look at S3."""
        try:
            ended = self._ended.get(timeout=LOOK)
        except queue.Empty:
            self._look()
            return
        if ended is here:
            here.result()
            return
        unit = running.pop(ended, None)  # type: ignore[arg-type]
        if unit is None or unit.first not in self._missing:
            return  # a record said already that it is made
        try:
            self._take(unit, _record_of(ended), is_ours=True)  # type: ignore[arg-type]
        except (ChangedError, UploadGoneError):
            raise
        except RemoteError as error:
            if isinstance(error.__cause__, BrokenExecutor):
                raise
            if self._attempts[unit.first] < _ATTEMPTS:
                running[self._submit(executor, unit)] = unit
            else:
                self._failed[unit.first] = error

    def _take(self, unit: Unit, record: UnitRecord, *, is_ours: bool) -> None:
        """Believe a record of a unit as far as it may be believed.

        Raises:
            RemoteError: it is about something else.
        """
        if not record.matches(unit):
            raise RemoteError("a worker answered about another unit")
        for index, sums in zip(unit.members, record.sums, strict=True):
            if sums is not None:
                self._verifier.learn(index, sums.value)
        if is_ours:
            self.sent += record.sent
            self.witnessed += record.sent_parts(unit)
        self._add(unit.length - self._counted[unit.first])
        self._moved = time.monotonic()
        del self._missing[unit.first]
        self._failed.pop(unit.first, None)

    def _take_records(self, listed: Mapping[int, UploadedPart]) -> None:
        """Look for units that were made, whether or not their workers could say so."""
        for first, record in self._folder.records(self._upload.handle, self._missing.keys()).items():
            unit = self._missing[first]
            if record.matches(unit) and record.agrees(unit, listed):
                self._take(unit, record, is_ours=False)

    def _look(self) -> None:
        """Look at what S3 has.

        Raises:
            UploadGoneError: there is no such upload any more.
            RemoteError: nothing has come for long.
        """
        parts = self._context.store.parts(self._upload.handle)
        if parts is None:
            raise UploadGoneError("the upload was completed or aborted", where=str(self._upload.handle.location))
        listed = {part.number: part for part in parts}
        self._take_records(listed)
        self._count(listed)
        if time.monotonic() - self._moved > PATIENCE:
            raise RemoteError(
                f"no part has come from the workers for {PATIENCE / 60:.0f} minutes: they are gone, or cannot reach S3 or the Hub",
                where=str(self._upload.handle.location),
                fix=f"look at their logs, and {_FIX}",
            )

    def _count(self, listed: Mapping[int, UploadedPart]) -> None:
        """Show the parts of units that are being made."""
        for first, unit in self._missing.items():
            there = sum(listed[number].size for number in unit.numbers if number in listed)
            if there != self._counted[first]:
                self._add(there - self._counted[first])
                self._counted[first] = there
                self._moved = time.monotonic()


def _largest_first(unit: Unit) -> int:
    return -unit.length


def _record_of(ended: Future[str]) -> UnitRecord:
    """The record in what came of a unit.

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
    return Answer.parse(answer)


def _explained(error: BaseException) -> RemoteError:
    """The error for one of whatever runs the work (a pool of processes, a cluster)."""
    if isinstance(error, BrokenExecutor):
        message = f"a worker process ended by itself, or for lack of memory: {error}"
    else:
        message = f"the work was lost: {type(error).__name__}: {error}"
    return RemoteError(message, fix=_FIX)
