"""The file that an archive is written to: beside its target until it is whole.

Nothing is synced to the disk, as `cp`, `tar` and build tools do not: a rename keeps a killed process from leaving half a
file, and `files.FileStamp` keeps an archive from before a power cut from being believed.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.files import FileStamp, backdate_mtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NO_PREALLOCATION = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENODEV}


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
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


@dataclass(frozen=True)
class Staged:
    """A new file that has not got its name yet.

    Attributes:
        target: the name.
        descriptor: to write to.
    """

    target: Path
    descriptor: int

    @property
    def partial(self) -> Path:
        """Where it is until then. The name is fixed, so that the next build uses up what a killed one left."""
        return self.target.with_name(f".{self.target.name}.partial")

    def publish(self) -> FileStamp:
        """Give the file its name, and say how to know it again."""
        backdate_mtime(self.descriptor)
        self.partial.replace(self.target)
        return FileStamp.of(os.fstat(self.descriptor))


@contextmanager
def staging(target: Path) -> Iterator[Staged]:
    """A new file beside `target`, of which nothing stays unless it was published. Call it within `alone`."""
    partial = Staged(target, -1).partial
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield Staged(target, descriptor)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)


def preallocate(descriptor: int, size: int, start: int = 0) -> None:
    """Reserve the blocks of a file from `start` on, so that a full disk is told before anything is written.

    Raises:
        OSError: there is no room.
    """
    if size <= start:
        return
    try:
        os.posix_fallocate(descriptor, start, size - start)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, in as many calls as the system wants."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count
