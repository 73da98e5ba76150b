"""What is known of the contents while the parts of an object are made: their checksums, and whether they are genuine."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.publish.checksums import FramedChecksums
from sagepack.retry import CancelledError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.publish.upload.part_body import ContentRange, UploadTarget


class ContentVerifier:
    """Collects ranges of contents from the threads that make parts, hashes each content in order, adds up checksums.

    A part that waits (for its turn in a content's SHA-256, or for the checksums of all contents) waits only for parts with
    lower numbers. Parts must be started in the order of their numbers: then there is no deadlock.

    Args:
        target: the object that the contents make.
        known: checksums of each content that are known already; None for the others.
    """

    def __init__(self, target: UploadTarget, known: Sequence[FramedChecksums | None]) -> None:
        self._target = target
        self._condition = threading.Condition()
        self._sums: list[FramedChecksums | None] = [
            FramedChecksums() if member.size == 0 else sums for member, sums in zip(target.members, known, strict=True)
        ]
        self._unknown = sum(sums is None for sums in self._sums)
        self._ranges: dict[int, dict[int, FramedChecksums]] = {}
        self._lengths: dict[int, int] = {}
        self._hashes = {index: hashlib.sha256() for index in range(len(target.members))}
        self._hashed = dict.fromkeys(self._hashes, 0)
        self._stopped = False

    @property
    def sums(self) -> list[FramedChecksums | None]:
        """The checksums of each member's content, as far as they are known."""
        with self._condition:
            return list(self._sums)

    def add(self, content_range: ContentRange) -> None:
        """Take the checksums of a range; the last range of a content completes it. The same range may come twice.

        Raises:
            IntegrityError: the content has other checksums than the index of an archive says.
        """
        index, sums = content_range.index, content_range.sums
        with self._condition:
            ranges = self._ranges.setdefault(index, {})
            before = ranges.get(content_range.offset, FramedChecksums())
            ranges[content_range.offset] = sums
            self._lengths[index] = self._lengths.get(index, 0) + sums.framed.length - before.framed.length
            if self._lengths[index] < self._target.place(index)[1]:
                return
            total = FramedChecksums()
            for offset in sorted(ranges):
                total += ranges[offset]
            if self._sums[index] is None:
                self._sums[index] = total
                self._unknown -= 1
                self._condition.notify_all()
            elif self._sums[index] != total:
                raise IntegrityError(
                    "the content has another checksum than the published one of the same SHA-256",
                    where=self._target.members[index].path,
                    fix="the file changed after it was hashed: run the command again",
                )

    def learn(self, index: int, sums: FramedChecksums) -> None:
        """Take the checksums of a content that somebody else has hashed to its end."""
        with self._condition:
            if self._sums[index] is None:
                self._unknown -= 1
            self._sums[index] = sums
            self._condition.notify_all()

    def verify(self, index: int, start: int, views: Sequence[memoryview]) -> bool:
        """Hash bytes of a content, from its byte `start` on, once all bytes before them are hashed.

        A range may hold a block's header and no byte of the content; it has no turn to wait for.

        Returns:
            Whether the content ends with these bytes; then it is the one that the manifest names.

        Raises:
            IntegrityError: the content is not the one that the manifest names.
            CancelledError: another part failed meanwhile.
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
        """The checksums of all contents, once they are known.

        Raises:
            CancelledError: another part failed meanwhile.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._stopped or not self._unknown)
            if self._stopped:
                raise CancelledError
            return [sums for sums in self._sums if sums is not None]

    def stop(self) -> None:
        """Wake every waiting thread: what it waits for will not come."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
