"""Files of this disk: written whole or not at all, held by one process at a time, recognized by their stat.

**Is a file as it was?** A `FileStamp` says so from its stat, as git's index does it
(`Documentation/technical/racy-git.txt`), without reading it. The change time belongs to a stamp because, unlike the
modification time, nobody can set it. The boot of the machine belongs to it because nothing here is synced to the disk, as
with any build tool: after a power cut a file of the right size and time may hold zeros. So a stamp of another boot is no
evidence, and the file is read once more. What no stamp shows: a fault of the disk below the file system, and a program
that had mapped the file for writing before the stamp was taken and writes through that map later. Those are found where
the bytes are read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from sagepack.decoding import Size
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

# The coarsest clock of a file system in use: FAT keeps even seconds, HFS+ whole ones.
GRANULARITY_NS = 2_000_000_000
HEAD_BYTES = 2048
"""So much of a file is read to see what it is."""
_HOLDER = ".holder"  # suffix of the file beside a mutex that tells its holders apart
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
    errno.ENOTDIR: "there is a file in the place of a folder: move it away",
    errno.EEXIST: "there is a file in the place of a folder: move it away",
    errno.EISDIR: "there is a folder in the place of a file: move it away",
}


def disk_error(error: OSError, path: Path | None = None, need: int = 0) -> UserError:
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
        fix = f"{fix}: {-(-need >> 20):,} MiB are needed, {free >> 20:,} MiB are free"
    return UserError(reason, where=where, fix=fix)


def unreadable(error: OSError) -> tuple[str, str]:
    """That a file which the user named or wrote cannot be read, and what to do."""
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        return reason, "check the name"
    if isinstance(error, PermissionError):
        return f"cannot be read: {reason}", "give this user the right to read it"
    return f"cannot be read: {reason}", _FIXES.get(error.errno or 0, "copy it to another place and name that one")


@contextmanager
def disk_errors(path: Path, need: int = 0) -> Iterator[None]:
    """Turn what the system says about writing `path` into an error that names it.

    Raises:
        UserError: the user can do something about it.
        OSError: any other failure, as the system reported it, with the name of the file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FIXES:
            raise disk_error(error, path, need) from error
        error.filename = error.filename or str(path)
        raise


def _file_system(path: str) -> os.statvfs_result | None:
    """The state of the file system of `path`, read at the nearest folder that exists."""
    for folder in (Path(path), *Path(path).parents):
        with suppress(OSError):
            return os.statvfs(folder)
    return None


def content_root(folder: Path) -> Path:
    """The folder that links in a model's folder may point into: itself.

    A snapshot of huggingface_hub's cache consists of links to the contents beside it, so there it is the repository's folder
    in the cache.
    """
    inside = folder.resolve()
    is_snapshot = inside.parent.name == "snapshots" and inside.parents[1].name.startswith("models--")
    return inside.parents[1] if is_snapshot else inside


def is_lfs_pointer(head: bytes) -> bool:
    """Whether a file, of which these are the first bytes, stands for one of git LFS that was not fetched."""
    return head.startswith(b"version https://git-lfs.github.com/spec/")


def content_problem(path: Path, inside: Path) -> tuple[str, str] | None:
    """Why `path` is not a file whose content may be published, and the fix.

    Args:
        path: what was found in a folder.
        inside: the resolved folder that a link may point into.
    """
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        return "broken link", "remove it"
    if not target.is_relative_to(inside):
        return f"the link points out of the folder, to {target}", "copy the file instead"
    return None if target.is_file() else ("this is neither a file nor a folder", "remove it")


class FileStamp(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file as stat sees it. An equal stamp means that nobody changed the file since.

    Attributes:
        size: bytes.
        mtime_ns: when the content was last changed, nanoseconds.
        ctime_ns: when the content, the name, the owner or the rights were last changed, nanoseconds.
        inode: number of the file within its device.
        device: number of the device.
        boot: of the machine (`boot`).
    """

    size: Size
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    boot: str

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """The stamp of a stat result."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, boot())

    def fits(self, status: os.stat_result) -> bool:
        """Whether a file with this stat is the one that was stamped, unchanged."""
        return bool(self.boot) and stat.S_ISREG(status.st_mode) and self == FileStamp.of(status)


@cache
def boot() -> str:
    """A name of this run of the kernel; empty where the system has none, and then no stamp is evidence."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def backdate_mtime(file: Path | int) -> None:
    """Set the modification time of a file that this program has just written back by more than any clock's step.

    Any later write gets the time of that write, so that it cannot be mistaken for this one.
    """
    past = time.time_ns() - GRANULARITY_NS - 1_000_000
    os.utime(file, ns=(past, past))


def write_atomically(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, whole or not at all, whatever happens meanwhile; several processes may do so at once.

    What a killed writer of `path` left behind is removed: a file `.<name>.<8 hex digits>` that nobody holds a lock on.

    Raises:
        UserError: the disk is full, or the file may not be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        partial, file = _open_partial(path)
        try:
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def require_output(path: Path, shown: str, flag: str, kind: str, is_own: Callable[[bytes], bool]) -> None:
    """Check that a file which the user named for an output may be written, before anything is done for it.

    Nothing is there yet, or an empty file, or an earlier output, or something that keeps nothing, such as a pipe.

    Args:
        path: the file.
        shown: its name in messages.
        flag: the flag that names it.
        kind: what is written, as messages name it.
        is_own: whether a file is an earlier one, from its first `HEAD_BYTES`.

    Raises:
        UserError: a folder or a file of another kind is there, which writing would lose.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError("there is a folder of that name", where=shown, fix=f"name a file with {flag}")
        head = _head(path) if stat.S_ISREG(mode) else b""
    except (FileNotFoundError, NotADirectoryError):
        return  # whoever writes it says what is in the way
    except OSError as error:
        raise disk_error(error, path) from error
    if head and not is_own(head):
        message = f"there is a file of that name which is no {kind}"
        raise UserError(message, where=shown, fix=f"name another file with {flag}, or move that one away")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def write_output(path: Path, data: bytes) -> None:
    """Write what the user wants in a file: as `write_atomically`, and into a pipe or a device as it is.

    Raises:
        UserError: the disk is full, or the file may not be written.
    """
    with disk_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(data)
            return
    write_atomically(path, data)


def _open_partial(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, locked while it is open."""
    while True:
        partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        file = partial.open("xb")  # with the rights that the user's umask gives, which mkstemp would not
        if try_lock(file) and os.fstat(file.fileno()).st_nlink:
            return partial, file
        file.close()  # another writer took it for a leftover before it was locked


def try_lock(file: BinaryIO | int) -> bool:
    """Lock a file until it is closed; false if somebody else has it. True as well where a file system has no locks.

    Args:
        file: it, or its descriptor.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def is_locked(path: Path) -> bool | None:
    """Whether somebody has locked the file with `try_lock`; None where a file system does not say.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return None
    return False


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` left: their locks ended with them."""
    leftover = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}")
    for found in path.parent.iterdir():
        if leftover.fullmatch(found.name):
            with suppress(OSError), found.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.unlink()


def holds(path: Path, text: str) -> bool:
    """Whether the file is there and holds `text`."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def last_holder(mutex: Path) -> str:
    """What tells the command that held a mutex last from all others; empty if none did."""
    try:
        return mutex.with_suffix(_HOLDER).read_text()
    except (OSError, UnicodeDecodeError):
        return ""


@contextmanager
def exclusive(mutex: Path, waiting: Callable[[str], AbstractContextManager[None]]) -> Iterator[str]:
    """Hold the mutex `build/<name>-<env>.lock`, and wait for the command that holds it.

    Its value is the `last_holder` before this command.

    Args:
        mutex: the lock file.
        waiting: entered while another command is waited for, with what to say of it.

    Raises:
        UserError: that has not ended for an hour.
    """
    # filelock takes as long to import as all the rest of a run with nothing to do.
    import filelock  # noqa: PLC0415

    mutex.parent.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(mutex)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        try:
            with waiting(f"waiting for another command for {mutex.stem}"):
                held.acquire(timeout=3600)
        except filelock.Timeout as error:
            raise UserError(
                f"another command for {mutex.stem} has been running for an hour",
                where=str(mutex),
                fix="end that command, or wait for it",
            ) from error
    try:
        before = last_holder(mutex)
        with suppress(OSError):  # of a full disk, what the command writes will tell
            mutex.with_suffix(_HOLDER).write_text(os.urandom(16).hex())
        yield before
    finally:
        held.release()
