"""The large files of a package in format `prefix`, which others make: each is a unit with a multipart upload of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ChangedError, ObjectRef, UploadGoneError
from sagepack.digest import fingerprint
from sagepack.errors import IntegrityError
from sagepack.publish.upload.completion import complete
from sagepack.publish.upload.leading import Job, Lead
from sagepack.publish.upload.multipart import confirm
from sagepack.publish.upload.proof import read_file
from sagepack.publish.upload.shared import UploadFolder
from sagepack.publish.upload.unit_text import UnitRecord
from sagepack.publish.upload.units import unit_of_file
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future, ThreadPoolExecutor

    from sagepack.aws.s3 import S3, MultipartHandle, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Member
    from sagepack.publish.checksums import Checksums
    from sagepack.publish.delta.parts import Limits
    from sagepack.publish.keys import Package
    from sagepack.publish.upload.context import UnitWorkers, UploadContext
    from sagepack.publish.upload.units import Unit

_THREADS = 16


@dataclass(frozen=True)
class _File:
    """A file, its upload and key, and the algorithm of its checksums."""

    member: Member
    handle: MultipartHandle
    location: S3Uri
    algorithm: str


class DividedFiles:
    """Files of one package that workers make, and this process completes.

    Args:
        context: S3 and progress.
        workers: who makes them.
        package: its keys.
        placed: is called with the key and the checksums of each file that is there, and with the ETag under which all of its bytes
            are known to have been hashed for this run, if they have.

    Attributes:
        sent: bytes that workers sent for this run.
    """

    def __init__(
        self,
        context: UploadContext,
        workers: UnitWorkers,
        package: Package,
        placed: Callable[[S3Uri, Checksums, str | None], None],
    ) -> None:
        self.sent = 0
        self._context = context
        self._workers = workers
        self._package = package
        self._placed = placed
        self._folder = UploadFolder(context.store, package.notes_uri)
        self._files: dict[str, _File] = {}  # by the key of the record
        self._ends: list[Future[None]] = []
        self._pool: ThreadPoolExecutor

    def run(self, files: Sequence[tuple[Unit, Member]], here: Future[None]) -> None:
        """Have the files made.

        Args:
            files: each with the unit that it is.
            here: what this process does meanwhile; if it fails, this fails as well.

        Raises:
            IntegrityError: a file is not what the manifest says; the uploads that are not complete were aborted.
            UserError, RemoteError: as S3, the sources and the workers say; the same call continues the uploads.
        """
        with worker_pool(_THREADS, "begin") as pool:
            jobs = list(pool.map(lambda each: self._job(*each), files))
        try:
            total = sum(unit.length for unit, _ in files)
            with self._context.progress.bar("publishing", total) as add, worker_pool(_THREADS, "complete") as pool:
                self._pool = pool
                lead = Lead(self._context, self._workers, self._folder, jobs, self, add)
                try:
                    lead.run(here)
                finally:
                    self.sent = lead.sent
                for end in self._ends:
                    end.result()
        except (ChangedError, IntegrityError):
            for file in self._files.values():
                self._context.store.abort(file.handle)
            raise

    def made(self, job: Job, record: UnitRecord, *, is_ours: bool) -> None:
        """Complete a file; the next are handed out meanwhile."""
        self._ends.append(self._pool.submit(self._complete, job, record, is_ours=is_ours))

    def gone(self, job: Job, error: UploadGoneError) -> None:
        """Somebody else may have completed a file: what it holds is then told by the record of the unit, or read."""
        file, store = self._files[job.task.record], self._context.store
        head = store.head(file.location)
        if head is None:
            raise error
        record = UnitRecord.parse(store.read(job.task.record_uri))
        if record and record.matches(job.unit) and record.sums[0]:
            sums = record.sums[0].value.framed
            confirm(store, file.location, sums)
            self._placed(file.location, sums, None)
        else:
            sums = read_file(store, ObjectRef(file.location, head.etag), file.member)
            self._placed(file.location, sums, head.etag)

    def _complete(self, job: Job, record: UnitRecord, *, is_ours: bool) -> None:
        file, sums = self._files[job.task.record], record.sums[0]
        if sums is None:
            raise IntegrityError("a worker did not say what it has made", where=str(file.location))
        lengths = [part.length for part in job.unit.parts]
        try:
            etag, listed = complete(self._context.store, file.handle, file.algorithm, lengths, sums.value.framed)
        except UploadGoneError as error:
            self.gone(job, error)
            return
        if etag is None:
            self._context.store.abort(file.handle)
        sent = {part.number: part.etag for part in record.sent_parts(job.unit)} if is_ours else {}
        # Parts that somebody else has sent are only known to have the same checksums.
        is_proved = all(sent.get(part.number) == part.etag for part in listed)
        self._placed(file.location, sums.value.framed, etag if is_proved else None)

    def _job(self, unit: Unit, member: Member) -> Job:
        location = self._package.model_uri.child(member.path)
        upload = self._folder.open(location, plan_of(unit, member), self._context.algorithms)
        record = self._folder.record_uri(upload.handle, unit.first)
        content = self._workers.content(member)
        task = self._workers.task(unit, upload.handle, record, upload.algorithm, [content], is_file=True)
        self._files[task.record] = _File(member, upload.handle, location, upload.algorithm)
        return Job(unit, task, upload.parts)


def noted_sums(store: S3, package: Package, member: Member, limits: Limits) -> Checksums | None:
    """The checksums of a file that workers made and that is at its key, as their notes say and S3's own checksum confirms."""
    unit, location = unit_of_file(0, member.size, limits), package.model_uri.child(member.path)
    record = UploadFolder(store, package.notes_uri).record_of(plan_of(unit, member))
    sums = record.sums[0].value.framed if record and record.matches(unit) and record.sums[0] else None
    head = store.head(location) if sums else None
    if sums is None or head is None or not head.checksums or sums.length != head.size:
        return None
    return sums if all(sums.value(name) == value for name, value in head.checksums.items()) else None


def plan_of(unit: Unit, member: Member) -> Digest:
    """What the note of the upload of a file is called after: the same parts of the same content for the same key."""
    return fingerprint([member.path, str(member.digest), [part.length for part in unit.parts]])
