"""Takes the beginning of a new archive from the previous one, if both have the same first members.

There are three ways; the first that is possible is used:

1. a reflink (`FICLONERANGE`: btrfs, XFS, bcachefs): the new file shares the blocks of the old one;
2. in place (`inplace`): the new archive replaces the old one, and only its end is written; for example on ext4;
3. a copy in the kernel (`copy_file_range`), or with reads and writes.

The bytes are not compared: the stamp shows that nobody has changed the file since it was written in this boot. What a stamp
cannot show (see `files`) is found by `verify`, which reads every byte.
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
    """The part that a new archive and the previous one have in common.

    Attributes:
        previous: the archive to take it from.
        members: number of equal members, from the first.
        length: bytes of the archive up to the end of the last equal member.
    """

    previous: Previous
    members: int
    length: int


def shared_prefix(previous: Previous | None, sources: Sequence[Source], layout: Layout) -> SharedPrefix | None:
    """The longest beginning of the new archive that the previous one has; None if there is none.

    It ends before the first source without a known CRC-32, since only reading that file could show that it is the same.
    """
    if previous is None or not is_current(previous):
        return None
    members = 0
    for source, content in zip(sources, previous.written.contents, strict=False):
        known = (content.path, content.size, content.executable, content.digest, content.crc32)
        if known != (source.path, source.size, source.executable, source.digest, source.crc32):
            break
        members += 1
    if not members:
        return None
    return SharedPrefix(previous, members, layout.entries[members - 1].end)


def is_current(previous: Previous) -> bool:
    """Whether the archive's file is unchanged and can be read."""
    try:
        status = previous.archive.stat(follow_symlinks=False)
    except OSError:
        return False
    return previous.written.stamp.fits(status) and os.access(previous.archive, os.R_OK)


def share(prefix: SharedPrefix, output: int) -> int:
    """Let `output` share the blocks of the prefix; returns the number of bytes, 0 where that is not possible."""
    with prefix.previous.archive.open("rb", buffering=0) as source:
        return clone(source.fileno(), output, prefix.length)


def fill(prefix: SharedPrefix, output: int, shared: int, size: int) -> bool:
    """Copy the prefix, but for its first `shared` bytes, to `output`, which will have `size` bytes.

    Returns:
        False if the previous archive was changed meanwhile, so that the copy cannot be used.

    Raises:
        OSError: the disk has too little space.
    """
    preallocate(output, size)
    with prefix.previous.archive.open("rb", buffering=0) as source:
        copy(source.fileno(), output, shared, prefix.length)
    return is_current(prefix.previous)


def clone(source: int, output: int, length: int) -> int:
    """Share the first blocks of a file with another; returns the number of bytes, 0 where that is not possible."""
    length -= length % _ALIGNMENT
    if not length:
        return 0
    try:
        fcntl.ioctl(output, _FICLONERANGE, struct.pack("qQQQ", source, 0, length, 0))
    except OSError:
        return 0
    return length


def copy(source: int, output: int, start: int, end: int) -> None:
    """Copy the bytes `start` to `end` of a file to the same offset of another.

    Raises:
        OSError: the disk has too little space, or the source cannot be read.
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
            return  # the archive was shortened meanwhile, which its stamp shows
        write_at(output, data, position)
        position += len(data)


def hash_prefix(prefix: SharedPrefix, mark: int) -> Hasher | None:
    """A hasher after the bytes of the prefix. They are read from the midstate on if there is one, else all of them.

    Returns:
        None if the archive was shortened meanwhile.
    """
    start = prefix.previous.written.midstate
    if start and (start.offset > prefix.length or not can_resume()):
        start = None
    hasher = open_sha256(mark, start)
    position = start.offset if start else 0
    buffer = memoryview(bytearray(_CHUNK))
    with prefix.previous.archive.open("rb", buffering=0) as source:
        while position < prefix.length:
            count = os.preadv(source.fileno(), [buffer[: prefix.length - position]], position)
            if not count:
                return None
            hasher.update(buffer[:count])
            position += count
    return hasher
