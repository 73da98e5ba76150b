"""The sums of an archive that is in S3 without its index, because its publisher was killed in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.publish.upload.verifier import ContentVerifier

if TYPE_CHECKING:
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.upload.journal import Journal
    from sagepack.publish.upload.part_body import UploadTarget


def journaled_sums(target: UploadTarget, journal: Journal, subject: str) -> tuple[FramedChecksums, ...] | None:
    """The sums of every content, if the upload that made the object was this machine's and its journal has them all.

    Args:
        target: the object.
        journal: of its upload.
        subject: what the journal must be about.
    """
    state = journal.read()
    if state is None or state.work.subject != subject or len(state.work.known) != len(target.members):
        return None
    ledger = ContentVerifier(target, state.work.known)
    for done in state.done.values():
        for stretch in done.stretches:
            ledger.add(stretch)
    found = ledger.sums
    return None if None in found else tuple(sums for sums in found if sums is not None)
