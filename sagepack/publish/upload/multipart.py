"""One object, put together by a multipart upload: parts in parallel, continued after a kill, proved at the end."""

from __future__ import annotations

import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sagepack.aws.s3 import CRC32, CRC64NVME, ChangedError, ObjectInfo, UploadedPart
from sagepack.errors import IntegrityError, RemoteError
from sagepack.publish.delta.parts import Copy, Part, SentPart
from sagepack.publish.upload.buffers import Buffers
from sagepack.publish.upload.journal import CompletedPart, Journal, JournalState, UploadSession
from sagepack.publish.upload.proof import SourceError
from sagepack.publish.upload.sources import Source, StoredArchives, choose
from sagepack.publish.upload.verifier import ContentVerifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sagepack.aws.s3 import S3, ObjectRef, S3Uri
    from sagepack.digest import Digest
    from sagepack.progress import Progress
    from sagepack.publish.checksums import Checksums, FramedChecksums
    from sagepack.publish.upload.part_body import ContentRange, UploadTarget

_MEMORY = 192 << 20  # bytes of parts that are held at a time, whatever the number of workers


@dataclass(frozen=True)
class UploadContext:
    """What every upload of a run shares.

    Attributes:
        store: S3.
        sources: where contents come from that S3 does not copy, the best first.
        progress: told of every byte that is in its place.
        workers: parts at a time.
        executor: runs the parts, in the order they are given, in this process; None for threads of our own.
        algorithms: checksums to try, the best first.
    """

    store: S3
    sources: Sequence[Source]
    progress: Progress
    workers: int = 8
    executor: Executor | None = None
    algorithms: tuple[str, ...] = (CRC64NVME, CRC32)


@dataclass(frozen=True)
class UploadResult:
    """What an upload came to.

    Attributes:
        sums: of each content.
        whole: of the object.
        sent, copied: bytes that this run sent, and had S3 copy.
        etag: of the object that this upload made; None if somebody else's did, meanwhile.
    """

    sums: tuple[FramedChecksums, ...]
    whole: Checksums
    sent: int
    copied: int
    etag: str | None


class MultipartUpload:
    """Uploads one target to one key. A run that stops leaves an upload that the next run continues."""

    def __init__(
        self, means: UploadContext, target: UploadTarget, location: S3Uri, subject: str, journal: Journal
    ) -> None:
        self._means = means
        self._store = means.store
        self._target = target
        self._location = location
        self._subject = subject
        self._journal = journal
        self._sent = self._copied = 0
        self._buffers = Buffers()
        # Half of the workers fetch while the others send: the first part then is ready early, and the last soon sent.
        self._filling = threading.Semaphore(max(1, means.workers // 2))
        self._lock = threading.Lock()
        self._copied_from = StoredArchives(means.store, {})

    def run(
        self, parts: Sequence[Part], sources: Sequence[ObjectRef], known: Sequence[FramedChecksums | None]
    ) -> UploadResult:
        """Upload by `parts`, or by what is left of an earlier plan if that sends fewer bytes.

        Args:
            parts: as planned.
            sources: that copies refer to. Something binds their bytes to the manifest: nothing here could see a difference.
            known: the sums of each content of which S3 copies anything; None for the others, which are hashed.

        Raises:
            ChangedError: a source of a copy is gone or another; the upload was dropped.
            SourceError: an archive that a content was read from holds other bytes than its index says; dropped too.
            IntegrityError: a content is not what the manifest says, or the object not what it should be; dropped too.
            UserError, RemoteError: as S3 and the sources say; the same call continues the upload.
        """
        state = self._resume(parts) or self._begin(parts, sources, known)
        work = state.work
        try:
            ledger = ContentVerifier(self._target, work.known)
            done = self._transfer(state, ledger)
            sums = tuple(ledger.wait())
            whole = self._target.whole(sums)
            etag = self._complete(work, done, whole)
        except (ChangedError, IntegrityError):
            self._store.abort(work.upload)
            self._journal.clear()
            raise
        return UploadResult(sums, whole, self._sent, self._copied, etag)

    def _begin(
        self, parts: Sequence[Part], sources: Sequence[ObjectRef], known: Sequence[FramedChecksums | None]
    ) -> JournalState:
        for algorithm in self._means.algorithms:
            upload = self._store.begin(self._location, algorithm)
            if upload is not None:
                work = UploadSession(
                    upload, algorithm, self._subject, self._target.size, tuple(parts), tuple(sources), tuple(known)
                )
                self._journal.begin(work)
                return JournalState(work)
        raise RemoteError("the store takes none of the checksum algorithms", where=str(self._location))

    def _resume(self, parts: Sequence[Part]) -> JournalState | None:
        """The earlier run's work, with those of its parts that S3 lists and the journal can answer for."""
        state = self._journal.read()
        if state is None or (state.work.upload.location, state.work.subject) != (self._location, self._subject):
            return None
        work = state.work
        fits = work.size == self._target.size and len(work.known) == len(self._target.members)
        stored = self._store.parts(work.upload) if fits else None
        if stored is None:
            return None
        there = {part.number: part for part in stored}
        done = {n: d for n, d in state.done.items() if n in there and there[n].etag == d.etag}
        left = [part for number, part in enumerate(work.parts, 1) if number not in done]
        if _literal_bytes(left) > _literal_bytes(parts):
            self._store.abort(work.upload)
            return None
        self._means.progress.note(f"continuing an upload: {len(done)} of {len(work.parts)} parts are there")
        return JournalState(work, done, state.verified)

    def _transfer(self, state: JournalState, ledger: ContentVerifier) -> list[CompletedPart]:
        """Do what is not done: copies first, which find a changed source before bytes were sent for nothing."""
        work, done = state.work, dict(state.done)
        self._copied_from = StoredArchives(self._store, self._copy_places(work))
        copies: dict[int, Callable[[], CompletedPart]] = {}
        sends: dict[int, Callable[[], CompletedPart]] = {}
        for number, part in enumerate(work.parts, 1):
            if isinstance(part, Copy):
                if number not in done:
                    copies[number] = partial(self._copy, work, number, part)
            elif number in done and not self._unverified(part, state):
                for stretch in done[number].stretches:
                    ledger.add(stretch)
            else:
                sends[number] = partial(self._send, state, number, part, ledger)
        tasks = {**copies, **sends}
        with self._means.progress.bar("publishing", work.size) as add:

            def finish(part: CompletedPart) -> None:
                done[part.number] = part
                add(work.parts[part.number - 1].length)

            add(work.size - sum(work.parts[number - 1].length for number in tasks))
            self._perform(list(tasks.values()), work.parts, ledger, finish)
        return [done[number] for number in sorted(done)]

    def _perform(
        self,
        tasks: Sequence[Callable[[], CompletedPart]],
        parts: Sequence[Part],
        ledger: ContentVerifier,
        finish: Callable[[CompletedPart], None],
    ) -> None:
        """Run tasks in parallel, in their order; the first failure ends them all."""
        largest = max((part.length for part in parts if isinstance(part, SentPart)), default=1)
        workers = max(1, min(self._means.workers, _MEMORY // largest, len(tasks)))
        ended: SimpleQueue[Future[CompletedPart]] = SimpleQueue()
        with ExitStack() as stack:
            pool = self._means.executor or stack.enter_context(ThreadPoolExecutor(workers, "publish"))
            futures: list[Future[CompletedPart]] = []
            try:
                for task in tasks:
                    futures.append(pool.submit(task))
                    futures[-1].add_done_callback(ended.put)
                for _ in tasks:
                    finish(ended.get().result())
            except BaseException:
                ledger.stop()
                for future in futures:
                    future.cancel()
                wait(futures)
                raise

    def _copy(self, work: UploadSession, number: int, part: Copy) -> CompletedPart:
        stored = self._store.send_copy(work.upload, number, work.sources[part.source], part.source_offset, part.length)
        done = CompletedPart(number, stored.etag, stored.checksum)
        self._journal.add(done)
        with self._lock:
            self._copied += part.length
        return done

    def _send(self, state: JournalState, number: int, part: SentPart, ledger: ContentVerifier) -> CompletedPart:
        """Make a part and send it, unless an earlier run sent the same bytes and they only had to be checked."""
        data = self._buffers.take(part.length)
        done = self._make(state, number, part, data, ledger)
        self._buffers.give(data)
        return done

    def _make(
        self, state: JournalState, number: int, part: SentPart, data: bytearray, ledger: ContentVerifier
    ) -> CompletedPart:
        work, before = state.work, state.done.get(number)
        stretches = []
        with self._filling:
            filled, sums = self._target.fill(data, part.offset, partial(self._open, work))
        for stretch, views in filled:
            if self._to_verify(stretch.index, state) and self._verify(ledger, stretch, views):
                self._journal.verified(stretch.index)
            ledger.add(stretch)
            stretches.append(stretch)
        if part.offset + part.length > self._target.open_end:
            sums += self._target.finish(data, part.offset, ledger.wait())
        checksum = sums.value(work.algorithm)
        if before is not None and before.checksum == checksum:
            return before
        etag = self._store.send(work.upload, number, data, work.algorithm, checksum).etag
        done = CompletedPart(number, etag, checksum, tuple(stretches))
        self._journal.add(done)
        with self._lock:
            self._sent += part.length
        return done

    def _verify(self, ledger: ContentVerifier, stretch: ContentRange, views: Sequence[memoryview]) -> bool:
        try:
            return ledger.verify(stretch.index, stretch.start, views)
        except IntegrityError as error:
            member = self._target.members[stretch.index]
            source = choose(self._means.sources, member)
            if isinstance(source, StoredArchives):
                raise SourceError(f"{member.path}: {error.message}", source.seen(member.digest).location) from error
            raise

    def _open(self, work: UploadSession, index: int, offset: int, length: int) -> Iterable[bytes]:
        """A range of a content: one of which S3 copies the rest comes from the same object, under the same ETag."""
        member = self._target.members[index]
        sources = self._means.sources if work.known[index] is None else (self._copied_from,)
        return choose(sources, member).open(member.digest, offset, length)

    def _copy_places(self, work: UploadSession) -> dict[Digest, tuple[ObjectRef, int]]:
        """Where the contents lie in their sources of which something is copied."""
        places: dict[Digest, tuple[ObjectRef, int]] = {}
        for part in work.parts:
            if isinstance(part, Copy):
                for index in self._target.touched(part.offset, part.offset + part.length):
                    start = self._target.place(index)[0] - part.offset + part.source_offset
                    places.setdefault(self._target.members[index].digest, (work.sources[part.source], start))
        return places

    def _unverified(self, part: SentPart, state: JournalState) -> bool:
        touched = self._target.touched(part.offset, part.offset + part.length)
        return any(self._to_verify(index, state) for index in touched)

    @staticmethod
    def _to_verify(index: int, state: JournalState) -> bool:
        """Whether a content must be hashed: all of it is sent, and no earlier run has hashed it to its end."""
        return index not in state.verified and state.work.known[index] is None

    def _complete(self, work: UploadSession, done: Sequence[CompletedPart], whole: Checksums) -> str | None:
        parts = [UploadedPart(one.number, one.etag, 0, one.checksum) for one in done]
        etag = self._store.complete(work.upload, parts, work.size, work.algorithm, whole.value(work.algorithm))
        if etag is None:
            # Somebody else published the key, or an answer was lost and the retry found the work done.
            self._means.progress.note(f"{self._location} is there already: somebody else published it meanwhile")
            self._store.abort(work.upload)
        return etag


def confirm(store: S3, location: S3Uri, whole: Checksums) -> ObjectInfo:
    """See that the object at a key is the one that was meant: size, and checksum where the store keeps one.

    Raises:
        IntegrityError: it is another.
        RemoteError: it is not there.
    """
    head = store.head(location)
    if head is None:
        raise RemoteError("the object is not there after its upload was completed", where=str(location))
    differing = [name for name, value in head.checksums.items() if whole.value(name) != value]
    if head.size != whole.length or differing:
        raise IntegrityError(
            f"the object has {head.size} bytes and checksums {dict(head.checksums)}; expected were {whole.length} bytes "
            f"and { ({name: whole.value(name) for name in head.checksums}) }",
            where=str(location),
            fix="another program wrote it: inspect it, delete it, and run the command again",
        )
    return head


def _literal_bytes(parts: Sequence[Part]) -> int:
    return sum(part.length for part in parts if isinstance(part, SentPart))
