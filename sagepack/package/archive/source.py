"""The files that go into an archive, and what is remembered of an archive that was written."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from sagepack.decoding import Crc32, MalformedError, PathText, Sha256Hex, Size, convert
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.files import FileStamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Source:
    """A file that becomes a member.

    Attributes:
        path: relative POSIX path in the archive.
        size: bytes; the file must have just that many.
        executable: mode 0755 instead of 0644.
        file: where the content is; links are followed.
        digest: SHA-256 that the content must have; None: whatever it has.
        crc32: CRC-32 of the content with that digest, if the caller remembers that the file holds it. Then the CRC-32,
            which is computed anyway, is compared instead of the SHA-256: it finds rotten bytes as well, and the file
            is nobody's claim but this machine's own memory. None: the SHA-256 is computed.
    """

    path: str
    size: int
    executable: bool
    file: Path
    digest: Digest | None = None
    crc32: int | None = None

    def check(self, content: ContentInfo) -> None:
        """Compare what was read of the file with what it must hold.

        Raises:
            IntegrityError: naming the file.
        """
        if self.crc32 is not None and content.crc32 != self.crc32:
            message = f"the file holds other bytes than when it was hashed (CRC-32 {content.crc32:08x}, then {self.crc32:08x})"
        elif self.digest and content.digest != self.digest:
            message = f"the file has {content.digest}, the manifest says {self.digest}"
        else:
            return
        raise IntegrityError(
            f"{message}; the archive is as it was",
            where=str(self.file),
            fix=f"it is packaged as {self.path}; run it again: the file is checked, and fetched or staged anew",
        )


@dataclass(frozen=True)
class ContentInfo:
    """A member as it was written: what the manifest says of it, and CRC-32 of its content."""

    path: str
    size: int
    executable: bool
    digest: Digest
    crc32: int


class Midstate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """SHA-256 after the first `offset` bytes of an archive (a multiple of 64), to go on from there.

    Attributes:
        offset: bytes that were hashed.
        state: the eight 32-bit words of the chaining value, as 64 hex digits.
    """

    offset: Annotated[int, Meta(ge=0, le=(1 << 63) - 1, multiple_of=64)]
    state: Sha256Hex


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    """`Written` as a record holds it."""

    size: Size
    sha256: Sha256Hex
    crc32: Crc32
    contents: list[tuple[PathText, Size, bool, Sha256Hex, Crc32]]
    stamp: FileStamp
    midstate: Midstate | None
    reused: Size


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
    stamp: FileStamp
    midstate: Midstate | None = None
    reused: int = 0

    def to_json(self) -> dict[str, Any]:
        """A document for a local record."""
        contents = [(c.path, c.size, c.executable, c.digest.value, c.crc32) for c in self.contents]
        document: dict[str, Any] = msgspec.to_builtins(
            _Document(self.size, self.sha256.value, self.crc32, contents, self.stamp, self.midstate, self.reused)
        )
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Written | None:
        """What `to_json` gave; None for any other document, which is a miss and no error."""
        try:
            found = convert(document, _Document)
        except MalformedError:
            return None
        return cls(
            size=found.size,
            sha256=Digest("sha256", found.sha256),
            crc32=found.crc32,
            contents=tuple(ContentInfo(p, s, x, Digest("sha256", d), c) for p, s, x, d, c in found.contents),
            stamp=found.stamp,
            midstate=found.midstate,
            reused=found.reused,
        )


@dataclass(frozen=True)
class Previous:
    """An archive of an earlier build that the front of a new one may be taken from."""

    archive: Path
    written: Written


def stat_sources(sources: Sequence[Source]) -> list[FileStamp]:
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
        stamps.append(FileStamp.of(status))
    return stamps


def changed(source: Source, how: str) -> UserError:
    """The error for a source that is not what it was when the build began."""
    return UserError(f"the file changed while it was packaged: {how}", where=str(source.file), fix="run it again")


def unreadable(source: Source, error: OSError) -> UserError:
    """The error for a source that the system does not let us read."""
    reason = error.strerror or os.strerror(error.errno or 0)
    return UserError(f"cannot read the file: {reason}", where=str(source.file), fix=f"it is packaged as {source.path}")
