"""What an interrupted publication has sent, and S3 still has: `publisher.publish` does not send it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.digest import fingerprint
from sagepack.publish.archive_plan import ArchivePlan
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.upload.divided import plan_digest
from sagepack.publish.upload.journal import Journal
from sagepack.publish.upload.shared import UploadFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sagepack.aws.s3 import S3, S3Uri
    from sagepack.publish.delta.parts import Part
    from sagepack.publish.upload_plan import UploadPlan


@dataclass(frozen=True)
class Resumed:
    """Bytes that were sent before.

    Attributes:
        total: all of them.
        by_path: those of each file.
    """

    total: int = 0
    by_path: dict[str, int] = field(default_factory=dict)


def resumed(plan: UploadPlan, journal_dir: Path, store: S3) -> Resumed:
    """What of a plan was sent before. A journal, or a note in S3, names the upload; whether S3 has the parts, S3 says.

    Raises:
        UserError, RemoteError: S3 does not tell.
    """
    total, by_path = 0, dict[str, int]()
    for location, start, end in _shared(plan, store) if plan.units else _journaled(plan, journal_dir, store):
        total += end - start
        for member, first, last in plan.places(location):
            if overlap := max(0, min(end, last) - max(start, first)):
                by_path[member.path] = by_path.get(member.path, 0) + overlap
    return Resumed(total, by_path)


def _journaled(plan: UploadPlan, journal_dir: Path, store: S3) -> Iterator[tuple[S3Uri, int, int]]:
    """Where in its objects lies what this machine has sent: the journals say so."""
    for path in journal_folder(plan, journal_dir).glob("*.jsonl"):
        state = Journal(path).read()
        stored = store.parts(state.session.upload) if state else None
        if state is None or stored is None:
            continue
        etags = {part.number: part.etag for part in stored}
        kept = {number for number, part in state.done.items() if etags.get(number) == part.etag}
        yield from _sent_ranges(state.session.upload.location, state.session.parts, kept)


def _shared(plan: UploadPlan, store: S3) -> Iterator[tuple[S3Uri, int, int]]:
    """Where in the archive lies what anybody's workers have sent: a note in S3 names the upload."""
    package = plan.observation.package
    if not isinstance(plan, ArchivePlan) or not package.has_notes(plan.observation.present):
        return
    sources = [source.seen for source in plan.observation.sources]
    digest = plan_digest(plan.manifest, plan.parts, plan.units, sources)
    found = UploadFolder(store, package.notes_uri).find(package.model_uri, digest)
    if found is not None:
        sizes = dict(enumerate((part.length for part in plan.parts), 1))
        kept = {number for number, part in found.parts.items() if sizes.get(number) == part.size}
        yield from _sent_ranges(package.model_uri, plan.parts, kept)


def journal_folder(plan: UploadPlan, journal_dir: Path) -> Path:
    """The folder of the journals of one package at one place."""
    return journal_dir / fingerprint([plan.uri, str(plan.manifest.digest)]).short


def _sent_ranges(location: S3Uri, parts: Sequence[Part], kept: set[int]) -> Iterator[tuple[S3Uri, int, int]]:
    """Where in the object those of the kept parts lie that were sent."""
    for number, part in enumerate(parts, 1):
        if number in kept and isinstance(part, SentPart):
            yield location, part.offset, part.offset + part.length
