"""The output file of an archive: a partial file next to the target, which is renamed when it is complete.

This is not `files.write_atomically`, which is for documents: that takes the content as bytes in memory, and syncs them. An
archive has many GiB and is written at any offset by several threads. Like `cp`, `tar` and other build tools, this does not
sync. The rename makes sure that a killed process leaves no incomplete archive, and `files.FileStamp` that an archive from
before a power failure is not used.
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
def single_writer(target: Path) -> Iterator[None]:
    """Create the folder of `target`, and lock it. The lock is on the folder itself, so that no lock file is left.

    Raises:
        UserError: another process has the lock.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(
            "another process is writing this archive", where=str(target), fix="wait until it has ended"
        ) from None
    except OSError:
        pass  # some network file systems cannot lock folders; the lock of the command remains
    try:
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Staged:
    """A new file that is not renamed to its target yet.

    Attributes:
        target: the path it gets.
        descriptor: descriptor of the open file, to write to.
    """

    target: Path
    descriptor: int

    @property
    def partial(self) -> Path:
        """Its path until then. It is always the same, so that the next build removes what a killed one has left."""
        return self.target.with_name(f".{self.target.name}.partial")

    def publish(self) -> FileStamp:
        """Rename the file to its target; returns the stamp by which a later build recognizes it."""
        backdate_mtime(self.descriptor)
        self.partial.replace(self.target)
        return FileStamp.of(os.fstat(self.descriptor))


@contextmanager
def staging(target: Path) -> Iterator[Staged]:
    """A new file next to `target`, which is removed unless it was published. Call it within `single_writer`."""
    partial = Staged(target, -1).partial
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        yield Staged(target, descriptor)
    finally:
        os.close(descriptor)
        partial.unlink(missing_ok=True)


def preallocate(descriptor: int, size: int, start: int = 0) -> None:
    """Reserve the blocks of a file from `start` on, so that a full disk is an error before anything is written.

    Raises:
        OSError: the disk has too little space.
    """
    if size <= start:
        return
    try:
        os.posix_fallocate(descriptor, start, size - start)
    except OSError as error:
        if error.errno not in _NO_PREALLOCATION:
            raise


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`, in as many system calls as it takes."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count
