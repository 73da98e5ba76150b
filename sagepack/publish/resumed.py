"""What an interrupted publication has sent, and S3 still has: `publisher.publish` does not send it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.digest import fingerprint
from sagepack.publish.delta.parts import SentPart
from sagepack.publish.upload.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.s3 import S3
    from sagepack.publish.upload.journal import UploadSession
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
    """What of a plan was sent before. A journal names the upload and its parts; whether S3 has them still, S3 says.

    Raises:
        UserError, RemoteError: S3 does not tell.
    """
    total, by_path = 0, dict[str, int]()
    for path in journal_folder(plan, journal_dir).glob("*.jsonl"):
        state = Journal(path).read()
        stored = store.parts(state.session.upload) if state else None
        if state is None or stored is None:
            continue
        etags = {part.number: part.etag for part in stored}
        kept = {number for number, part in state.done.items() if etags.get(number) == part.etag}
        for start, end in _sent_ranges(state.session, kept):
            total += end - start
            for member, first, last in plan.places(state.session.upload.location):
                if overlap := max(0, min(end, last) - max(start, first)):
                    by_path[member.path] = by_path.get(member.path, 0) + overlap
    return Resumed(total, by_path)


def journal_folder(plan: UploadPlan, journal_dir: Path) -> Path:
    """The folder of the journals of one package at one place."""
    return journal_dir / fingerprint([plan.uri, str(plan.manifest.digest)]).short


def _sent_ranges(session: UploadSession, kept: set[int]) -> list[tuple[int, int]]:
    """Where in the object those of the kept parts lie that were sent."""
    return [
        (part.offset, part.offset + part.length)
        for number, part in enumerate(session.parts, 1)
        if number in kept and isinstance(part, SentPart)
    ]
