"""What a disk refuses, for people: the file, the reason, and what to do."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.units import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

_RIGHTS = "give this user the right to write there"
# The same command continues after each of them.
_FIXES = {
    errno.ENOSPC: "make room on the disk and run the same command again",
    errno.EDQUOT: "make room within your quota and run the same command again",
    errno.EFBIG: "the file system, or this process (`ulimit -f`), allows no file of that size",
    errno.EROFS: "this file system can only be read: work in a copy of the project elsewhere",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.EIO: "the disk has a fault: copy the project elsewhere",
    errno.ENAMETOOLONG: "work in a folder with a shorter path",
    errno.ENOTDIR: "a file stands where a folder belongs: move it away",
    errno.EEXIST: "a file stands where a folder belongs: move it away",
    errno.EISDIR: "a folder stands where a file belongs: move it away",
}


def explained(error: OSError, path: Path | None = None, need: int = 0) -> UserError:
    """The error for people.

    Args:
        error: what the system said.
        path: the file that was to be written; default those that the error names.
        need: bytes that it takes.
    """
    named = " -> ".join(os.fsdecode(name) for name in (error.filename, error.filename2) if name)
    where, reason = str(path or named) or None, error.strerror or str(error) or "the system refused without a reason"
    fix = _FIXES.get(error.errno or 0)
    status = _file_system(where) if error.errno == errno.ENOSPC and where else None
    if status and status.f_files and not status.f_favail:
        reason = "the file system cannot hold one more file (it has no free inode), although it may have room"
        fix = "remove files there, whatever their size, and run the same command again"
    elif status and need:
        free = status.f_bavail * status.f_frsize
        fix = f"{fix}: {amount(need)} are needed, {amount(free)} are free"
    return UserError(reason, where=where, fix=fix)


@contextmanager
def writing(path: Path, need: int = 0) -> Iterator[None]:
    """Turn what the system says about writing `path` into an error that names it.

    Raises:
        UserError: the user can do something about it.
        OSError: any other failure, as the system told it, with the name of the file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FIXES:
            raise explained(error, path, need) from error
        error.filename = error.filename or str(path)
        raise


def _file_system(path: str) -> os.statvfs_result | None:
    """Its state, asked at the nearest folder that is there."""
    for folder in (Path(path), *Path(path).parents):
        with suppress(OSError):
            return os.statvfs(folder)
    return None
