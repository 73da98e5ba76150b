"""Publishing: from a plan to a package that is whole, in an order that a kill cannot spoil."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import ChangedError, ObjectRef, RefusedError
from sagepack.digest import Digest, fingerprint
from sagepack.publish.checksums import FramedChecksums
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.documents import Files, Index, Pointer
from sagepack.publish.keys import ARCHIVE, pointer
from sagepack.publish.observe import Binding
from sagepack.publish.prefix import publish_files
from sagepack.publish.release import Release
from sagepack.publish.upload.journal import Journal
from sagepack.publish.upload.multipart import MultipartUpload, UploadContext, confirm
from sagepack.publish.upload.part_body import Archive
from sagepack.publish.upload.proof import SourceError, read_archive
from sagepack.publish.upload.recovery import journaled_sums
from sagepack.publish.upload.sources import HubFiles, Source, StoredArchives
from sagepack.publish.upload_plan import UploadPlan
from sagepack.publish.upload_plan import plan as plan_upload
from sagepack.publish.verified import Verified, VerifiedObjects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri
    from sagepack.progress import Progress


@dataclass(frozen=True)
class Published:
    """A package that is whole.

    Attributes:
        uri: of the archive, or the prefix of the files: what SageMaker is told.
        etag, version_id: of the archive; None with layout `prefix`, or without versioning.
        size: bytes of it.
        checksums: of the archive, base64 by algorithm, as the store keeps them.
        sent_bytes, copied_bytes: of the model, in this run.
    """

    uri: str
    etag: str | None
    version_id: str | None
    size: int
    checksums: Mapping[str, str]
    sent_bytes: int = 0
    copied_bytes: int = 0


def publish(
    store: S3,
    plan: UploadPlan,
    sources: Sequence[Source],
    journal_dir: Path,
    *,
    provenance: Mapping[str, Any],
    progress: Progress,
    verified: VerifiedObjects | None = None,
    workers: int = 8,
    executor: Executor | None = None,
    now: datetime | None = None,
) -> Published:
    """Make what the plan says, and prove it.

    A source of a copy that is gone, or that holds other bytes than its index says, costs a new plan without it: nobody
    who can write beside a source can make this fail, or take part in what is published.

    Args:
        store: S3, as the spec wants it used.
        plan: from `plan`.
        sources: where contents come from, the best first.
        journal_dir: folder for the journal that lets the next run continue this one.
        provenance: document to publish beside the package (`provenance.statement`).
        progress: told what happens.
        verified: what this machine knows of objects in S3; what it learns is added.
        workers: parts at a time; memory stays below 200 MiB of parts whatever it is.
        executor: runs the parts, in this process, in the order they are given; None for threads of its own.
        now: time of the release (UTC).

    Raises:
        IntegrityError: a content is not what the manifest says, or the object in S3 is another; nothing was released.
        UserError: credentials or permissions; the same call continues where this one stopped.
        RemoteError: S3 or the Hub failed after retries; the same call continues.
    """
    observation = plan.observation
    if plan.done:
        head = observation.head
        return Published(
            plan.uri,
            head.etag if head else None,
            head.version_id if head else None,
            plan.size,
            head.checksums if head else {},
        )
    run = _Run(
        store,
        sources,
        _journals(plan, journal_dir),
        provenance,
        progress,
        verified or VerifiedObjects(None),
        workers,
        executor,
    )
    return _publish(run, plan, now or datetime.now(timezone.utc))


def already_sent(plan: UploadPlan, journal_dir: Path) -> int:
    """Bytes that an interrupted publication sent, as its journal says: what `publish` will not send again.

    A hint for people: whether S3 still has them, `publish` asks.
    """
    sent = 0
    for path in _journals(plan, journal_dir).glob("*.jsonl"):
        state = Journal(path).read()
        if state is not None:
            parts = dict(enumerate(state.work.parts, 1))
            sent += sum(part.length for n, part in parts.items() if n in state.done and isinstance(part, SentPart))
    return sent


def _journals(plan: UploadPlan, journal_dir: Path) -> Path:
    """The folder of the journals of one package at one place."""
    return journal_dir / fingerprint([str(plan.observation.package.model), str(plan.manifest.digest)]).short


def _publish(run: _Run, plan: UploadPlan, now: datetime) -> Published:
    """Publish; each source that vanished or lied is left out of the next plan, so that this ends."""
    fresh = False
    while True:
        observation = plan.observation
        try:
            return run.archive(plan, now) if observation.package.layout == ARCHIVE else run.files(plan, now)
        except ChangedError as error:
            run.progress.note(f"{error.location} changed or is gone: planned again without it")
            suspects = [error.location]
        except SourceError as error:
            if error.location.key.startswith(observation.package.folder.child("").key):
                raise  # not a source: what lies at the package's own keys, which are never overwritten
            run.progress.note(f"{error.location}: {error.message}: planned again without it")
            suspects = [error.location]
        except RefusedError as error:
            if not plan.least_bound and fresh:
                raise
            fresh = True  # the upload was dropped and its journal removed: if that was damaged, the next one is right
            suspects = [origin.seen.location for origin in plan.least_bound]
            blamed = " or ".join(str(origin.index) for origin in plan.least_bound) or "the journal of the upload"
            run.progress.note(f"{error.message}: {blamed} is wrong: planned again without it")
        for location in suspects:
            observation = observation.without(location)
        plan = plan_upload(observation, plan.manifest, plan.layout, plan.limits)


@dataclass(frozen=True)
class _Run:
    store: S3
    sources: Sequence[Source]
    journals: Path
    provenance: Mapping[str, Any]
    progress: Progress
    verified: VerifiedObjects
    workers: int
    executor: Executor | None

    def _means(self, *stored: Source) -> UploadContext:
        local = [source for source in self.sources if not isinstance(source, HubFiles)]
        hub = [source for source in self.sources if isinstance(source, HubFiles)]
        return UploadContext(self.store, [*local, *stored, *hub], self.progress, self.workers, self.executor)

    def archive(self, plan: UploadPlan, now: datetime) -> Published:
        """Publish as an archive."""
        observation, target, package = plan.observation, Archive(plan.layout, plan.manifest), plan.observation.package
        journal, subject = Journal(self.journals / "archive.jsonl"), str(plan.manifest.digest)
        sent = copied = 0
        verified = False
        if observation.head is None:
            upload = MultipartUpload(self._means(self._stored(plan)), target, package.model, subject, journal)
            outcome = upload.run(plan.parts, [held.seen for held in observation.held], self._bound(plan))
            sums, sent, copied = outcome.sums, outcome.sent, outcome.copied
            head = confirm(self.store, package.model, target.whole(sums))
            verified = head.etag == outcome.etag
        else:
            known, index = None, observation.index
            if package.model.key not in observation.replaced:
                if not isinstance(index, Index):
                    known = journaled_sums(target, journal, subject)
                elif index.etag == observation.head.etag:
                    known = index.sums
            sums = known or self._read_own(plan, observation.head)
            head = confirm(self.store, package.model, target.whole(sums))
            verified = known is None and head.etag == observation.head.etag
        if verified:
            contents = zip((member.digest for member in target.members), sums, strict=True)
            whole = Verified(head.etag, plan.manifest.digest, ((0, target.size),), dict(contents))
            self.verified.add(package.folder, {package.model.key: whole})
        index_text = Index(plan.manifest, sums, head.etag, target.whole(sums)).text()
        self._documents(plan, index_text, head, now)
        journal.clear()
        return Published(plan.uri, head.etag, head.version_id, head.size, head.checksums, sent, copied)

    def _stored(self, plan: UploadPlan) -> StoredArchives:
        """The contents that archives in S3 hold and of which nothing is copied: read, and hashed as any other."""
        places: dict[Digest, tuple[ObjectRef, int]] = {}
        for held in plan.observation.held:
            if held.binding is not Binding.NONE:
                for member, entry in zip(held.index.manifest.members, held.index.layout.entries, strict=True):
                    places.setdefault(member.digest, (held.seen, entry.content_offset))
        return StoredArchives(self.store, places)

    def _bound(self, plan: UploadPlan) -> list[FramedChecksums | None]:
        """The sums of each content of which S3 copies anything. What nothing binds yet is read first, and remembered."""
        read: dict[Digest, FramedChecksums] = {}
        for number, ranges in plan.to_read.items():
            held = plan.observation.held[number]
            manifest, layout = held.index.manifest, held.index.layout
            with self.progress.bar(f"reading {held.location}", sum(end - start for start, end in ranges)) as add:
                found = read_archive(self.store, held.seen, layout, manifest, ranges, add)
            self.verified.add(
                held.folder, {held.location.key: Verified(held.seen.etag, manifest.digest, ranges, found)}
            )
            read |= found
        return [
            (content.origin.sums or read[content.member.digest]) if content.origin else None
            for content in plan.contents
        ]

    def _read_own(self, plan: UploadPlan, head: ObjectInfo) -> tuple[FramedChecksums, ...]:
        """The sums of an archive that is there already, which nothing binds to the manifest: all of it is read.

        Raises:
            IntegrityError: it is not the archive of the manifest.
        """
        location = plan.observation.package.model
        self.progress.note(f"reading {location}: it is there already, and this machine did not write it")
        ranges = ((0, plan.layout.size),)
        try:
            with self.progress.bar("reading", plan.layout.size) as add:
                seen = ObjectRef(location, head.etag)
                found = read_archive(self.store, seen, plan.layout, plan.manifest, ranges, add)
        except SourceError as error:
            message = f"what lies at the key of the package is another archive: {error.message}"
            raise error.with_context(message=message) from error
        return tuple(found.get(member.digest, FramedChecksums()) for member in plan.manifest.members)

    def files(self, plan: UploadPlan, now: datetime) -> Published:
        """Publish as files under a prefix."""
        files, sent, copied = publish_files(plan, self._means(), self.verified, self.journals)
        self._documents(plan, Files(files).text(), None, now)
        for journal in self.journals.glob("*.jsonl"):
            journal.unlink(missing_ok=True)
        return Published(plan.uri, None, None, plan.size, {}, sent, copied)

    def _documents(self, plan: UploadPlan, index: bytes, head: ObjectInfo | None, now: datetime) -> None:
        """Write what makes the package findable, the release record last: it says that all the rest is there.

        Args:
            plan: the package.
            index: its index, or its list of files.
            head: what S3 says of the archive; None with layout `prefix`.
            now: time of the release.
        """
        observation, package = plan.observation, plan.observation.package
        if observation.index is None or observation.index.text() != index:
            self._put(package.index, index)
        large = {m.digest for m in plan.manifest.members if m.size >= plan.limits.minimum} - observation.pointed
        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(lambda digest: self._point(plan, digest), sorted(large)))
        beside = {package.manifest: plan.manifest.text().encode(), package.provenance: _json(self.provenance)}
        for location, data in beside.items():
            self._put(location, data)
        release = Release(
            package.name,
            package.layout,
            plan.manifest.digest,
            plan.uri,
            plan.size,
            now,
            head.etag if head else None,
            head.version_id if head else None,
            head.checksums if head else None,
            {
                location.key.rpartition("/")[2]: Digest.sha256(data)
                for location, data in {package.index: index, **beside}.items()
            },
        )
        self._put(package.release(now), release.text())

    def _point(self, plan: UploadPlan, digest: Digest) -> None:
        package = plan.observation.package
        self._put(pointer(package.target, digest, package.layout), Pointer(digest, package.path).text())

    def _put(self, location: S3Uri, data: bytes) -> None:
        """Write a document, over another that is there: a stale or damaged one. A bucket may allow conditional writes alone."""
        if not self.store.put(location, data, if_absent=True) and self.store.read(location) != data:
            self.store.put(location, data)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"
