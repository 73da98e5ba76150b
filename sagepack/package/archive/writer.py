"""Writing an archive: all of it, or what follows the front of the last one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.digest import Digest, hash_file
from sagepack.files import FileStamp, backdate_mtime
from sagepack.package.archive import framing, inplace, reuse
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.output import exclusive, preallocate, staging, write_at
from sagepack.package.archive.pipeline import Pipeline
from sagepack.package.archive.sha256 import open_sha256
from sagepack.package.archive.source import ContentInfo, Previous, Source, Written, stat_sources
from sagepack.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sagepack.package.archive.reuse import SharedPrefix
    from sagepack.package.archive.sha256 import Hasher


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
    """Write the archive of `sources` to `target`: the old archive stays until the new one is whole and was checked.

    Nothing else ever stands under that name. While a large archive gets another end in its own file (`inplace`), some
    milliseconds, nothing does.

    Args:
        sources: files in archive order.
        target: where the archive goes; its folder is made.
        threads: readers; default `default_threads()`.
        progress: told of bytes of the archive.
        previous: an archive whose front may be taken over; one that changed since is ignored. It may be `target`.

    Raises:
        UserError: a source is missing, changed, or cannot be read; the disk is full; another process writes there.
        IntegrityError: a source does not hold what it must.
        ValueError: the sources are not in archive order.
    """
    layout = Layout.of(sources)
    stamps = stat_sources(sources)
    with files.disk_errors(target, layout.size), exclusive(target):
        inplace.sweep(target)
        front = reuse.common_front(previous, sources, layout)
        with (progress or Silent()).bar("tar", layout.size) as advance:
            build = ArchiveJob(sources, stamps, layout, threads or default_threads(), advance)
            return (front and build.after(front, target)) or build.whole(target)


def confirm(archive: Path, written: Written, progress: Progress | None = None) -> Written | None:
    """Read an archive that may have changed since it was written: what it is now if its bytes are the same, else None.

    Raises:
        UserError: another process writes there.
    """
    try:
        with exclusive(archive), (progress or Silent()).bar("check", written.size) as advance:
            before = FileStamp.of(archive.stat(follow_symlinks=False))
            same = before.size == written.size and hash_file(archive, advance=advance) == written.sha256
            if not same or FileStamp.of(archive.stat(follow_symlinks=False)) != before:
                return None
            backdate_mtime(archive)
            return replace(written, stamp=FileStamp.of(archive.stat(follow_symlinks=False)))
    except OSError:
        return None


@dataclass(frozen=True)
class ArchiveJob:
    """One archive to be written, by one of the ways below."""

    sources: Sequence[Source]
    stamps: Sequence[FileStamp]
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
        with staging(target) as staged:
            preallocate(staged.descriptor, self.layout.size)
            written = self._write(staged.descriptor, open_sha256(self._mark))
            return replace(written, stamp=staged.publish())

    def after(self, front: SharedPrefix, target: Path) -> Written | None:
        """The front from the previous archive, the rest from the sources; None if that archive changed meanwhile."""
        previous, size = front.previous, self.layout.size
        hasher = reuse.hash_front(front, self._mark)
        if hasher is None:
            return None
        self.advance(front.length)
        with staging(target) as staged:
            written = self._write(staged.descriptor, hasher, front)
            shared, stamp = reuse.share(front, staged.descriptor), None
            if not shared and _same(previous.archive, target):
                stamp = inplace.replace_end(target, previous.written.stamp, staged.descriptor, front.length, size)
            if stamp is None and reuse.fill(front, staged.descriptor, shared, size):
                stamp = staged.publish()
            return replace(written, stamp=stamp) if stamp else None

    def _write(self, output: int, hasher: Hasher, front: SharedPrefix | None = None) -> Written:
        """Everything that follows the front, at its place."""
        known = front.previous.written.contents[: front.members] if front else ()
        pipeline = Pipeline(self.layout, self.sources, self.stamps, output=output, hasher=hasher)
        pipeline.run(len(known), self.threads, self.advance)
        contents = known + tuple(self._content(index, pipeline) for index in range(len(known), len(self.sources)))
        crc = tar_crc(self.layout, [content.crc32 for content in contents])
        trailer = framing.trailer(crc, self.layout.tar_size)
        write_at(output, trailer, self.layout.trailer_offset)
        hasher.update(trailer)
        self.advance(len(trailer))
        return Written(
            size=self.layout.size,
            sha256=Digest("sha256", hasher.hexdigest()),
            crc32=crc,
            contents=contents,
            stamp=FileStamp.of(os.fstat(output)),
            midstate=hasher.midstate(),
            reused=front.length if front else 0,
        )

    def _content(self, index: int, pipeline: Pipeline) -> ContentInfo:
        """What was written of a member, and checked."""
        source, digest, crc = self.sources[index], pipeline.digests[index], pipeline.crcs[index]
        content = ContentInfo(source.path, source.size, source.executable, digest, crc)
        source.check(content)
        return content


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)
