"""Format `archive`: one object, put together by a multipart upload from parts that S3 copies and parts that are sent.

It is written once. If there is an archive at the key already, it is verified (read completely, unless something binds it to
the manifest), and only the documents next to it are written.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef, UploadGoneError
from sagepack.publish.checksums import FramedChecksums
from sagepack.publish.documents import Index
from sagepack.publish.observation import Binding
from sagepack.publish.upload.context import Uploaded
from sagepack.publish.upload.divided import DividedUpload, Division
from sagepack.publish.upload.journal import Journal
from sagepack.publish.upload.multipart import MultipartUpload, UploadResult, confirm
from sagepack.publish.upload.part_body import ArchiveTarget
from sagepack.publish.upload.proof import SourceError, read_archive
from sagepack.publish.upload.recovery import journaled_sums
from sagepack.publish.upload.shared import UploadFolder
from sagepack.publish.upload.sources import HubFiles, StoredContents
from sagepack.publish.verified import Verified
from sagepack.workers import pause, worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri
    from sagepack.digest import Digest
    from sagepack.publish.archive_plan import ArchivePlan
    from sagepack.publish.upload.context import UploadContext

_LOOKS, _PAUSE = 5, 0.5  # how often an object is looked for whose upload is gone, and the seconds between


def publish_archive(plan: ArchivePlan, context: UploadContext) -> Uploaded:
    """Bring an archive to its key, or make sure that the one there is the right one.

    Args:
        plan: the package.
        context: S3, sources, progress.

    Raises:
        ChangedError: an archive to copy from was deleted or replaced.
        SourceError: an archive to copy from, or the one that is there already, is not what it should be.
        IntegrityError: a content is not what the manifest says.
    """
    package, target = plan.observation.package, ArchiveTarget(plan.layout, plan.manifest)
    result = _bring(plan, context, target)
    sums, whole, etag = result.sums, result.whole, result.etag
    if etag is None:
        etag = confirm(context.store, package.model_uri, whole).etag
    text = Index(plan.manifest, sums, etag, whole).text()
    with worker_pool(1, "head") as pool:
        asked = pool.submit(confirm, context.store, package.model_uri, whole)
        documents = context.write({package.index_uri: text, **context.documents})
        head = asked.result()
    if head.etag != etag:
        # The same bytes were written again meanwhile, or the store completes an upload with another ETag than it keeps.
        text = Index(plan.manifest, sums, head.etag, whole).text()
        documents |= context.write({package.index_uri: text})
    is_proved = result.is_proved and head.etag == etag
    if context.must_prove and not is_proved and not _was_bound(plan, head):
        _read_own_archive(plan, head, context)
        is_proved = True
    if is_proved:
        contents = zip((member.digest for member in target.members), sums, strict=True)
        verified = Verified(head.etag, plan.manifest.digest, ((0, target.size),), dict(contents))
        context.verified.add(package.folder, {package.model_uri.key: verified})
    return Uploaded(documents, head, result.sent, result.copied)


def _was_bound(plan: ArchivePlan, head: ObjectInfo) -> bool:
    """Whether the archive was there before, and something binds it under this ETag."""
    before = plan.observation.archive
    return before is not None and plan.observation.is_bound and before.etag == head.etag


def _bring(plan: ArchivePlan, context: UploadContext, target: ArchiveTarget) -> UploadResult:
    """Upload the archive, unless it is at its key; somebody else may bring it there meanwhile."""
    location, journal = plan.observation.package.model_uri, Journal(context.journal_dir / "archive.jsonl")
    head = plan.observation.archive
    if head is None:
        try:
            return _upload(plan, context, target, journal)
        except UploadGoneError:
            head = _appearing(context.store, location)
            if head is None:
                raise
            context.progress.note(f"{location} is there already: another publisher completed the upload meanwhile")
    known = _known_sums(plan, context, target, journal, head)
    sums = known or _read_own_archive(plan, head, context)
    return UploadResult(sums, target.whole(sums), 0, 0, head.etag, known is None)


def _appearing(store: S3, location: S3Uri) -> ObjectInfo | None:
    """The object of an upload that is gone; S3 may still be putting it together (API reference, CompleteMultipartUpload)."""
    head = store.head(location)
    for _ in range(_LOOKS):
        if head is not None:
            break
        pause(_PAUSE)
        head = store.head(location)
    return head


def _known_sums(
    plan: ArchivePlan, context: UploadContext, target: ArchiveTarget, journal: Journal, head: ObjectInfo
) -> tuple[FramedChecksums, ...] | None:
    """The checksums of the contents of an archive that is there, by its index, or by what its upload has left."""
    observation, package = plan.observation, plan.observation.package
    if package.model_uri.key in observation.replaced:
        return None
    if not observation.is_bound:  # what lies in S3 proves nothing where signatures are demanded
        return None
    index = observation.index
    if observation.archive is None:  # it came while this ran
        index = Index.parse(context.store.read(package.index_uri))
        index = index if index and index.manifest == plan.manifest else None
    if index is not None:
        return index.sums if index.etag == head.etag else None
    if sums := journaled_sums(target, journal, str(plan.manifest.digest)):
        return sums
    if observation.archive is None or package.has_notes(observation.present):
        return UploadFolder(context.store, package.notes_uri).sums_of(target, head)
    return None


def _upload(plan: ArchivePlan, context: UploadContext, target: ArchiveTarget, journal: Journal) -> UploadResult:
    """Upload the archive: by workers where some are named and there is something for them, else by threads of this process."""
    package, places = plan.observation.package, _stored_places(plan)
    sources = [source.seen for source in plan.observation.sources]
    known, context = _copied_sums(plan, context), _with_stored_contents(context, places)
    if context.units and plan.units:
        division = Division(plan.parts, plan.units, sources, known, places)
        return DividedUpload(context, context.units, target, package).run(division)
    return MultipartUpload(context, target, package.model_uri, str(plan.manifest.digest), journal).run(
        plan.parts, sources, known
    )


def _stored_places(plan: ArchivePlan) -> dict[Digest, tuple[ObjectRef, int]]:
    """Where the contents of bound archives lie in S3."""
    places: dict[Digest, tuple[ObjectRef, int]] = {}
    for source in plan.observation.sources:
        if source.binding is not Binding.NONE:
            for member, entry in zip(source.manifest.members, source.index.layout.entries, strict=True):
                places.setdefault(member.digest, (source.seen, entry.content_offset))
    return places


def _with_stored_contents(context: UploadContext, places: Mapping[Digest, tuple[ObjectRef, int]]) -> UploadContext:
    """The context with one more source, before the Hub: contents of bound archives in S3 of which nothing is copied."""
    hub = [source for source in context.sources if isinstance(source, HubFiles)]
    local = [source for source in context.sources if not isinstance(source, HubFiles)]
    return replace(context, sources=[*local, StoredContents(context.store, places), *hub])


def _copied_sums(plan: ArchivePlan, context: UploadContext) -> list[FramedChecksums | None]:
    """The checksums of each content of which S3 copies anything. What nothing binds yet is read first, and remembered."""
    read: dict[Digest, FramedChecksums] = {}
    for number, ranges in plan.to_read.items():
        source = plan.observation.sources[number]
        with context.progress.bar(f"reading {source.location}", sum(end - start for start, end in ranges)) as add:
            found = read_archive(context.store, source.seen, source.index.layout, source.manifest, ranges, add)
        verified = Verified(source.seen.etag, source.manifest.digest, ranges, found)
        context.verified.add(source.folder, {source.location.key: verified})
        read |= found
    return [
        (content.origin.sums or read[content.member.digest]) if content.origin else None for content in plan.contents
    ]


def _read_own_archive(plan: ArchivePlan, head: ObjectInfo, context: UploadContext) -> tuple[FramedChecksums, ...]:
    """The checksums of an archive that is there already, which nothing binds to the manifest: all of it is read.

    Raises:
        SourceError: it is not the archive of the manifest.
    """
    location = plan.observation.package.model_uri
    context.progress.note(f"{location} is there already and this machine did not write it: it is read and compared")
    ranges, seen = ((0, plan.layout.size),), ObjectRef(location, head.etag)
    try:
        with context.progress.bar("reading", plan.layout.size) as add:
            found = read_archive(context.store, seen, plan.layout, plan.manifest, ranges, add)
    except SourceError as error:
        message = f"what lies at the key of the package is another archive: {error.message}"
        raise SourceError(message, error.location) from error
    return tuple(found.get(member.digest, FramedChecksums()) for member in plan.manifest.members)
