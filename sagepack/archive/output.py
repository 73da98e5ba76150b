"""The file that an archive is written to: beside its target until it is whole.

Nothing is synced to the disk, as `cp`, `tar` and build tools do not: a rename keeps a killed process from leaving half a
file, and `source.Stamp` keeps an archive from before a power cut from being believed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_PREALLOCATION = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Make the folder of `target` and be its only writer; the lock is on the folder itself and leaves nothing behind.

    Raises:
        UserError: another process writes there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError("another process is writing this archive", where=str(target), fix="wait for it") from None
    except OSError:
        pass  # network file systems that lock no folders: the store's own lock has to do
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def replacing(target: Path) -> Iterator[int]:
    """A descriptor of a new file that becomes `target` at the end; on any error nothing stays.

    Its name is fixed, so that what a killed process left is used up by the next run. Call it within `alone`.
    """
    partial = partial_of(target)
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield descriptor
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def partial_of(target: Path) -> Path:
    """Where `replacing` writes before it renames."""
    return target.with_name(f".{target.name.lstrip('.')}.partial")


def preallocate(descriptor: int, size: int) -> None:
    """Reserve the blocks of a file, so that a full disk is told before anything is written.

    Raises:
        OSError: there is no room.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, in as many calls as the system wants."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count


@contextmanager
def telling(target: Path, size: int) -> Iterator[None]:
    """Turn what the system says about writing `target` into an error for people.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        where = str(target)
        if error.errno in _FULL:
            raise UserError(
                "the disk is full; nothing was left behind", where=where, fix=_room(target, size)
            ) from error
        reason = error.strerror or str(error)
        raise UserError(f"cannot write the archive: {reason}", where=where, fix="look at its folder") from error


def _room(target: Path, size: int) -> str:
    status = os.statvfs(target.parent)
    free = status.f_bavail * status.f_frsize
    return f"the archive needs {size / 1e9:.2f} GB, {free / 1e9:.2f} GB are free: make room, or build elsewhere"
