"""The parts of one multipart upload: S3 copies them, or they are made, checked and sent, several at a time."""

from __future__ import annotations

import threading
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.publish.delta.parts import Copy, SentPart
from sagepack.publish.upload.buffers import Buffers
from sagepack.publish.upload.journal import CompletedPart
from sagepack.publish.upload.proof import SourceError
from sagepack.publish.upload.sources import StoredContents, choose
from sagepack.publish.upload.verifier import ContentVerifier
from sagepack.workers import memory_share, worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from sagepack.aws.s3 import S3, ObjectRef
    from sagepack.digest import Digest
    from sagepack.publish.delta.parts import Part
    from sagepack.publish.upload.journal import JournalState, PartLog, UploadSession
    from sagepack.publish.upload.part_body import ContentRange, UploadTarget
    from sagepack.publish.upload.sources import Source

_COPIES = 64  # at a time: they hold no memory, and S3 takes seconds for a large one


@dataclass(frozen=True)
class CopyTask:
    """A part that S3 is to copy; `number` is that of the part, from 1."""

    number: int
    part: Copy


@dataclass(frozen=True)
class SendTask:
    """A part that is to be sent.

    Attributes:
        number: of the part, from 1.
        part: its place in the object.
        before: the same part as an earlier run sent it: it is made again to be checked, and sent only if it differs.
    """

    number: int
    part: SentPart
    before: CompletedPart | None = None


@dataclass(frozen=True)
class PartResult:
    """A part that is done, and the bytes that this run sent or had S3 copy for it."""

    completed: CompletedPart
    sent: int = 0
    copied: int = 0


class PartTransfer:
    """Does what is not done of the parts of one upload session: all parts of an object, or those of a unit of it.

    A part that is sent is held in memory, so large parts have fewer workers; those that S3 copies have threads of their own.

    A part that waits, for its turn in a content's SHA-256 or for the checksums of all contents, waits only for parts that
    were submitted before it, and the pool starts them in that order. So what is waited for is running, and there is no
    deadlock. Parts go into the journal in the thread that did them, as soon as S3 has them: a kill loses the fewest.

    Args:
        store: S3.
        sources: where contents come from of which S3 copies nothing, the best first.
        workers: parts that are sent at a time, fewer where the memory holds no more.
        target: the object.
        state: the session, and what of it is done.
        log: is told of each part that S3 has.
        copied_from: contents of which S3 copies a part, so that their other bytes come from the same object.
        elsewhere: numbers of the parts that others make.

    Attributes:
        verifier: collects what is known of the contents.
        sent, copied: bytes that this run sent, and had S3 copy.
    """

    def __init__(
        self,
        store: S3,
        sources: Sequence[Source],
        workers: int,
        target: UploadTarget,
        state: JournalState,
        log: PartLog,
        copied_from: StoredContents,
        elsewhere: Collection[int] = (),
    ) -> None:
        self.verifier = ContentVerifier(target, state.session.known)
        self.sent = self.copied = 0
        self._store = store
        self._sources = sources
        self._workers = workers
        self._target = target
        self._state = state
        self._session = state.session
        self._log = log
        self._elsewhere = elsewhere
        self._buffers = Buffers()
        # Half of the workers read while the others send: the first part then is ready early, and the last soon sent.
        self._reading = threading.Semaphore(max(1, workers // 2))
        self._copied_from = copied_from

    def run(self, add: Callable[[int], None]) -> list[CompletedPart]:
        """Do the parts in parallel; the first failure ends them all.

        Args:
            add: is called with the bytes that are in their place, those that were there before included.

        Returns:
            All parts of the session but those that others make, in order.
        """
        session = self._session
        copies, sends = self._tasks()
        largest = max((task.part.length for task in sends), default=1)
        workers = max(1, min(self._workers, memory_share() // largest))
        done = dict(self._state.done)
        todo = {*(task.number for task in copies), *(task.number for task in sends)}
        with worker_pool(workers, "send") as sending, worker_pool(_COPIES, "copy") as copying:
            add(sum(part.length for number, part in self._parts() if number not in todo))
            try:
                futures = [copying.submit(self._copy, task) for task in copies]
                futures += [sending.submit(self._send, task) for task in sends]
                for future in as_completed(futures):
                    result = future.result()
                    done[result.completed.number] = result.completed
                    self.sent += result.sent
                    self.copied += result.copied
                    add(session.parts[result.completed.number - session.first].length)
            except BaseException:
                self.verifier.stop()
                raise
        return [done[number] for number in sorted(done)]

    def _parts(self) -> Iterator[tuple[int, Part]]:
        """The parts that are to be done here, with their numbers."""
        for number, part in enumerate(self._session.parts, self._session.first):
            if number not in self._elsewhere:
                yield number, part

    def _tasks(self) -> tuple[list[CopyTask], list[SendTask]]:
        """What is not done."""
        copies, sends = [], []
        for number, part in self._parts():
            before = self._state.done.get(number)
            if isinstance(part, Copy):
                if before is None:
                    copies.append(CopyTask(number, part))
                continue
            touched = self._target.members_in(part.offset, part.offset + part.length)
            if before is None or any(self._must_hash(index) for index in touched):
                sends.append(SendTask(number, part, before))
            else:
                for content_range in before.ranges:
                    self.verifier.add(content_range)
        return copies, sends

    def _must_hash(self, index: int) -> bool:
        """Whether a content must be hashed: all of it is sent, and no earlier run has hashed it to its end."""
        return index not in self._state.verified and self._session.known[index] is None

    def _copy(self, task: CopyTask) -> PartResult:
        session, part = self._session, task.part
        stored = self._store.send_copy(
            session.upload, task.number, session.sources[part.source], part.source_offset, part.length
        )
        completed = CompletedPart(task.number, stored.etag, stored.checksum)
        self._log.add(completed)
        return PartResult(completed, copied=part.length)

    def _send(self, task: SendTask) -> PartResult:
        data = self._buffers.take(task.part.length)
        result = self._send_from(data, task)
        # After a failure the buffer may still be in use by the request, and is not given back.
        self._buffers.give(data)
        return result

    def _send_from(self, data: bytearray, task: SendTask) -> PartResult:
        """Make a part in `data`, check it, and send it, unless an earlier run sent the same bytes."""
        session, part, ranges = self._session, task.part, []
        with self._reading:
            written, sums = self._target.write(data, part.offset, self._open)
        for content_range, views in written:
            if self._must_hash(content_range.index) and self._verify(content_range, views):
                self._log.verified(content_range.index)
            self.verifier.add(content_range)
            ranges.append(content_range)
        if part.offset + part.length > self._target.trailer_offset:
            sums += self._target.write_trailer(data, part.offset, self.verifier.wait())
        checksum = sums.value(session.algorithm)
        if task.before is not None and task.before.checksum == checksum:
            return PartResult(task.before)
        etag = self._store.send(session.upload, task.number, data, session.algorithm, checksum).etag
        completed = CompletedPart(task.number, etag, checksum, tuple(ranges))
        self._log.add(completed)
        return PartResult(completed, sent=part.length)

    def _verify(self, content_range: ContentRange, views: Sequence[memoryview]) -> bool:
        try:
            return self.verifier.verify(content_range.index, content_range.start, views)
        except IntegrityError as error:
            member = self._target.members[content_range.index]
            source = choose(self._sources, member)
            if isinstance(source, StoredContents):
                raise SourceError(f"{member.path}: {error.message}", source.seen(member.digest).location) from error
            raise

    def _open(self, index: int, offset: int, length: int) -> Iterable[bytes]:
        """A range of a content: one of which S3 copies the rest comes from the same object, under the same ETag."""
        member = self._target.members[index]
        sources = self._sources if self._session.known[index] is None else (self._copied_from,)
        return choose(sources, member).open(member.digest, offset, length)


def copied_places(target: UploadTarget, session: UploadSession) -> dict[Digest, tuple[ObjectRef, int]]:
    """For each content of which S3 copies anything, the source and where the stored content begins in it."""
    places: dict[Digest, tuple[ObjectRef, int]] = {}
    for part in session.parts:
        if isinstance(part, Copy):
            for index in target.members_in(part.offset, part.offset + part.length):
                start = target.place(index)[0] - part.offset + part.source_offset
                places.setdefault(target.members[index].digest, (session.sources[part.source], start))
    return places
