"""Writes an archive: all of it, or only what follows the part that it shares with the previous one."""

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
from sagepack.package.archive.output import preallocate, single_writer, staging, write_at
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
    """One thread for each processor, up to 8: with more, computing the digest of the archive takes the longest."""
    return min(os.cpu_count() or 1, 8)


def write(
    sources: Sequence[Source],
    target: Path,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
    previous: Previous | None = None,
) -> Written:
    """Write the archive of `sources` to `target`; an old archive stays until the new one is complete and was checked.

    There is never anything else under that name. For some milliseconds, while the end of a large archive is replaced in its
    own file (`inplace`), there is no file.

    Args:
        sources: files in archive order.
        target: path of the archive; its folder is created.
        threads: number of reading threads; default `default_threads()`.
        progress: receives the number of bytes of the archive as they are written.
        previous: an archive whose beginning may be reused; ignored if its file has changed. It may be at `target`.

    Raises:
        UserError: a source is missing, changed, or cannot be read; the disk is full; another process writes there.
        IntegrityError: a source has another digest or CRC-32 than it must have.
        ValueError: the sources are not in archive order.
    """
    layout = Layout.of(sources)
    stamps = stat_sources(sources)
    with files.disk_errors(target, layout.size), single_writer(target):
        inplace.sweep(target)
        shared = reuse.shared_prefix(previous, sources, layout)
        with (progress or Silent()).bar("writing", layout.size) as advance:
            job = ArchiveJob(sources, stamps, layout, threads or default_threads(), advance)
            return (shared and job.write_after(shared, target)) or job.write_all(target)


def confirm(archive: Path, written: Written, progress: Progress | None = None) -> Written | None:
    """Read an archive whose stamp has changed since it was written.

    Returns:
        `written` with the new stamp if the bytes are the same, else None.

    Raises:
        UserError: another process is writing this archive.
    """
    try:
        with single_writer(archive), (progress or Silent()).bar("checking", written.size) as advance:
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
    """One archive to write, in one of two ways: `write_all` or `write_after`."""

    sources: Sequence[Source]
    stamps: Sequence[FileStamp]
    layout: Layout
    threads: int
    advance: Callable[[int], None]

    @property
    def _mark(self) -> int:
        """Offset of the code: the next build most likely shares everything before it."""
        starts = (entry.offset for entry in self.layout.entries if entry.path.startswith("code/"))
        return next(starts, self.layout.end_offset)

    def write_all(self, target: Path) -> Written:
        """Write the whole archive from the sources."""
        with staging(target) as staged:
            preallocate(staged.descriptor, self.layout.size)
            written = self._write(staged.descriptor, open_sha256(self._mark))
            return replace(written, stamp=staged.publish())

    def write_after(self, prefix: SharedPrefix, target: Path) -> Written | None:
        """Take the shared prefix from the previous archive, and write the rest from the sources.

        Returns:
            None if the previous archive changed meanwhile.
        """
        previous, size = prefix.previous, self.layout.size
        hasher = reuse.hash_prefix(prefix, self._mark)
        if hasher is None:
            return None
        self.advance(prefix.length)
        with staging(target) as staged:
            written = self._write(staged.descriptor, hasher, prefix)
            shared, stamp = reuse.share(prefix, staged.descriptor), None
            if not shared and _same(previous.archive, target):
                stamp = inplace.replace_end(target, previous.written.stamp, staged.descriptor, prefix.length, size)
            if stamp is None and reuse.fill(prefix, staged.descriptor, shared, size):
                stamp = staged.publish()
            return replace(written, stamp=stamp) if stamp else None

    def _write(self, output: int, hasher: Hasher, prefix: SharedPrefix | None = None) -> Written:
        """Write everything after the shared prefix, at its offset."""
        known = prefix.previous.written.contents[: prefix.members] if prefix else ()
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
            reused=prefix.length if prefix else 0,
        )

    def _content(self, index: int, pipeline: Pipeline) -> ContentInfo:
        """The entry of a member that was written, after it was compared with its source."""
        source, digest, crc = self.sources[index], pipeline.digests[index], pipeline.crcs[index]
        content = ContentInfo(source.path, source.size, source.executable, digest, crc)
        source.check(content)
        return content


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)
