"""The source files of an archive, and the record of an archive that was written."""

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
        size: bytes; the file must have exactly that many.
        executable: mode 0755 instead of 0644.
        file: where the content is; links are followed.
        digest: SHA-256 that the content must have; None accepts any content.
        crc32: CRC-32 of the content with that digest, if this machine has hashed the file before. Then the CRC-32, which is
            computed anyway, is compared and SHA-256 is not computed: it finds damaged bytes too, and the value does not
            come from anyone else. None: SHA-256 is computed.
    """

    path: str
    size: int
    executable: bool
    file: Path
    digest: Digest | None = None
    crc32: int | None = None

    def check(self, content: ContentInfo) -> None:
        """Compare what was read from the file with `digest` and `crc32`.

        Raises:
            IntegrityError: they differ; the error names the file.
        """
        if self.crc32 is not None and content.crc32 != self.crc32:
            message = f"the file has other bytes than when it was hashed (CRC-32 is {content.crc32:08x}, was {self.crc32:08x})"
        elif self.digest and content.digest != self.digest:
            message = f"the file has digest {content.digest}, the manifest has {self.digest}"
        else:
            return
        raise IntegrityError(
            f"{message}; the archive was not changed",
            where=str(self.file),
            fix=f"it is packaged as {self.path}; run the same command again: it checks the file, and downloads or copies it again",
        )


@dataclass(frozen=True)
class ContentInfo:
    """A member as it was written: its entry of the manifest, and the CRC-32 of its content."""

    path: str
    size: int
    executable: bool
    digest: Digest
    crc32: int


class Midstate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of SHA-256 after the first `offset` bytes of an archive, from which hashing can continue.

    Attributes:
        offset: number of hashed bytes, a multiple of 64.
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
    """The record of an archive that was written, for later builds.

    Attributes:
        size: bytes of the archive.
        sha256: of the archive.
        crc32: of the tar stream, as in the trailer.
        contents: its members, in archive order.
        stamp: of the archive's file when it was complete.
        midstate: where a later build can continue hashing; None where this Python cannot provide it.
        reused: bytes at the beginning that were taken from the previous archive.
    """

    size: int
    sha256: Digest
    crc32: int
    contents: tuple[ContentInfo, ...]
    stamp: FileStamp
    midstate: Midstate | None = None
    reused: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document that a local record stores."""
        contents = [(c.path, c.size, c.executable, c.digest.value, c.crc32) for c in self.contents]
        document: dict[str, Any] = msgspec.to_builtins(
            _Document(self.size, self.sha256.value, self.crc32, contents, self.stamp, self.midstate, self.reused)
        )
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Written | None:
        """The value of a document of `to_json`; None for any other document, which is not an error but a cache miss."""
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
    """An archive of an earlier build, from which a new one may take its beginning."""

    archive: Path
    written: Written


def stat_sources(sources: Sequence[Source]) -> list[FileStamp]:
    """The stamps of all sources, taken before any of them is read.

    Raises:
        UserError: a source is missing, not a regular file, or of another size.
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
    """The error for a source that has changed since the build began."""
    return UserError(
        f"the file changed while it was packaged: {how}", where=str(source.file), fix="run the same command again"
    )


def unreadable(source: Source, error: OSError) -> UserError:
    """The error for a source that cannot be read."""
    reason = error.strerror or os.strerror(error.errno or 0)
    return UserError(f"cannot read the file: {reason}", where=str(source.file), fix=f"it is packaged as {source.path}")
