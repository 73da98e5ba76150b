"""The files that go into an archive, and what is remembered of an archive that was written."""

from __future__ import annotations

import os
import stat
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Source:
    """A file that becomes a member.

    Attributes:
        path: relative POSIX path in the archive.
        size: bytes; the file must have just that many.
        executable: mode 0755 instead of 0644.
        file: where the content is; links are followed.
        digest: SHA-256 of the content if the caller vouches for it: it is then not computed again. None: it is
            computed while writing.
    """

    path: str
    size: int
    executable: bool
    file: Path
    digest: Digest | None = None


@dataclass(frozen=True)
class ContentInfo:
    """A member as it was written: what the manifest says of it, and CRC-32 of its content."""

    path: str
    size: int
    executable: bool
    digest: Digest
    crc32: int


@dataclass(frozen=True)
class Stamp:
    """A file as stat sees it. An equal stamp, within one boot, means that nobody changed the file.

    Archives are not synced to the disk, as no build output is: after a power cut a file of the right size may hold
    zeros. Therefore a stamp names the boot of the machine too; a stamp of another boot is no evidence.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int
    boot: str

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of a stat result."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev, boot())


@cache
def boot() -> str:
    """A name of this run of the kernel; empty where the system has none, and then stamps are never evidence."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


@dataclass(frozen=True)
class Midstate:
    """SHA-256 after the first `offset` bytes of an archive (a multiple of 64), to go on from there.

    Attributes:
        offset: bytes that were hashed.
        state: the eight 32-bit words of the chaining value, as 64 hex digits.
    """

    offset: int
    state: str


@dataclass(frozen=True)
class Written:
    """An archive that was written, as a later build wants to know it.

    Attributes:
        size: bytes of the archive.
        sha256: of the archive.
        crc32: of the tar stream; the trailer holds it.
        contents: its members, in archive order.
        stamp: the archive's file when it was finished.
        midstate: where a later build can go on hashing; None where this machine cannot give it.
        reused: bytes at the front that were taken from the previous archive.
    """

    size: int
    sha256: Digest
    crc32: int
    contents: tuple[ContentInfo, ...]
    stamp: Stamp
    midstate: Midstate | None = None
    reused: int = 0

    def to_json(self) -> dict[str, Any]:
        """A document for a local record."""
        contents = [[c.path, c.size, c.executable, c.digest.value, c.crc32] for c in self.contents]
        return asdict(self) | {"sha256": self.sha256.value, "contents": contents}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Written | None:
        """What `to_json` gave; None for a document of another shape, which is a miss and no error."""
        try:
            midstate = document["midstate"]
            return cls(
                size=document["size"],
                sha256=Digest("sha256", document["sha256"]),
                crc32=document["crc32"],
                contents=tuple(ContentInfo(p, s, x, Digest("sha256", d), c) for p, s, x, d, c in document["contents"]),
                stamp=Stamp(**document["stamp"]),
                midstate=Midstate(**midstate) if midstate else None,
                reused=document["reused"],
            )
        except (KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class Previous:
    """An archive of an earlier build that the front of a new one may be taken from."""

    archive: Path
    written: Written


def survey(sources: Sequence[Source]) -> list[Stamp]:
    """The stamp of each source before any is read.

    Raises:
        UserError: a source is missing, not a regular file, or not of the size it should have.
    """
    stamps = []
    for source in sources:
        try:
            status = source.file.stat()
        except OSError as error:
            raise unreadable(source, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise UserError("only regular files can be packaged", where=str(source.file))
        if status.st_size != source.size:
            raise changed(source, f"it has {status.st_size} bytes, not {source.size}")
        stamps.append(Stamp.of(status))
    return stamps


def changed(source: Source, how: str) -> UserError:
    """The error for a source that is not what it was when the build began."""
    return UserError(f"the file changed while it was packaged: {how}", where=str(source.file), fix="run it again")


def unreadable(source: Source, error: OSError) -> UserError:
    """The error for a source that the system does not let us read."""
    reason = error.strerror or os.strerror(error.errno or 0)
    return UserError(f"cannot read the file: {reason}", where=str(source.file), fix=f"it is packaged as {source.path}")
