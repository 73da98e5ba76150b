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
    from collections.abc import Iterable, Sequence

    from sagepack.aws.s3 import ObjectRef
    from sagepack.digest import Digest
    from sagepack.publish.upload.context import UploadContext
    from sagepack.publish.upload.journal import Journal, JournalState, UploadSession
    from sagepack.publish.upload.part_body import ContentRange, UploadTarget

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
    """Does what is not done of the parts of one upload session.

    A part that is sent is held in memory, so large parts have fewer workers; those that S3 copies have threads of their own.

    A part that waits, for its turn in a content's SHA-256 or for the checksums of all contents, waits only for parts that
    were submitted before it, and the pool starts them in that order. So what is waited for is running, and there is no
    deadlock. Parts go into the journal in the thread that did them, as soon as S3 has them: a kill loses the fewest.

    Attributes:
        verifier: collects what is known of the contents.
        sent, copied: bytes that this run sent, and had S3 copy.
    """

    def __init__(self, context: UploadContext, target: UploadTarget, state: JournalState, journal: Journal) -> None:
        self.verifier = ContentVerifier(target, state.session.known)
        self.sent = self.copied = 0
        self._context = context
        self._target = target
        self._state = state
        self._session = state.session
        self._journal = journal
        self._buffers = Buffers()
        # Half of the workers read while the others send: the first part then is ready early, and the last soon sent.
        self._reading = threading.Semaphore(max(1, context.workers // 2))
        self._copied_from = StoredContents(context.store, _copied_places(target, state.session))

    def run(self) -> list[CompletedPart]:
        """Do the parts in parallel; the first failure ends them all. Returns all parts of the session, in order."""
        session = self._session
        copies, sends = self._tasks()
        largest = max((task.part.length for task in sends), default=1)
        workers = max(1, min(self._context.workers, memory_share() // largest))
        done = dict(self._state.done)
        with (
            self._context.progress.bar("publishing", session.size) as add,
            worker_pool(workers, "send") as sending,
            worker_pool(_COPIES, "copy") as copying,
        ):
            add(session.size - sum(task.part.length for task in copies) - sum(task.part.length for task in sends))
            try:
                futures = [copying.submit(self._copy, task) for task in copies]
                futures += [sending.submit(self._send, task) for task in sends]
                for future in as_completed(futures):
                    result = future.result()
                    done[result.completed.number] = result.completed
                    self.sent += result.sent
                    self.copied += result.copied
                    add(session.parts[result.completed.number - 1].length)
            except BaseException:
                self.verifier.stop()
                raise
        return [done[number] for number in sorted(done)]

    def _tasks(self) -> tuple[list[CopyTask], list[SendTask]]:
        """What is not done."""
        copies, sends = [], []
        for number, part in enumerate(self._session.parts, 1):
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
        stored = self._context.store.send_copy(
            session.upload, task.number, session.sources[part.source], part.source_offset, part.length
        )
        completed = CompletedPart(task.number, stored.etag, stored.checksum)
        self._journal.add(completed)
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
                self._journal.verified(content_range.index)
            self.verifier.add(content_range)
            ranges.append(content_range)
        if part.offset + part.length > self._target.trailer_offset:
            sums += self._target.write_trailer(data, part.offset, self.verifier.wait())
        checksum = sums.value(session.algorithm)
        if task.before is not None and task.before.checksum == checksum:
            return PartResult(task.before)
        etag = self._context.store.send(session.upload, task.number, data, session.algorithm, checksum).etag
        completed = CompletedPart(task.number, etag, checksum, tuple(ranges))
        self._journal.add(completed)
        return PartResult(completed, sent=part.length)

    def _verify(self, content_range: ContentRange, views: Sequence[memoryview]) -> bool:
        try:
            return self.verifier.verify(content_range.index, content_range.start, views)
        except IntegrityError as error:
            member = self._target.members[content_range.index]
            source = choose(self._context.sources, member)
            if isinstance(source, StoredContents):
                raise SourceError(f"{member.path}: {error.message}", source.seen(member.digest).location) from error
            raise

    def _open(self, index: int, offset: int, length: int) -> Iterable[bytes]:
        """A range of a content: one of which S3 copies the rest comes from the same object, under the same ETag."""
        member = self._target.members[index]
        sources = self._context.sources if self._session.known[index] is None else (self._copied_from,)
        return choose(sources, member).open(member.digest, offset, length)


def _copied_places(target: UploadTarget, session: UploadSession) -> dict[Digest, tuple[ObjectRef, int]]:
    """For each content of which S3 copies anything, the source and where the stored content begins in it."""
    places: dict[Digest, tuple[ObjectRef, int]] = {}
    for part in session.parts:
        if isinstance(part, Copy):
            for index in target.members_in(part.offset, part.offset + part.length):
                start = target.place(index)[0] - part.offset + part.source_offset
                places.setdefault(target.members[index].digest, (session.sources[part.source], start))
    return places
