"""Format `prefix`: every file of a package an object of its own, for SageMaker's `S3Prefix` without compression.

S3 copies a file that an earlier package has. A small file is sent in one request, on the condition that its key is free; a
large one by a multipart upload, which continues after a kill. An object appears complete or not at all, under a key that
contains the manifest's digest. The list of files is written after all of them, next to the prefix and not under it,
because SageMaker loads whatever lies under it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.delta.match import Match
from sagepack.publish.delta.parts import plan_parts
from sagepack.publish.documents import Files, StoredFile
from sagepack.publish.upload.context import Uploaded
from sagepack.publish.upload.divided_files import DividedFiles, noted_sums
from sagepack.publish.upload.journal import Journal
from sagepack.publish.upload.multipart import MultipartUpload, confirm
from sagepack.publish.upload.part_body import FileTarget
from sagepack.publish.upload.proof import read_file
from sagepack.publish.upload.recovery import journaled_sums
from sagepack.publish.upload.sources import choose
from sagepack.publish.verified import verified_file
from sagepack.text import format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Collection

    from sagepack.aws.s3 import S3Uri
    from sagepack.package.manifest import Member
    from sagepack.publish.prefix_plan import PrefixPlan
    from sagepack.publish.upload.context import UploadContext
    from sagepack.publish.upload_plan import ContentPlan, Origin


def publish_prefix(plan: PrefixPlan, context: UploadContext) -> Uploaded:
    """Bring every file of a package under its prefix, and make sure that what is there is right.

    Args:
        plan: the package.
        context: S3, sources, progress.

    Raises:
        ChangedError: an object to copy from was deleted or replaced.
        SourceError: an object to copy from, or one that is there already, is not the file it should be.
        IntegrityError: a content is not what the manifest says.
    """
    upload = _PrefixUpload(plan, context)
    if context.units and plan.units:
        divided = DividedFiles(context, context.units, plan.observation.package, upload.placed)
        with worker_pool(1, "here") as pool:
            elsewhere = {index for unit in plan.units for index in unit.members}
            here = pool.submit(_place, plan, context, upload, elsewhere)
            divided.run([(unit, plan.manifest.members[unit.members[0]]) for unit in plan.units], here)
        upload.sent += divided.sent
    else:
        _place(plan, context, upload)
    with worker_pool(context.workers, "files") as pool:
        files = tuple(pool.map(upload.confirm, plan.manifest.members))
    known = {
        upload.location(file.member).key: verified_file(file.etag, file.member.digest, file.sums)
        for file in files
        if upload.is_proved(file)
    }
    observation, text = plan.observation, Files(files).text()
    context.verified.add(observation.package.folder, known)
    documents = context.write({observation.package.index_uri: text, **context.documents})
    return Uploaded(documents, None, upload.sent, upload.copied)


def _place(plan: PrefixPlan, context: UploadContext, upload: _PrefixUpload, elsewhere: Collection[int] = ()) -> None:
    """Bring the files to their keys, but those that others make."""
    contents = [content for index, content in enumerate(plan.contents) if index not in elsewhere]
    small = [content for content in contents if content.member.size <= plan.limits.sent_size]
    with worker_pool(context.workers, "files") as pool:
        list(pool.map(upload.place, small))
    for content in contents:
        if content.member.size > plan.limits.sent_size:
            upload.place(content)  # its parts are sent in parallel


class _PrefixUpload:
    """The files of one package on their way to S3.

    Attributes:
        sent, copied: bytes that were sent, and that S3 copied.
    """

    def __init__(self, plan: PrefixPlan, context: UploadContext) -> None:
        self.sent = self.copied = 0
        self._plan = plan
        self._observation = plan.observation
        self._context = context
        self._placed: dict[S3Uri, tuple[Checksums, str | None]] = {}
        self._noted: set[S3Uri] = set()  # of which only notes in S3 tell the checksums
        self._lock = threading.Lock()

    def location(self, member: Member) -> S3Uri:
        """The key of a file."""
        return self._observation.package.model_uri.child(member.path)

    def place(self, content: ContentPlan) -> None:
        """Bring one file to its key, unless it is there."""
        member, location, limits = content.member, self.location(content.member), self._plan.limits
        if location.key in self._observation.present:
            return
        if member.size > limits.maximum or (member.size > limits.sent_size and not content.origin):
            sums, etag, sent, copied = self._multipart(content, location)
        elif content.origin:
            sums, sent, copied = self._bound_sums(content.origin, member), 0, member.size
            etag = self._context.store.copy(content.origin.seen, location, self._context.algorithms[0])
        else:
            (sums, etag), sent, copied = self._put(member, location), member.size, 0
        self.placed(location, sums, etag)
        with self._lock:
            self.sent += sent
            self.copied += copied

    def placed(self, location: S3Uri, sums: Checksums, etag: str | None) -> None:
        """A file is at its key; its bytes are proved under `etag`, if there is one."""
        with self._lock:
            self._placed[location] = sums, etag

    def _multipart(self, content: ContentPlan, location: S3Uri) -> tuple[Checksums, str | None, int, int]:
        member, origin = content.member, content.origin
        known = FramedChecksums(self._bound_sums(origin, member), ContentChecksum()) if origin else None
        runs = [Match(0, 0, 0, member.size)] if origin else []
        parts = plan_parts(member.size, runs, self._plan.limits)
        subject, journal = str(member.digest), self._journal(member)
        upload = MultipartUpload(self._context, FileTarget(member), location, subject, journal)
        result = upload.run(parts, [origin.seen] if origin else [], [known])
        return result.whole, result.etag, result.sent, result.copied

    def _bound_sums(self, origin: Origin, member: Member) -> Checksums:
        """The checksums of a file to copy; one that nothing binds is read and hashed, and remembered."""
        if origin.sums is not None:
            return origin.sums.framed
        sums = self._read(origin.seen, member)
        with self._lock:
            known = verified_file(origin.seen.etag, member.digest, sums)
            self._context.verified.add(origin.index_uri.parent, {origin.seen.location.key: known})
        return sums

    def _read(self, seen: ObjectRef, member: Member) -> Checksums:
        self._context.progress.note(
            f"reading {seen.location} ({format_bytes(member.size)}): its SHA-256 is checked before it is used"
        )
        return read_file(self._context.store, seen, member)

    def _put(self, member: Member, location: S3Uri) -> tuple[Checksums, str | None]:
        data = b"".join(choose(self._context.sources, member).open(member.digest, 0, member.size))
        found = Digest.sha256(data)
        if found != member.digest:
            raise IntegrityError(
                f"the content has {found}, not {member.digest}",
                where=member.path,
                fix="the source does not hold what was locked; nothing was released",
            )
        sums, algorithm = Checksums.of(data), self._context.algorithms[0]
        checksum = (algorithm, sums.value(algorithm))
        content_type = "application/octet-stream"
        etag = self._context.store.put(location, data, content_type=content_type, if_absent=True, checksum=checksum)
        return sums, etag

    def confirm(self, member: Member) -> StoredFile:
        """Check that a file is at its key; one that was there before this run, and that nothing binds, is read."""
        location = self.location(member)
        if location in self._placed:
            sums, written = self._placed[location]
            etag = confirm(self._context.store, location, sums).etag
            if etag != written and self._context.must_prove:  # another publisher wrote it, or somebody replaced it
                self._read(ObjectRef(location, etag), member)
            return StoredFile(member, etag, sums)
        etag = self._observation.present[location.key]
        sums = self._known_sums(location, member, etag) or self._read(ObjectRef(location, etag), member)
        return StoredFile(member, etag, sums)

    def is_proved(self, file: StoredFile) -> bool:
        """Whether a confirmed file is more than what workers, or another publisher, say of it."""
        location = self.location(file.member)
        written = self._placed[location][1] if location in self._placed else file.etag
        return location not in self._noted and (written == file.etag or self._context.must_prove)

    def _known_sums(self, location: S3Uri, member: Member, etag: str) -> Checksums | None:
        """What is known of an object that was there before: by this machine's memory, the list of files, or the journal."""
        verified, index = self._observation.verified.get(location.key), self._observation.index
        if verified is not None:
            same = verified.etag == etag and member.digest in verified.sums
            return verified.sums[member.digest].framed if same else None
        if not self._observation.is_bound:
            return None
        if index is not None:
            return next((file.sums for file in index.files if (file.member, file.etag) == (member, etag)), None)
        sums = journaled_sums(FileTarget(member), self._journal(member), str(member.digest))
        if sums:
            return sums[0].framed
        package = self._observation.package
        if not package.has_notes(self._observation.present):
            return None
        noted = noted_sums(self._context.store, package, member, self._plan.limits)
        if noted:
            with self._lock:
                self._noted.add(location)
        return noted

    def _journal(self, member: Member) -> Journal:
        return Journal(self._context.journal_dir / f"{member.digest.short}.jsonl")
