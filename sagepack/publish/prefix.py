"""Layout `prefix`: every file of a package an object of its own, for SageMaker's `S3Prefix` without compression.

A file that an earlier package has is copied by the server; a small one is put whole, on the condition that there is none;
a large one goes by a multipart upload, which continues after a kill. An object is there whole or not at all, under a key
that the manifest's digest is part of. The list of files is written when all are there. It lies beside the prefix,
because SageMaker loads whatever lies under it.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.delta.match import Match
from sagepack.publish.delta.parts import plan_parts
from sagepack.publish.documents import Files, StoredFile
from sagepack.publish.upload.journal import Journal
from sagepack.publish.upload.multipart import MultipartUpload, UploadContext, confirm
from sagepack.publish.upload.part_body import File
from sagepack.publish.upload.proof import read_file
from sagepack.publish.upload.recovery import journaled_sums
from sagepack.publish.upload.sources import choose
from sagepack.publish.verified import verified_file
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.s3 import S3Uri
    from sagepack.package.manifest import Member
    from sagepack.publish.upload_plan import ContentPlan, Origin, UploadPlan
    from sagepack.publish.verified import VerifiedObjects


def publish_files(
    plan: UploadPlan, means: UploadContext, verified: VerifiedObjects, journals: Path
) -> tuple[tuple[StoredFile, ...], int, int]:
    """Put every file of a package under its prefix; the files as they are there, and the bytes sent and copied.

    Args:
        plan: the package.
        means: S3, sources, progress.
        verified: what this machine knows of objects in S3; what it learns is added.
        journals: folder of the journals of large files.

    Raises:
        ChangedError: an object to copy from is gone or another.
        SourceError: an object to copy from, or one that is there already, is not the file it should be.
        IntegrityError: a content is not what the manifest says.
    """
    work = _Files(plan, means, verified, journals)
    small = [content for content in plan.contents if content.member.size <= plan.limits.literal]
    with ThreadPoolExecutor(means.workers) as pool:
        list(pool.map(work.place, small))
    for content in plan.contents:
        if content.member.size > plan.limits.literal:
            work.place(content)
    with ThreadPoolExecutor(means.workers) as pool:
        files = tuple(pool.map(work.confirm, plan.manifest.members))
    known = {work.location(file.member).key: verified_file(file.etag, file.member.digest, file.sums) for file in files}
    verified.add(plan.observation.package.folder, known)
    return files, work.sent, work.copied


@dataclass
class _Files:
    plan: UploadPlan
    means: UploadContext
    verified: VerifiedObjects
    journals: Path
    sent: int = 0
    copied: int = 0
    sums: dict[S3Uri, Checksums] = field(default_factory=dict)  # of what this run has put, or knows
    lock: threading.Lock = field(default_factory=threading.Lock)

    def location(self, member: Member) -> S3Uri:
        return self.plan.observation.package.model.child(member.path)

    def _placed(self, location: S3Uri, sums: Checksums, sent: int, copied: int) -> None:
        with self.lock:
            self.sums[location] = sums
            self.sent += sent
            self.copied += copied

    def place(self, content: ContentPlan) -> None:
        """Bring one file to its key, unless it is there."""
        member, location = content.member, self.location(content.member)
        if location.key in self.plan.observation.present:
            return
        if member.size > self.plan.limits.maximum or (member.size > self.plan.limits.literal and not content.origin):
            self._multipart(content, location)
        elif content.origin:
            sums = self._bound(content.origin, member)
            self.means.store.copy(content.origin.seen, location, self.means.algorithms[0])
            self._placed(location, sums, 0, member.size)
        else:
            self._put(member, location)

    def _bound(self, origin: Origin, member: Member) -> Checksums:
        """The sums of a file to copy; one that nothing binds is read and hashed, and remembered."""
        if origin.sums is not None:
            return origin.sums.framed
        sums = self._read(origin.seen, member)
        with self.lock:
            known = verified_file(origin.seen.etag, member.digest, sums)
            self.verified.add(origin.index.parent, {origin.seen.location.key: known})
        return sums

    def _read(self, seen: ObjectRef, member: Member) -> Checksums:
        self.means.progress.note(
            f"reading {seen.location} ({format_bytes(member.size)}): its SHA-256 is checked before it is used"
        )
        return read_file(self.means.store, seen, member)

    def _put(self, member: Member, location: S3Uri) -> None:
        data = b"".join(choose(self.means.sources, member).open(member.digest, 0, member.size))
        found = Digest.sha256(data)
        if found != member.digest:
            raise IntegrityError(
                f"the content has {found}, not {member.digest}",
                where=member.path,
                fix="the source does not hold what was locked; nothing was released",
            )
        sums, algorithm = Checksums.of(data), self.means.algorithms[0]
        self.means.store.put(
            location,
            data,
            content_type="application/octet-stream",
            if_absent=True,
            checksum=(algorithm, sums.value(algorithm)),
        )
        self._placed(location, sums, member.size, 0)

    def _multipart(self, content: ContentPlan, location: S3Uri) -> None:
        member, origin = content.member, content.origin
        known = self._bound(origin, member) if origin else None
        runs = [Match(0, 0, 0, member.size)] if origin else []
        parts = plan_parts(member.size, runs, self.plan.limits)
        upload = MultipartUpload(self.means, File(member), location, str(member.digest), self._journal(member))
        outcome = upload.run(
            parts, [origin.seen] if origin else [], [FramedChecksums(known, ContentChecksum()) if known else None]
        )
        self._placed(location, outcome.whole, outcome.sent, outcome.copied)

    def confirm(self, member: Member) -> StoredFile:
        """See that a file is at its key as it should be; one that was there before this run, and that nothing binds, is read."""
        location = self.location(member)
        sums = self.sums.get(location)
        if sums is not None:
            return StoredFile(member, confirm(self.means.store, location, sums).etag, sums)
        etag = self.plan.observation.present[location.key]
        sums = self._known(location, member, etag)
        if sums is None:
            sums = self._read(ObjectRef(location, etag), member)
        return StoredFile(member, etag, sums)

    def _known(self, location: S3Uri, member: Member, etag: str) -> Checksums | None:
        """What is known of an object that was there before."""
        observation = self.plan.observation
        verified = observation.verified.get(location.key)
        if verified is not None:
            same = verified.etag == etag and member.digest in verified.sums
            return verified.sums[member.digest].framed if same else None
        if isinstance(observation.index, Files):
            return next((f.sums for f in observation.index.files if (f.member, f.etag) == (member, etag)), None)
        sums = journaled_sums(File(member), self._journal(member), str(member.digest))
        return sums[0].framed if sums else None

    def _journal(self, member: Member) -> Journal:
        return Journal(self.journals / f"{member.digest.short}.jsonl")
