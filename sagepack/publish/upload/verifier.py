"""What is known of the contents while the parts of an object are made: their sums, and whether they are genuine."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.publish.checksums import FramedChecksums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.publish.upload.part_body import ContentRange, UploadTarget


class CancelledError(Exception):
    """Another part failed; this one gives up waiting for it."""


class ContentVerifier:
    """Collects stretches of contents from the threads that make parts.

    A part that waits (for its turn in a content's SHA-256, or for all sums) waits only for parts with lower numbers.
    Parts start in the order of their numbers, so what is waited for runs already, and there is no deadlock.
    """

    def __init__(self, target: UploadTarget, known: Sequence[FramedChecksums | None]) -> None:
        self._target = target
        self._condition = threading.Condition()
        self._sums: list[FramedChecksums | None] = [
            FramedChecksums() if member.size == 0 else sums for member, sums in zip(target.members, known, strict=True)
        ]
        self._open = sum(sums is None for sums in self._sums)
        self._stretches: dict[int, dict[int, FramedChecksums]] = {}
        self._lengths: dict[int, int] = {}
        self._hashes = {index: hashlib.sha256() for index in range(len(target.members))}
        self._hashed = dict.fromkeys(self._hashes, 0)
        self._stopped = False

    @property
    def sums(self) -> list[FramedChecksums | None]:
        """The sums of each member's content, as far as they are known."""
        with self._condition:
            return list(self._sums)

    def add(self, stretch: ContentRange) -> None:
        """Take the sums of a stretch; the last one of a content completes it.

        Raises:
            IntegrityError: the content has other sums than the index of an archive says.
        """
        with self._condition:
            stretches = self._stretches.setdefault(stretch.index, {})
            before = stretches.get(stretch.offset, FramedChecksums())
            stretches[stretch.offset] = stretch.sums
            length = self._lengths.get(stretch.index, 0) + stretch.sums.framed.length - before.framed.length
            self._lengths[stretch.index] = length
            if length < self._target.place(stretch.index)[1]:
                return
            total = FramedChecksums()
            for offset in sorted(stretches):
                total += stretches[offset]
            if self._sums[stretch.index] is None:
                self._sums[stretch.index] = total
                self._open -= 1
                self._condition.notify_all()
            elif self._sums[stretch.index] != total:
                raise IntegrityError(
                    "the content has another checksum than the published one of the same SHA-256",
                    where=self._target.members[stretch.index].path,
                    fix="the file changed after it was hashed: run the command again",
                )

    def verify(self, index: int, start: int, views: Sequence[memoryview]) -> bool:
        """Hash bytes of a content, which begin at its byte `start`, when all before them were; True at its end.

        A stretch may hold a block's header and no byte of the content; it has no turn to wait for.

        Raises:
            IntegrityError: the content is not the one that the manifest names.
            StoppedError: another part failed meanwhile.
        """
        if not views:
            return False
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or self._hashed[index] == start)
            if self._stopped:
                raise CancelledError
        # Only the thread whose turn it is touches this hash; it is not under the lock, so that contents hash in parallel.
        length = 0
        for view in views:
            self._hashes[index].update(view)
            length += len(view)
        member = self._target.members[index]
        ended = start + length == member.size
        if ended and self._hashes[index].hexdigest() != member.digest.value:
            raise IntegrityError(
                f"the content has SHA-256 {self._hashes[index].hexdigest()}, not {member.digest.value}",
                where=member.path,
                fix="the source does not hold what was locked; nothing was published",
            )
        with self._condition:
            self._hashed[index] = start + length
            self._condition.notify_all()
        return ended

    def wait(self) -> list[FramedChecksums]:
        """The sums of all contents, when they are known.

        Raises:
            StoppedError: another part failed meanwhile.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or not self._open)
            if self._stopped:
                raise CancelledError
            return [sums for sums in self._sums if sums is not None]

    def stop(self) -> None:
        """Wake everybody who waits: what they wait for will not come."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
