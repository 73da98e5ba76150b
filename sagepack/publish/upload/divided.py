"""One archive whose units others make: processes of this machine, or the workers of a cluster.

This process leads. It copies, sends what nobody else can read, and completes the upload on what S3 says it has. All that it
must know to go on lies in S3 (`shared`), so after the death of whatever took part the same command continues, on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import ChangedError
from sagepack.digest import fingerprint
from sagepack.errors import IntegrityError
from sagepack.package.archive.layout import FORMAT
from sagepack.publish.delta.parts import Copy
from sagepack.publish.upload.completion import complete
from sagepack.publish.upload.journal import CompletedPart, JournalState, NoLog, UploadSession
from sagepack.publish.upload.leading import Job, Lead
from sagepack.publish.upload.multipart import UploadResult
from sagepack.publish.upload.shared import UploadFolder
from sagepack.publish.upload.sources import StoredContents
from sagepack.publish.upload.transfer import PartTransfer, copied_places
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.aws.s3 import ObjectRef, UploadGoneError
    from sagepack.digest import Digest
    from sagepack.package.manifest import Manifest
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.delta.parts import Part
    from sagepack.publish.keys import Package
    from sagepack.publish.upload.context import UnitWorkers, UploadContext
    from sagepack.publish.upload.part_body import ArchiveTarget
    from sagepack.publish.upload.shared import SharedUpload
    from sagepack.publish.upload.unit_text import UnitRecord, UnitTask
    from sagepack.publish.upload.units import Unit
    from sagepack.publish.upload.verifier import ContentVerifier


@dataclass(frozen=True)
class Division:
    """How an archive is divided.

    Attributes:
        parts: all of them.
        units: those of them that workers make.
        sources: that copies refer to.
        known: checksums of each content of which S3 copies anything.
        stored: where contents lie in archives in S3 of which nothing is copied.
    """

    parts: Sequence[Part]
    units: Sequence[Unit]
    sources: Sequence[ObjectRef]
    known: Sequence[FramedChecksums | None]
    stored: Mapping[Digest, tuple[ObjectRef, int]]


def plan_digest(
    manifest: Manifest, parts: Sequence[Part], units: Sequence[Unit], sources: Sequence[ObjectRef]
) -> Digest:
    """What the note of an upload is called after: who has the same digest makes the same parts, in the same units."""
    planned: list[Any] = [
        [part.length, part.source, part.source_offset] if isinstance(part, Copy) else [part.length] for part in parts
    ]
    seen = [[str(source.location), source.etag] for source in sources]
    return fingerprint([FORMAT, str(manifest.digest), planned, [unit.first for unit in units], seen])


class DividedUpload:
    """Uploads one archive to one key, together with the workers of its context.

    Args:
        context: S3, sources, workers, progress.
        workers: who makes the units.
        target: the archive.
        package: its keys.
    """

    def __init__(self, context: UploadContext, workers: UnitWorkers, target: ArchiveTarget, package: Package) -> None:
        self._context = context
        self._workers = workers
        self._target = target
        self._location = package.model_uri
        self._folder = UploadFolder(context.store, package.notes_uri)

    def run(self, division: Division) -> UploadResult:
        """Upload the archive, or go on where an earlier run of the same plan stopped, on whatever machine.

        Raises:
            ChangedError: a source of a copy was deleted or replaced; the upload was aborted.
            SourceError: an archive that a content was read from holds other bytes than its index says; aborted too.
            IntegrityError: a content is not what the manifest says, or the object not what it should be; aborted too.
            UploadGoneError: somebody else completed or aborted the upload meanwhile.
            UserError, RemoteError: as S3, the sources and the workers say; the same call continues the upload.
        """
        plan = plan_digest(self._target.manifest, division.parts, division.units, division.sources)
        upload = self._folder.open(self._location, plan, self._context.algorithms)
        session = UploadSession(
            upload.handle,
            upload.algorithm,
            str(self._target.manifest.digest),
            self._target.size,
            tuple(division.parts),
            tuple(division.sources),
            tuple(division.known),
        )
        try:
            return self._complete(session, *self._transfer(session, division, upload))
        except (ChangedError, IntegrityError):
            self._context.store.abort(upload.handle)
            raise

    def _transfer(
        self, session: UploadSession, division: Division, upload: SharedUpload
    ) -> tuple[PartTransfer, Lead, list[CompletedPart]]:
        elsewhere = {number for unit in division.units for number in unit.numbers}
        before = {
            number: CompletedPart(number, part.etag, part.checksum)
            for number, part in upload.parts.items()
            if number not in elsewhere
            and number <= len(session.parts)
            and part.size == session.parts[number - 1].length
        }
        copied = copied_places(self._target, session)
        transfer = PartTransfer(
            self._context.store,
            self._context.sources,
            self._context.workers,
            self._target,
            JournalState(session, before),
            NoLog(),
            StoredContents(self._context.store, copied),
            elsewhere,
        )
        jobs = [Job(unit, self._task(unit, session, division, copied), upload.parts) for unit in division.units]
        with self._context.progress.bar("publishing", session.size) as add:
            lead = Lead(self._context, self._workers, self._folder, jobs, _Contents(transfer.verifier), add)
            with worker_pool(1, "here") as pool:
                try:
                    here = pool.submit(transfer.run, add)
                    lead.run(here)
                    completed = here.result()
                except BaseException:
                    transfer.verifier.stop()
                    raise
        witnessed = [part for part in completed if part is not before.get(part.number)]
        return transfer, lead, witnessed

    def _task(
        self,
        unit: Unit,
        session: UploadSession,
        division: Division,
        copied: Mapping[Digest, tuple[ObjectRef, int]],
    ) -> UnitTask:
        members = []
        for index in unit.members:
            member, known = self._target.members[index], division.known[index]
            stored = (copied if known else division.stored).get(member.digest)
            members.append(self._workers.content(member, stored, known))
        origin = self._target.layout.entries[unit.members[0]].offset
        record = self._folder.record_uri(session.upload, unit.first)
        return self._workers.task(unit, session.upload, record, session.algorithm, members, origin=origin)

    def _complete(
        self, session: UploadSession, transfer: PartTransfer, lead: Lead, here: Sequence[CompletedPart]
    ) -> UploadResult:
        """Complete the upload.

        Raises:
            RefusedError: S3 lacks parts that a worker says it sent, or they do not make the archive.
            UploadGoneError: there is no such upload any more.
        """
        store, sums = self._context.store, tuple(transfer.verifier.wait())
        whole = self._target.whole(sums)
        self._folder.note_sums(session.upload, sums)
        lengths = [part.length for part in session.parts]
        etag, listed = complete(store, session.upload, session.algorithm, lengths, whole)
        if etag is None:
            self._context.progress.note(f"{self._location} is there already: another publisher wrote it meanwhile")
            store.abort(session.upload)
        seen = {part.number: part.etag for part in here} | {part.number: part.etag for part in lead.witnessed}
        is_proved = etag is not None and all(seen.get(part.number) == part.etag for part in listed)
        return UploadResult(sums, whole, transfer.sent + lead.sent, transfer.copied, etag, is_proved)


@dataclass(frozen=True)
class _Contents:
    """What is known of the contents of an archive: whoever hashed one says its checksums."""

    verifier: ContentVerifier

    def made(self, job: Job, record: UnitRecord, *, is_ours: bool) -> None:  # noqa: ARG002 - `Lead.witnessed` tells them apart
        """Take the checksums of the contents of a unit."""
        for index, sums in zip(job.unit.members, record.sums, strict=True):
            if sums is not None:
                self.verifier.learn(index, sums.value)

    def gone(self, job: Job, error: UploadGoneError) -> None:  # noqa: ARG002 - all units are of the same upload
        """The upload of the archive is gone, and so are all other units."""
        raise error
