"""Replaces the end of an archive in its own file, on file systems that cannot share blocks between files.

Three steps:

    .<name>.partial  has the new end, complete and at its offset (before it is a hole)     <name> is the old archive
    .<name>.editing  is the archive, renamed, while its end is replaced                    <name> does not exist
    <name>           is the new archive

Copying the beginning instead takes 2 s for 4 GiB that are in memory, and writes 4 GiB to the disk; this takes some
milliseconds. During that time, and after a kill within it until the next build, there is no archive. There is never an
incomplete file under its name, and no program that has the file open sees it change: the kernel grants a lease (fcntl(2),
F_SETLEASE) only if no other descriptor of the file is open. A file that a killed process has left is not used: the next
build removes it, and writes the whole archive.
"""

from __future__ import annotations

import fcntl
import os
import signal
from concurrent.futures import Future, wait
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from sagepack.files import FileStamp, backdate_mtime
from sagepack.package.archive.output import preallocate, write_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIN_REUSED = 64 << 20  # fewer bytes are copied in less than a tenth of a second
MAX_REPLACED = 16 << 20  # more bytes take longer than some milliseconds
_CHUNK = 1 << 20


def replace_end(target: Path, stamp: FileStamp, end: int, start: int, size: int) -> FileStamp | None:
    """Replace everything from `start` on, so that `target` has `size` bytes. Call it within `output.single_writer`.

    Args:
        target: the archive.
        stamp: of its file, when it was written.
        end: descriptor of a file that has the new end at the same offset.
        start: offset of the first byte that changes.
        size: bytes of the new archive.

    Returns:
        The stamp of the new archive; None where this is not possible or not faster, and then nothing has changed.

    Raises:
        OSError: the disk has too little space, and the old archive is unchanged; or the disk failed, and there is no archive.
    """
    if start < MIN_REUSED or size - start > MAX_REPLACED:
        return None
    try:
        archive = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(archive)
        if not stamp.fits(status) or status.st_nlink != 1 or _is_open_elsewhere(archive):
            return None
        return _uninterrupted(partial(_edit, target, archive, end, start, size))
    finally:
        os.close(archive)


def _uninterrupted(work: Callable[[], FileStamp | None]) -> FileStamp | None:
    """The result of some work that an interrupt waits for: signals are raised in the main thread, and it has another one.

    An executor would not do: one that is interrupted while its thread starts does not know of it, and waits for nothing.
    """
    result: Future[FileStamp | None] = Future()

    def run() -> None:
        if result.set_running_or_notify_cancel():
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised where the result is taken
                result.set_exception(error)

    try:
        Thread(target=run, name="edit").start()
        return result.result()
    finally:
        if not result.cancel():  # it has begun
            wait([result])


def sweep(target: Path) -> None:
    """Remove the file of a build that was killed during an edit. Call it within `output.single_writer`."""
    _editing(target).unlink(missing_ok=True)


def _edit(target: Path, archive: int, end: int, start: int, size: int) -> FileStamp | None:
    editing = _editing(target)
    target.rename(editing)
    is_complete = True
    try:
        if _is_open_elsewhere(archive):  # by a program that opened it before the rename
            return None
        _grow(archive, size)
        is_complete = False
        _copy(end, archive, start, size)
        os.ftruncate(archive, size)
        backdate_mtime(archive)
        is_complete = True
    finally:
        editing.rename(target) if is_complete else editing.unlink()
    return FileStamp.of(os.fstat(archive))


def _is_open_elsewhere(archive: int) -> bool:
    """Whether another descriptor or mapping of the file exists, or may exist. After the rename nobody can open it."""
    try:
        # A process that opens the file now waits until the lease ends, and this one gets a signal: one without effect.
        fcntl.fcntl(archive, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(archive, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(archive, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return True
    return False


def _grow(archive: int, size: int) -> None:
    """Reserve the new blocks while the old end is still unchanged."""
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
