"""Publishing: from a plan to a package that is complete in S3, in an order that a kill cannot spoil."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ChangedError, RefusedError
from sagepack.digest import Digest
from sagepack.errors import RemoteError
from sagepack.package.attest import provenance as attested
from sagepack.package.attest import sbom as bills
from sagepack.publish.archive import publish_archive
from sagepack.publish.archive_plan import ArchivePlan
from sagepack.publish.documents import Pointer
from sagepack.publish.gate import is_signed
from sagepack.publish.keys import pointer_uri
from sagepack.publish.prefix import publish_prefix
from sagepack.publish.prefix_plan import PrefixPlan
from sagepack.publish.release import Release
from sagepack.publish.resumed import journal_folder
from sagepack.publish.signatures import sign
from sagepack.publish.upload.context import UploadContext, Uploaded
from sagepack.publish.upload.proof import SourceError
from sagepack.publish.upload.shared import UploadFolder
from sagepack.publish.verified import VerifiedObjects
from sagepack.workers import pause, worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri
    from sagepack.package.attest.dsse import Signer
    from sagepack.package.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.publish.keys import Package
    from sagepack.publish.upload.context import UnitWorkers
    from sagepack.publish.upload.sources import Source
    from sagepack.publish.upload_plan import UploadPlan


_SIGNERS_AT_ONCE = 5  # how often all documents of a package are written again


@dataclass(frozen=True)
class Published:
    """A package that is complete.

    Attributes:
        uri: of the archive, or the prefix of the files: what SageMaker gets.
        size: bytes of it.
        archive: what S3 says of the archive; None for a prefix.
        sent_bytes, copied_bytes, fetched_bytes: of the model, in this run; the last ones from the Hub, to be sent.
    """

    uri: str
    size: int
    archive: ObjectInfo | None
    sent_bytes: int = 0
    copied_bytes: int = 0
    fetched_bytes: int = 0


def publish(
    store: S3,
    plan: UploadPlan,
    sources: Sequence[Source],
    journal_dir: Path,
    *,
    provenance: bytes,
    sbom: bytes | None = None,
    progress: Progress,
    verified: VerifiedObjects | None = None,
    signer: Signer | None = None,
    workers: int = 8,
    units: UnitWorkers | None = None,
    now: datetime | None = None,
) -> Published:
    """Carry out a plan, and prove the result.

    If a source of a copy was deleted or replaced, or holds other bytes than its index says, the upload is planned again without
    it. So who can write to a source can neither make this fail nor change what is published.

    Args:
        store: S3, with the write options of the spec.
        plan: from `plan_upload`.
        sources: where contents come from, the best first.
        journal_dir: folder for the journals that let the next run continue this one.
        provenance: document to publish next to the model (`attest.provenance`).
        sbom: another one (`attest.sbom`); None publishes none.
        progress: is notified of what happens.
        verified: what this machine knows of objects in S3; what it learns is added.
        signer: signs the package: every byte of it was hashed while it was sent, or is bound to its hash.
        workers: parts that are sent at a time, fewer where the memory holds no more.
        units: who makes the units of the plan, if it has any.
        now: time of the release (UTC).

    Raises:
        IntegrityError: a content is not what the manifest says, or the object in S3 is another; nothing was released.
        UserError: credentials or permissions; the same call continues where this one stopped.
        RemoteError: S3 or the Hub failed after retries; the same call continues.
    """
    if plan.done:
        return Published(plan.uri, plan.size, plan.observation.archive)
    package, now = plan.observation.package, now or datetime.now(timezone.utc)
    documents = {package.manifest_uri: plan.manifest.text().encode(), package.provenance_uri: provenance}
    if sbom is not None:
        documents[package.sbom_uri] = sbom
    context = UploadContext(
        store,
        sources,
        journal_folder(plan, journal_dir),
        verified or VerifiedObjects(None),
        progress,
        documents,
        workers,
        units,
        must_prove=signer is not None,
        serves=partial(_serves, package, documents, is_signed=signer is not None),
    )
    plan, uploaded = _upload_model(plan, context)
    context.write(_pointers(plan))
    release = _release(plan, uploaded, now)
    record = {package.release_uri(now): release.text()}
    if signer is None:
        context.write(record)
    else:
        made = uploaded.documents[package.provenance_uri]
        signatures = sign(package, plan.manifest, release, made, signer, now)
        _write_signed(context, package, plan.manifest, signer, {**uploaded.documents, **signatures}, record)
    for journal in context.journal_dir.glob("*.jsonl"):
        journal.unlink(missing_ok=True)
    if context.units or package.has_notes(plan.observation.present):
        UploadFolder(store, package.notes_uri).clear()
    return Published(plan.uri, plan.size, uploaded.archive, uploaded.sent, uploaded.copied)


def _write_signed(
    context: UploadContext,
    package: Package,
    manifest: Manifest,
    signer: Signer,
    documents: Mapping[S3Uri, bytes],
    record: Mapping[S3Uri, bytes],
) -> None:
    """Write signatures and then the record, and make sure that all that lies beside the model then was signed at once.

    Somebody else may sign the same package at the same time, from another commit of the project: then either writes over what the
    other has written, and the provenance of one may end up beside the signatures of the other. Whoever has overwritten something looks
    at the end, and writes everything of its own again where it is mixed; so the last one that writes leaves it whole.

    Raises:
        RemoteError: it is mixed again each time.
    """
    context.write({location: documents[location] for location in package.signature_uris})
    context.write(record)
    if not context.overwritten:
        return
    for attempt in range(_SIGNERS_AT_ONCE):
        if is_signed(context.store, package, lambda: manifest, (signer.public,)):
            return
        if attempt:
            pause(attempt * random.random())  # noqa: S311 - that not both write at once again
        with worker_pool(context.workers, "documents") as pool:
            list(pool.map(context.store.put, *zip(*{**documents, **record}.items(), strict=True)))
    raise RemoteError(
        "others sign this package at the same time, again and again",
        where=str(package.folder),
        fix="run the same command again when they are done; nothing serves it before it is whole",
    )


def _upload_model(plan: UploadPlan, context: UploadContext) -> tuple[UploadPlan, Uploaded]:
    """Upload the model, and return the plan that worked.

    Each source that was deleted or replaced, or holds other bytes, is left out of the next plan, so this ends.
    """
    restarted = False
    while True:
        try:
            match plan:
                case ArchivePlan():
                    return plan, publish_archive(plan, context)
                case PrefixPlan():
                    return plan, publish_prefix(plan, context)
            raise TypeError(f"no upload for {type(plan).__name__}")
        except ChangedError as error:
            context.progress.note(f"{error.location} was deleted or replaced: planning again without it")
            suspects = [error.location]
        except SourceError as error:
            if error.location.key.startswith(plan.observation.package.folder.child("").key):
                raise  # not a source but the package's own keys, which are never overwritten
            context.progress.note(f"{error.location}: {error.message}: planning again without it")
            suspects = [error.location]
        except RefusedError as error:
            if not plan.least_bound and restarted:
                raise
            # The upload and its journal were removed: if the journal was damaged, the next one is right.
            restarted = True
            suspects = [origin.seen.location for origin in plan.least_bound]
            blamed = " or ".join(str(origin.index_uri) for origin in plan.least_bound) or "the journal of the upload"
            context.progress.note(f"{error.message}: {blamed} is wrong: planning again without it")
        plan = plan.without(*suspects)


def _pointers(plan: UploadPlan) -> dict[S3Uri, bytes]:
    """What leads other packages to the large contents of this one, where nothing does so yet."""
    package, indexed = plan.observation.package, plan.observation.indexed
    large = {member.digest for member in plan.manifest.members if member.size >= plan.limits.minimum}
    return {
        pointer_uri(package.target, digest, package.format): Pointer(digest, package.path).text()
        for digest in sorted(large - indexed)
    }


def _serves(package: Package, mine: Mapping[S3Uri, bytes], location: S3Uri, there: bytes, *, is_signed: bool) -> bool:
    """Whether a provenance or a bill of materials that is there already may stay: it tells of the same build.

    Others may publish the same package at the same time from another commit, or have begun to with another version of this program:
    so the release records of both list what is there, and nothing has to be overwritten. Who signs vouches only for its own word on
    who built the package.
    """
    if location == package.provenance_uri:
        is_ours = attested.origin(there) == attested.origin(mine[location])
        return attested.same_build(there, mine[location]) and (is_ours or not is_signed)
    return location == package.sbom_uri and bills.same_contents(there, mine[location])


def _release(plan: UploadPlan, uploaded: Uploaded, now: datetime) -> Release:
    """The record that is written last: it says that all the rest is there."""
    package, archive = plan.observation.package, uploaded.archive
    return Release(
        package.name,
        package.format,
        plan.manifest.digest,
        plan.uri,
        plan.size,
        now,
        archive.etag if archive else None,
        archive.version_id if archive else None,
        archive.checksums if archive else None,
        {location.key.rpartition("/")[2]: Digest.sha256(data) for location, data in uploaded.documents.items()},
    )
