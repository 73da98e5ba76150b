"""Writing an archive: all of it, or what follows the front of the last one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sagepack.archive import framing, journal, reuse
from sagepack.archive.checksum import tar_crc
from sagepack.archive.layout import Layout
from sagepack.archive.output import alone, preallocate, replacing, telling, write_at
from sagepack.archive.pipeline import Pipeline
from sagepack.archive.sha import open_sha256
from sagepack.archive.source import ContentInfo, Previous, Source, Stamp, Written, survey
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sagepack.archive.reuse import Front
    from sagepack.archive.sha import Hasher


def default_threads() -> int:
    """One thread for each processor, up to 8: beyond that the digest of the archive sets the pace."""
    return min(os.cpu_count() or 1, 8)


def write(
    sources: Sequence[Source],
    target: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    previous: Previous | None = None,
) -> Written:
    """Write the archive of `sources` to `target`, which holds at every instant the old archive, the new one, or nothing.

    Args:
        sources: files in archive order.
        target: where the archive goes; its folder is made.
        threads: readers; default `default_threads()`.
        progress: told of bytes of the archive.
        previous: an archive whose front may be taken over; one that changed since is ignored. It may be `target`.

    Raises:
        UserError: a source is missing, changed, or cannot be read; the disk is full; another process writes there.
        ValueError: the sources are not in archive order.
    """
    layout = Layout.of(sources)
    stamps = survey(sources)
    with telling(target, layout.size), alone(target):
        journal.recover(target)
        front = reuse.common_front(previous, sources, layout)
        with (progress or Silent()).bar("tar", layout.size) as advance:
            build = _Build(sources, stamps, layout, threads or default_threads(), advance)
            return build.after(front, target) if front else build.whole(target)


def recover(target: Path) -> bool:
    """Give an archive whose writer was killed its name back; True if there was anything to do.

    Call it before asking whether `target` is there. `write` does it too.

    Raises:
        UserError: another process is writing the archive.
    """
    if not target.parent.is_dir():
        return False
    with telling(target, 0), alone(target):
        return journal.recover(target)


@dataclass(frozen=True)
class _Build:
    """One archive to be written, by one of the ways below."""

    sources: Sequence[Source]
    stamps: Sequence[Stamp]
    layout: Layout
    threads: int
    advance: Callable[[int], None]

    @property
    def _mark(self) -> int:
        """Where the code starts: what the next build most likely has in common with this one."""
        starts = (entry.offset for entry in self.layout.entries if entry.path.startswith("code/"))
        return next(starts, self.layout.end_offset)

    def whole(self, target: Path) -> Written:
        """Everything from the sources."""
        with replacing(target) as output:
            preallocate(output, self.layout.size)
            return self._write(output, open_sha256(self._mark))

    def after(self, front: Front, target: Path) -> Written:
        """The front from the previous archive, the rest from the sources."""
        archive = front.previous.archive
        with archive.open("rb", buffering=0) as source:
            hasher = reuse.hash_front(source.fileno(), front, self._mark)
            self.advance(front.length)
            cloning = reuse.can_clone(source.fileno(), target.parent)
            if not cloning and _same(archive, target) and journal.can_edit(target, front.length, self.layout.size):
                return self._edit(front, target, hasher)
            with replacing(target) as output:
                shared = reuse.clone(source.fileno(), output, front.length) if cloning else 0
                preallocate(output, self.layout.size)
                reuse.copy(source.fileno(), output, shared, front.length)
                written = self._write(output, hasher, front)
                if not reuse.is_current(front.previous):
                    raise UserError("the previous archive changed while it was copied", where=str(archive))
                return written

    def _edit(self, front: Front, target: Path, hasher: Hasher) -> Written:
        def write_end(output: int) -> Written:
            return self._write(output, hasher, front, shift=front.length)

        written, stamp = journal.replace_end(target, front.length, self.layout.size, write_end)
        return replace(written, stamp=stamp)

    def _write(self, output: int, hasher: Hasher, front: Front | None = None, shift: int = 0) -> Written:
        """What follows the front, with the archive's byte `shift` as the first of `output`."""
        known = front.previous.written.contents[: front.members] if front else ()
        pipeline = Pipeline(self.layout, self.sources, self.stamps, output=output, shift=shift, hasher=hasher)
        pipeline.run(len(known), self.threads, self.advance)
        contents = known + tuple(
            ContentInfo(s.path, s.size, s.executable, s.digest or pipeline.digests[index], pipeline.crcs[index])
            for index, s in enumerate(self.sources)
            if index >= len(known)
        )
        crc = tar_crc(self.layout, [content.crc32 for content in contents])
        trailer = framing.trailer(crc, self.layout.tar_size)
        write_at(output, trailer, self.layout.trailer_offset - shift)
        hasher.update(trailer)
        self.advance(len(trailer))
        return Written(
            size=self.layout.size,
            sha256=Digest("sha256", hasher.hexdigest()),
            crc32=crc,
            contents=contents,
            stamp=Stamp.of(os.fstat(output)),
            midstate=hasher.midstate(),
            reused=front.length if front else 0,
        )


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)
