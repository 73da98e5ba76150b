"""What a worker does with a unit: what every upload does (`transfer`), with a slice of the parts.

It may run twice, at once or one after the other: the parts have the same bytes each time. What S3 has already of them is read
and hashed, and not sent again.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from sagepack.aws.s3 import UploadGoneError
from sagepack.package.archive.framing import GZIP_HEADER
from sagepack.package.archive.layout import Layout
from sagepack.package.manifest import Manifest
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.upload.journal import CompletedPart, JournalState, NoLog, UploadSession
from sagepack.publish.upload.part_body import ArchiveTarget, FileTarget
from sagepack.publish.upload.sources import StoredContents
from sagepack.publish.upload.transfer import PartTransfer
from sagepack.publish.upload.unit_text import UnitRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.aws.s3 import S3
    from sagepack.publish.upload.part_body import UploadTarget
    from sagepack.publish.upload.sources import Source
    from sagepack.publish.upload.unit_text import UnitTask


def make_unit(task: UnitTask, store: S3, sources: Sequence[Source]) -> UnitRecord:
    """Make the parts of a unit, verify the SHA-256 of its files, and leave a record of it in S3.

    Args:
        task: the unit.
        store: S3, with the write options of the task.
        sources: where contents come from of which S3 copies nothing, the best first.

    Raises:
        UploadGoneError: there is no such upload: somebody else has completed or aborted it.
        ChangedError, SourceError: an object that was to be read is another than was seen, or holds other bytes.
        IntegrityError: a content is not what the manifest says.
        UserError, RemoteError: as S3 and the sources say.
    """
    members = tuple(member.value for member in task.members)
    # The bytes of a member depend on nothing but the member: so these alone make an archive, which begins elsewhere.
    target: UploadTarget = ArchiveTarget(Layout.of(members), Manifest(members))
    shift = task.origin - len(GZIP_HEADER)
    if task.is_file:
        target, shift = FileTarget(members[0]), 0
    starts = accumulate(task.lengths[:-1], initial=task.offset - shift)
    parts = tuple(SentPart(start, length) for start, length in zip(starts, task.lengths, strict=True))
    known = tuple(member.known.value if member.known else None for member in task.members)
    session = UploadSession(task.handle, task.algorithm, "", sum(task.lengths), parts, (), known, task.first)
    before = _before(session, store)
    copied = {member.value.digest: member.stored.value for member in task.members if member.known and member.stored}
    transfer = PartTransfer(
        store,
        sources,
        task.connections,
        target,
        JournalState(session, before),
        NoLog(),
        StoredContents(store, copied),
    )
    completed = transfer.run(lambda _count: None)
    sent = {
        part.number: parts[part.number - task.first].length for part in completed if part is not before.get(part.number)
    }
    record = UnitRecord.of(task, completed, transfer.verifier.sums, sent)
    store.put(task.record_uri, record.document(), if_absent=True)
    return record


def _before(session: UploadSession, store: S3) -> dict[int, CompletedPart]:
    """The parts of the unit that S3 has: they are compared by their checksums with what is made here.

    Raises:
        UploadGoneError: there is no such upload.
    """
    listed = store.parts(session.upload, session.first, len(session.parts))
    if listed is None:
        raise UploadGoneError("the upload was completed or aborted", where=str(session.upload.location))
    lengths = dict(enumerate((part.length for part in session.parts), session.first))
    return {
        part.number: CompletedPart(part.number, part.etag, part.checksum)
        for part in listed
        if lengths.get(part.number) == part.size
    }
