"""The checksums of an object that is in S3 without its index, because its publisher was killed in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.publish.upload.verifier import ContentVerifier

if TYPE_CHECKING:
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.upload.journal import Journal
    from sagepack.publish.upload.part_body import UploadTarget


def journaled_sums(target: UploadTarget, journal: Journal, subject: str) -> tuple[FramedChecksums, ...] | None:
    """The checksums of every content, if this machine made the object and the journal of that upload has them all.

    Args:
        target: the object.
        journal: of its upload.
        subject: what the journal must be about.
    """
    state = journal.read()
    if state is None or state.session.subject != subject or len(state.session.known) != len(target.members):
        return None
    verifier = ContentVerifier(target, state.session.known)
    for completed in state.done.values():
        for content_range in completed.ranges:
            verifier.add(content_range)
    found = verifier.sums
    return None if None in found else tuple(sums for sums in found if sums is not None)
