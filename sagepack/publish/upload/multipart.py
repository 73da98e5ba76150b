"""One object, put together by a multipart upload that continues after a kill and is proved at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ChangedError, ObjectInfo, UploadedPart
from sagepack.errors import IntegrityError, RemoteError
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.upload.journal import Journal, JournalState, UploadSession
from sagepack.publish.upload.sources import StoredContents
from sagepack.publish.upload.transfer import PartTransfer, copied_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.aws.s3 import S3, ObjectRef, S3Uri
    from sagepack.publish.checksums import Checksums, FramedChecksums
    from sagepack.publish.delta.parts import Part
    from sagepack.publish.upload.context import UploadContext
    from sagepack.publish.upload.journal import CompletedPart
    from sagepack.publish.upload.part_body import UploadTarget


@dataclass(frozen=True)
class UploadResult:
    """What an upload came to.

    Attributes:
        sums: checksums of each content.
        whole: checksums of the object.
        sent, copied: bytes that this run sent, and had S3 copy.
        etag: of the object that this upload made; None if another publisher made it meanwhile.
        is_proved: whether every byte was hashed for this upload, or bound to its hash before S3 copied it, so that the object
            with this ETag is known to be right without a look at it.
    """

    sums: tuple[FramedChecksums, ...]
    whole: Checksums
    sent: int
    copied: int
    etag: str | None
    is_proved: bool


class MultipartUpload:
    """Uploads one target to one key. A run that stops leaves an upload that the next run continues.

    Args:
        context: S3, sources, progress.
        target: the object.
        location: its key.
        subject: what is uploaded (a manifest's digest, or a content's): a journal about another subject is not continued.
        journal: of this upload.
    """

    def __init__(
        self, context: UploadContext, target: UploadTarget, location: S3Uri, subject: str, journal: Journal
    ) -> None:
        self._context = context
        self._store = context.store
        self._target = target
        self._location = location
        self._subject = subject
        self._journal = journal

    def run(
        self, parts: Sequence[Part], sources: Sequence[ObjectRef], known: Sequence[FramedChecksums | None]
    ) -> UploadResult:
        """Upload by `parts`, or by what is left of an earlier plan if that sends fewer bytes.

        Args:
            parts: as planned.
            sources: that copies refer to. Something binds their bytes to the manifest: nothing here could see a difference.
            known: checksums of each content of which S3 copies anything; None for the others, which are hashed.

        Raises:
            ChangedError: a source of a copy was deleted or replaced; the upload was aborted.
            SourceError: an archive that a content was read from holds other bytes than its index says; aborted too.
            IntegrityError: a content is not what the manifest says, or the object not what it should be; aborted too.
            UserError, RemoteError: as S3 and the sources say; the same call continues the upload.
        """
        state = self._resume(parts) or self._begin(parts, sources, known)
        session = state.session
        try:
            copied_from = StoredContents(self._store, copied_places(self._target, session))
            transfer = PartTransfer(
                self._store,
                self._context.sources,
                self._context.workers,
                self._target,
                state,
                self._journal,
                copied_from,
            )
            with self._context.progress.bar("publishing", session.size) as add:
                completed = transfer.run(add)
            sums = tuple(transfer.verifier.wait())
            whole = self._target.whole(sums)
            etag = self._complete(session, completed, whole)
        except (ChangedError, IntegrityError):
            self._store.abort(session.upload)
            self._journal.clear()
            raise
        return UploadResult(sums, whole, transfer.sent, transfer.copied, etag, etag is not None)

    def _begin(
        self, parts: Sequence[Part], sources: Sequence[ObjectRef], known: Sequence[FramedChecksums | None]
    ) -> JournalState:
        for algorithm in self._context.algorithms:
            upload = self._store.begin(self._location, algorithm)
            if upload is not None:
                session = UploadSession(
                    upload, algorithm, self._subject, self._target.size, tuple(parts), tuple(sources), tuple(known)
                )
                self._journal.begin(session)
                return JournalState(session)
        raise RemoteError("the store supports none of the checksum algorithms", where=str(self._location))

    def _resume(self, parts: Sequence[Part]) -> JournalState | None:
        """The session of an earlier run, with those of its parts that both S3 and the journal list."""
        state = self._journal.read()
        if state is None or (state.session.upload.location, state.session.subject) != (self._location, self._subject):
            return None
        session = state.session
        fits = session.size == self._target.size and len(session.known) == len(self._target.members)
        stored = self._store.parts(session.upload) if fits else None
        if stored is None:
            return None
        etags = {part.number: part.etag for part in stored}
        done = {number: part for number, part in state.done.items() if etags.get(number) == part.etag}
        left = [part for number, part in enumerate(session.parts, 1) if number not in done]
        if _sent_bytes(left) > _sent_bytes(parts):
            self._store.abort(session.upload)
            return None
        self._context.progress.note(f"continuing an upload: {len(done)} of {len(session.parts)} parts are there")
        return JournalState(session, done, state.verified)

    def _complete(self, session: UploadSession, completed: Sequence[CompletedPart], whole: Checksums) -> str | None:
        parts = [UploadedPart(part.number, part.etag, 0, part.checksum) for part in completed]
        algorithm = session.algorithm
        etag = self._store.complete(session.upload, parts, session.size, algorithm, whole.value(algorithm))
        if etag is None:
            # Another publisher wrote the key, or an answer was lost and the retry found the upload completed.
            self._context.progress.note(f"{self._location} is there already: another publisher wrote it meanwhile")
            self._store.abort(session.upload)
        return etag


def confirm(store: S3, location: S3Uri, whole: Checksums) -> ObjectInfo:
    """Check that the object at a key is the expected one: its size, and its checksum where the store keeps one.

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


def _sent_bytes(parts: Iterable[Part]) -> int:
    return sum(part.length for part in parts if isinstance(part, SentPart))
