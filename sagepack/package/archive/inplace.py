"""Giving an archive another end in its own file: the way of file systems that cannot share blocks between files.

    .<name>.partial  the new end, whole, in its place (the front is a hole)    <name> is the old archive
    .<name>.editing  the archive without its name, while its end is replaced    <name> is not there
    <name>           the new archive

Copying the front instead costs 2 s for 4 GiB that are in memory, and the writing of 4 GiB to the disk; this costs some
milliseconds. The price is that for those milliseconds, and after a kill within them until the next build, there is no
archive. Nothing incomplete ever stands under its name, and no program that has the file open sees it change: whoever
does is asked about with a lease (fcntl(2), F_SETLEASE), which the kernel grants only if nobody else has the file open.
What a kill leaves is not believed: the next build removes it and writes the archive anew.
"""

from __future__ import annotations

import fcntl
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sagepack.files import FileStamp, backdate_mtime
from sagepack.package.archive.output import preallocate, write_at

if TYPE_CHECKING:
    from pathlib import Path

FRONT = 64 << 20  # a shorter front is copied in less than a tenth of a second
END = 16 << 20  # a longer end takes more than some milliseconds
_CHUNK = 1 << 20


def replace_end(target: Path, stamp: FileStamp, end: int, start: int, size: int) -> FileStamp | None:
    """Replace everything from `start` on, so that `target` has `size` bytes. Call it within `output.alone`.

    Args:
        target: the archive.
        stamp: what it was when it was written.
        end: descriptor of a file that holds the new end at its place.
        start: first byte that changes.
        size: bytes of the new archive.

    Returns:
        The stamp of the new archive; None where this is not possible or not worth it, and then nothing has changed.

    Raises:
        OSError: there is no room, and the old archive is in its place; or the disk has a fault, and there is none.
    """
    if start < FRONT or size - start > END:
        return None
    try:
        archive = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(archive)
        if not stamp.fits(status) or status.st_nlink != 1 or _is_open_elsewhere(archive):
            return None
        # In a thread, because signals are handled in the main one alone: an interrupt waits until this is done.
        with ThreadPoolExecutor(1) as beside:
            return beside.submit(_edit, target, archive, end, start, size).result()
    finally:
        os.close(archive)


def sweep(target: Path) -> None:
    """Remove what a build left that was killed within an edit. Call it within `output.alone`."""
    _editing(target).unlink(missing_ok=True)


def _edit(target: Path, archive: int, end: int, start: int, size: int) -> FileStamp | None:
    editing = _editing(target)
    target.rename(editing)
    whole = True
    try:
        if _is_open_elsewhere(archive):  # since a moment ago
            return None
        _grow(archive, size)
        whole = False
        _copy(end, archive, start, size)
        os.ftruncate(archive, size)
        backdate_mtime(archive)
        whole = True
    finally:
        editing.rename(target) if whole else editing.unlink()
    return FileStamp.of(os.fstat(archive))


def _is_open_elsewhere(archive: int) -> bool:
    """Whether another descriptor or mapping of the file exists, or may exist. Without its name none can be added."""
    try:
        # Who opens the file while the lease is held waits, and this process gets a signal: one that ends nobody.
        fcntl.fcntl(archive, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(archive, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(archive, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def _grow(archive: int, size: int) -> None:
    """Reserve the blocks that are new, while the old end is still there."""
    before = os.fstat(archive).st_size
    try:
        preallocate(archive, size, before)
    except OSError:
        os.ftruncate(archive, before)
        raise


def _copy(source: int, output: int, start: int, end: int) -> None:
    for position in range(start, end, _CHUNK):
        write_at(output, os.pread(source, min(_CHUNK, end - position), position), position)


def _editing(target: Path) -> Path:
    return target.with_name(f".{target.name}.editing")
