"""Is a file as it was? Told from its stat, as git's index does it (`Documentation/technical/racy-git.txt`), without reading it.

The change time belongs to a stamp because, unlike the modification time, nobody can set it. The boot of the machine
belongs to it because nothing here is synced to the disk, as with any build tool: after a power cut a file of the right
size and time may hold zeros. So a stamp of another boot is no evidence, and the file is read once more.

What no stamp shows: a fault of the disk below the file system, and a program that had mapped the file for writing before
the stamp was taken and writes through that map later. Those are found where the bytes are read.
"""

from __future__ import annotations

import os
import stat
import time
from functools import cache
from pathlib import Path

from msgspec import Struct

from sagepack.decoding import Size

# The coarsest clock of a file system in use: FAT keeps even seconds, HFS+ whole ones.
GRANULARITY_NS = 2_000_000_000


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


def settle(file: Path | int) -> None:
    """Set the modification time of a file that this program has just written back by more than any clock's step.

    Any later write gets the time of that write, so that it cannot be mistaken for this one.
    """
    past = time.time_ns() - GRANULARITY_NS - 1_000_000
    os.utime(file, ns=(past, past))
