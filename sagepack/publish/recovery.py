"""The sums of an archive that is in S3 without its index: its publisher was killed in between."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.publish.ledger import Ledger
from sagepack.publish.sources import Source, choose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagepack.publish.journal import Journal
    from sagepack.publish.render import Stretch, Target
    from sagepack.publish.sums import ContentSums

_PIECE = 16 << 20


def recover(
    target: Target, known: Sequence[ContentSums | None], journal: Journal, sources: Sequence[Source], subject: str
) -> tuple[ContentSums, ...]:
    """The sums of every content: from other indexes, from the journal, and by reading what is left.

    Args:
        target: the archive.
        known: what other indexes say.
        journal: of the upload that made it, if it was begun on this machine.
        sources: to read from; the archive itself is among them.
        subject: the journal must be about.

    Raises:
        IntegrityError: a content that was read is not the one that the manifest names.
    """
    state = journal.read()
    if state is not None and state.work.subject == subject:
        known = [first or second for first, second in zip(known, state.work.known, strict=True)]
        ledger = Ledger(target, known)
        for done in state.done.values():
            for stretch in done.stretches:
                ledger.add(stretch)
    else:
        ledger = Ledger(target, known)
    for index, sums in enumerate(ledger.sums):
        if sums is None:
            for stretch in _measure(target, index, choose(sources, target.members[index])):
                ledger.add(stretch)
    return tuple(ledger.wait())


def _measure(target: Target, index: int, source: Source) -> Iterator[Stretch]:
    """The stretches of one content, read from its start to its end."""
    member, sha256 = target.members[index], hashlib.sha256()
    begin, length = target.place(index)
    for start in range(begin, begin + length, _PIECE):
        data = bytearray(min(_PIECE, begin + length - start))
        for stretch, views in target.fill(
            data, start, lambda _, offset, size: source.open(member.digest, offset, size)
        ):
            for view in views:
                sha256.update(view)
            yield stretch
    if sha256.hexdigest() != member.digest.value:
        raise IntegrityError(
            f"the content has SHA-256 {sha256.hexdigest()}, not {member.digest.value}",
            where=member.path,
            fix="what was published is not the package; delete it and run the command again",
        )
