"""The front of the last archive as the front of the next one.

Three ways, the first that is possible:

1. a reflink (`FICLONERANGE`: btrfs, XFS, bcachefs): the new file shares the blocks of the old one;
2. in place (`inplace`), when the new archive replaces the old one and little follows the front: the way of ext4;
3. a copy within the kernel (`copy_file_range`), or a plain one.

The front is believed because its stamp says that nobody changed the file since it was written in this boot. What a stamp
cannot show (see `files`) `verify` finds, which reads every byte.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.package.archive.output import preallocate, write_at
from sagepack.package.archive.sha256 import can_resume, open_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.archive.layout import Layout
    from sagepack.package.archive.sha256 import Hasher
    from sagepack.package.archive.source import Previous, Source

_FICLONERANGE = 0x4020940D  # linux/fs.h: _IOW(0x94, 13, struct file_clone_range)
_ALIGNMENT = 1 << 16  # a multiple of every block size that clones
_CHUNK = 1 << 20


@dataclass(frozen=True)
class SharedPrefix:
    """What a new archive has in common with the previous one.

    Attributes:
        previous: the archive to take it from.
        members: how many members are the same.
        length: bytes of the archive up to the first that is not.
    """

    previous: Previous
    members: int
    length: int


def common_front(previous: Previous | None, sources: Sequence[Source], layout: Layout) -> SharedPrefix | None:
    """The longest front that the previous archive surely holds; None if there is none.

    A source that the caller does not remember ends the front, since only reading it could tell.
    """
    if previous is None or not is_current(previous):
        return None
    members = 0
    for source, content in zip(sources, previous.written.contents, strict=False):
        have = (content.path, content.size, content.executable, content.digest, content.crc32)
        if have != (source.path, source.size, source.executable, source.digest, source.crc32):
            break
        members += 1
    if not members:
        return None
    return SharedPrefix(previous, members, layout.entries[members - 1].end)


def is_current(previous: Previous) -> bool:
    """Whether the archive is still the file that was written, and can be read."""
    try:
        status = previous.archive.stat(follow_symlinks=False)
    except OSError:
        return False
    return previous.written.stamp.fits(status) and os.access(previous.archive, os.R_OK)


def share(front: SharedPrefix, output: int) -> int:
    """Let `output` begin with the blocks of the front; returns how many bytes were shared, 0 where that is not possible."""
    with front.previous.archive.open("rb", buffering=0) as source:
        return clone(source.fileno(), output, front.length)


def fill(front: SharedPrefix, output: int, shared: int, size: int) -> bool:
    """Copy what follows the `shared` bytes of the front to `output`, which will have `size` bytes.

    Returns:
        Whether all of the front came from the archive as it was written; it may have changed meanwhile.

    Raises:
        OSError: there is no room.
    """
    preallocate(output, size)
    with front.previous.archive.open("rb", buffering=0) as source:
        copy(source.fileno(), output, shared, front.length)
    return is_current(front.previous)


def clone(source: int, output: int, length: int) -> int:
    """Share the first blocks of a file; returns how many bytes were shared, 0 where that is not possible."""
    length -= length % _ALIGNMENT
    if not length:
        return 0
    try:
        fcntl.ioctl(output, _FICLONERANGE, struct.pack("qQQQ", source, 0, length, 0))
    except OSError:
        return 0
    return length


def copy(source: int, output: int, start: int, end: int) -> None:
    """Copy a range between equal offsets of two files.

    Raises:
        OSError: there is no room, or the source cannot be read.
    """
    position = start
    try:
        while position < end and hasattr(os, "copy_file_range"):
            count = os.copy_file_range(source, output, end - position, position, position)
            if not count:
                break
            position += count
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            raise
    while position < end:
        data = os.pread(source, min(_CHUNK, end - position), position)
        if not data:
            return  # the archive was cut meanwhile, which its stamp shows
        write_at(output, data, position)
        position += len(data)


def hash_front(front: SharedPrefix, mark: int) -> Hasher | None:
    """A hasher that has seen the front: from the midstate where that is known, else by reading all of it.

    None if the archive was cut meanwhile.
    """
    start = front.previous.written.midstate
    if start and (start.offset > front.length or not can_resume()):
        start = None
    hasher = open_sha256(mark, start)
    position = start.offset if start else 0
    buffer = memoryview(bytearray(_CHUNK))
    with front.previous.archive.open("rb", buffering=0) as source:
        while position < front.length:
            count = os.preadv(source.fileno(), [buffer[: front.length - position]], position)
            if not count:
                return None
            hasher.update(buffer[:count])
            position += count
    return hasher
