"""Publishing: from a plan to a package that is whole, in an order that a kill cannot spoil."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, fingerprint
from sagepack.publish.index import Files, Index, Pointer
from sagepack.publish.journal import Journal
from sagepack.publish.keys import ARCHIVE, pointer
from sagepack.publish.multipart import Means, MultipartUpload, confirm
from sagepack.publish.plan import UploadPlan
from sagepack.publish.plan import plan as plan_upload
from sagepack.publish.planner import Literal
from sagepack.publish.prefix import publish_files
from sagepack.publish.recovery import recover
from sagepack.publish.release import Release
from sagepack.publish.render import Archive
from sagepack.publish.sources import Source, StoredArchives, StoredFiles
from sagepack.remote.s3 import ChangedError, Seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from sagepack.progress import Progress
    from sagepack.publish.sums import Sums
    from sagepack.remote.s3 import S3, Head, Location

_PLANS = 5  # how often a source may vanish before it is a failure


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
    workers: int = 8,
    executor: Executor | None = None,
    now: datetime | None = None,
) -> Published:
    """Make what the plan says, and prove it.

    Args:
        store: S3, as the spec wants it used.
        plan: from `plan`.
        sources: where contents come from, the best first; what S3 itself holds is asked before untrusted ones.
        journal_dir: folder for the journal that lets the next run continue this one.
        provenance: document to publish beside the package (`provenance.statement`).
        progress: told what happens.
        workers: parts at a time; memory stays below 200 MiB of parts whatever it is.
        executor: runs the parts, in this process, in the order they are given; None for threads of its own.
        now: time of the release (UTC).

    Raises:
        IntegrityError: a content is not what the manifest says, or the object in S3 is another; nothing was published.
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
    run = _Run(store, sources, _journals(plan, journal_dir), provenance, progress, workers, executor)
    return _publish(run, plan, now or datetime.now(timezone.utc), _PLANS)


def already_sent(plan: UploadPlan, journal_dir: Path) -> int:
    """Bytes that an interrupted publication sent, as its journal says: what `publish` will not send again.

    A hint for people: whether S3 still has them, `publish` asks.
    """
    sent = 0
    for path in _journals(plan, journal_dir).glob("*.jsonl"):
        state = Journal(path).read()
        if state is not None:
            parts = dict(enumerate(state.work.parts, 1))
            sent += sum(part.length for n, part in parts.items() if n in state.done and isinstance(part, Literal))
    return sent


def _journals(plan: UploadPlan, journal_dir: Path) -> Path:
    """The folder of the journals of one package at one place."""
    return journal_dir / fingerprint([str(plan.observation.package.model), str(plan.manifest.digest)]).short


def _publish(run: _Run, plan: UploadPlan, now: datetime, tries: int) -> Published:
    """Publish; if a source of a copy vanished, plan again without it."""
    try:
        if plan.observation.package.layout == ARCHIVE:
            return run.archive(plan, now)
        return run.files(plan, now)
    except ChangedError as error:
        if tries == 1:
            raise
        run.progress.note(f"{error.location} changed or is gone: planning without it")
        again = plan_upload(plan.observation.without(error.location), plan.manifest, plan.layout, plan.limits)
    return _publish(run, again, now, tries - 1)


@dataclass(frozen=True)
class _Run:
    store: S3
    sources: Sequence[Source]
    journals: Path
    provenance: Mapping[str, Any]
    progress: Progress
    workers: int
    executor: Executor | None

    def _means(self, stored: Sequence[Source]) -> Means:
        trusted = [source for source in self.sources if source.trusted]
        others = [source for source in self.sources if not source.trusted]
        return Means(self.store, [*trusted, *stored, *others], self.progress, self.workers, self.executor)

    def archive(self, plan: UploadPlan, now: datetime) -> Published:
        """Publish as an archive."""
        observation, target = plan.observation, Archive(plan.layout, plan.manifest)
        package, journal = observation.package, Journal(self.journals / "archive.jsonl")
        archives = [(held.seen, held.index.layout, held.index.manifest) for held in observation.held]
        known = [plan.known.get(member.digest) for member in target.members]
        sent = copied = 0
        if observation.head is None:
            means = self._means([StoredArchives(self.store, archives)])
            upload = MultipartUpload(means, target, package.model, str(plan.manifest.digest), journal)
            outcome = upload.run(plan.parts, [held.seen for held in observation.held], known)
            sums, whole, sent, copied = outcome.sums, outcome.whole, outcome.sent, outcome.copied
        else:
            own = (Seen(package.model, observation.head.etag), plan.layout, plan.manifest)
            means = self._means([StoredArchives(self.store, [*archives, own])])
            index = observation.index if isinstance(observation.index, Index) else None
            sums = index.sums if index else recover(target, known, journal, means.sources, str(plan.manifest.digest))
            whole = target.whole(sums)
        head = confirm(self.store, package.model, whole)
        self._documents(plan, Index(plan.manifest, sums, head.etag, whole).text(), head, now)
        journal.clear()
        return Published(plan.uri, head.etag, head.version_id, head.size, head.checksums, sent, copied)

    def files(self, plan: UploadPlan, now: datetime) -> Published:
        """Publish as files under a prefix."""
        objects: dict[Digest, Seen] = {}
        known: dict[Digest, Sums] = {}
        for held in reversed(plan.observation.files):
            for file in held.files.files:
                objects[file.member.digest] = Seen(held.location.child(file.member.path), file.etag)
                known[file.member.digest] = file.sums
        means = self._means([StoredFiles(self.store, objects)])
        files, sent, copied = publish_files(plan, means, objects, known, self.journals)
        self._documents(plan, Files(files).text(), None, now)
        for journal in self.journals.glob("*.jsonl"):
            journal.unlink(missing_ok=True)
        return Published(plan.uri, None, None, plan.size, {}, sent, copied)

    def _documents(self, plan: UploadPlan, index: bytes, head: Head | None, now: datetime) -> None:
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

    def _put(self, location: Location, data: bytes) -> None:
        """Write a document, over another that is there: a stale or damaged one. A bucket may allow conditional writes alone."""
        if not self.store.put(location, data, if_absent=True) and self.store.read(location) != data:
            self.store.put(location, data)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"
