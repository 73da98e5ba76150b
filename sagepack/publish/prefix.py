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

from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.publish.index import StoredFile
from sagepack.publish.journal import Journal
from sagepack.publish.matching import Run
from sagepack.publish.multipart import Means, MultipartUpload, confirm
from sagepack.publish.planner import plan_parts
from sagepack.publish.recovery import recover
from sagepack.publish.render import File
from sagepack.publish.sources import StoredFiles, choose
from sagepack.publish.sums import ContentSums, Sums
from sagepack.remote.s3 import Seen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagepack.manifest import Member
    from sagepack.publish.plan import ContentPlan, UploadPlan
    from sagepack.remote.s3 import Location


def publish_files(
    plan: UploadPlan, means: Means, objects: Mapping[Digest, Seen], known: Mapping[Digest, Sums], journals: Path
) -> tuple[tuple[StoredFile, ...], int, int]:
    """Put every file of a package under its prefix; the files as they are there, and the bytes sent and copied.

    Args:
        plan: the package.
        means: S3, sources, progress.
        objects: objects that hold contents, to copy from.
        known: the sums of their contents.
        journals: folder of the journals of large files.

    Raises:
        ChangedError: an object to copy from is gone or another.
        IntegrityError: a content is not what the manifest says.
    """
    work = _Files(plan, means, objects, journals, known)
    small = [content for content in plan.contents if content.member.size <= plan.limits.literal]
    with ThreadPoolExecutor(means.workers) as pool:
        list(pool.map(work.place, small))
    for content in plan.contents:
        if content.member.size > plan.limits.literal:
            work.place(content)
    with ThreadPoolExecutor(means.workers) as pool:
        files = tuple(pool.map(work.confirm, plan.manifest.members))
    return files, work.sent, work.copied


@dataclass
class _Files:
    plan: UploadPlan
    means: Means
    objects: Mapping[Digest, Seen]
    journals: Path
    known: Mapping[Digest, Sums]
    sent: int = 0
    copied: int = 0
    sums: dict[Digest, Sums] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def _location(self, member: Member) -> Location:
        return self.plan.observation.package.model.child(member.path)

    def _count(self, sent: int, copied: int) -> None:
        with self.lock:
            self.sent += sent
            self.copied += copied

    def place(self, content: ContentPlan) -> None:
        """Bring one file to its key, unless it is there."""
        member, location = content.member, self._location(content.member)
        if location.key in self.plan.observation.present:
            return
        if member.size > self.plan.limits.maximum or (member.size > self.plan.limits.literal and not content.source):
            self._multipart(content, location)
        elif content.source:
            self.means.store.copy(self.objects[member.digest], location, self.means.algorithms[0])
            self._count(0, member.size)
        else:
            self._put(member, location)

    def _put(self, member: Member, location: Location) -> None:
        source = choose(self.means.sources, member)
        data = b"".join(source.open(member.digest, 0, member.size))
        if len(data) != member.size or (not source.trusted and Digest.sha256(data) != member.digest):
            raise IntegrityError("the content is not what the manifest says", where=member.path)
        sums, algorithm = Sums.of(data), self.means.algorithms[0]
        self.means.store.put(location, data, if_absent=True, checksum=(algorithm, sums.value(algorithm)))
        with self.lock:
            self.sums[member.digest] = sums
        self._count(member.size, 0)

    def _multipart(self, content: ContentPlan, location: Location) -> None:
        member = content.member
        seen = self.objects[member.digest] if content.source else None
        runs = [Run(0, 0, 0, member.size)] if seen else []
        known = self.known.get(member.digest)
        parts = plan_parts(member.size, runs, self.plan.limits)
        upload = MultipartUpload(self.means, File(member), location, str(member.digest), self._journal(member))
        outcome = upload.run(parts, [seen] if seen else [], [ContentSums(known) if known else None])
        self.sums[member.digest] = outcome.whole
        self._count(outcome.sent, outcome.copied)

    def _journal(self, member: Member) -> Journal:
        return Journal(self.journals / f"{member.digest.short}.jsonl")

    def confirm(self, member: Member) -> StoredFile:
        """See that a file is at its key as it should be."""
        location = self._location(member)
        sums = self.sums.get(member.digest) or self.known.get(member.digest)
        if sums is None:
            # An earlier run put it there and was killed before it wrote the list.
            head = self.means.store.head(location)
            own = [StoredFiles(self.means.store, {member.digest: Seen(location, head.etag)})] if head else []
            sources = [*self.means.sources, *own]
            sums = recover(File(member), [None], self._journal(member), sources, str(member.digest))[0].framed
        return StoredFile(member, confirm(self.means.store, location, sums).etag, sums)
