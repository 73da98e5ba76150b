"""The journal of an upload: what a later process must know to continue it.

A file of lines: the first describes the upload and its plan; each further line says that a part is done, or that a content was
hashed to its end. A line is the CRC-32 of a JSON document in 8 hexadecimal digits, a space, and the document. Lines are only
appended, so a kill can leave only the last one incomplete. An incomplete or damaged line counts as missing: then one part more is
sent, or two if a later run appended to an incomplete line. If it is the first line, there is no journal.

The journal never proves that S3 has a part; `ListParts` does. The journal adds the checksums, which S3 may not keep.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from sagepack import files
from sagepack.aws.s3 import MultipartHandle, ObjectRef, S3Uri
from sagepack.decoding import LIMIT, MalformedError, Text, decode_json
from sagepack.package.archive.crc32 import crc32
from sagepack.publish.delta.parts import Copy, Part, SentPart
from sagepack.publish.sealed import Algorithm, Checksum, ETag, FramedSums, ObjectSize
from sagepack.publish.upload.part_body import ContentRange

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.publish.checksums import FramedChecksums

VERSION: Literal[2] = 2
_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class UploadSession:
    """A multipart upload that was begun, and its plan.

    Attributes:
        upload: S3's multipart upload.
        algorithm: of its checksums.
        subject: what is uploaded (a manifest's digest, or a content's), as text.
        size: bytes of the object.
        parts: as planned; part numbers count from 1.
        sources: that copies refer to.
        known: checksums of each member's content, as far as they were known at the start.
        first: number of the first part; above 1 where this is a range of the parts of a larger upload.
    """

    upload: MultipartHandle
    algorithm: str
    subject: str
    size: int
    parts: tuple[Part, ...]
    sources: tuple[ObjectRef, ...]
    known: tuple[FramedChecksums | None, ...]
    first: int = 1


@dataclass(frozen=True)
class CompletedPart:
    """A part that S3 has: its ETag, its checksum (None for a copy if S3 gave none), and the ranges of contents in it."""

    number: int
    etag: str
    checksum: str | None = None
    ranges: tuple[ContentRange, ...] = ()


@dataclass(frozen=True)
class JournalState:
    """What a journal says: the session, its completed parts by number, and the members whose SHA-256 was checked."""

    session: UploadSession
    done: dict[int, CompletedPart] = field(default_factory=dict)
    verified: frozenset[int] = frozenset()


class PartLog(Protocol):
    """What is told of each part as soon as S3 has it."""

    def add(self, done: CompletedPart) -> None:
        """A part is done."""

    def verified(self, index: int) -> None:
        """The content of member number `index` was hashed to its end, and is the one of the manifest."""


class NoLog:
    """Keeps nothing, where S3 itself is asked what it has."""

    def add(self, done: CompletedPart) -> None:
        """Drop it."""

    def verified(self, index: int) -> None:
        """Drop it."""


class Journal:
    """The journal file of one key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> JournalState | None:
        """What the journal says; None if there is none that can be used."""
        try:
            with self._path.open("rb") as file:
                lines = file.read(LIMIT).split(b"\n")[:-1]
        except OSError:
            return None
        first = _decoded(lines[0], _Session) if lines else None
        if first is None:
            return None
        session, done, verified = first.value, {}, set()
        for step in (_decoded(line, _Step) for line in lines[1:]):
            part = step.part.value(session) if step and step.part else None
            if part is not None:
                done[part.number] = part
            if step and step.verified is not None and step.verified < len(session.known):
                verified.add(step.verified)
        return JournalState(session, done, frozenset(verified))

    def begin(self, session: UploadSession) -> None:
        """Replace the journal by that of a new session.

        Raises:
            UserError: the disk is full, or the file may not be written.
        """
        with files.disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            staged = self._path.with_suffix(f".{os.getpid()}.tmp")
            staged.write_bytes(_line(_Session.of(session)))
            staged.replace(self._path)

    def add(self, done: CompletedPart) -> None:
        """Append a completed part."""
        self._append(_Step(part=_Done.of(done)))

    def verified(self, index: int) -> None:
        """Append that the content of member number `index` was hashed to its end, and is the one of the manifest."""
        self._append(_Step(verified=index))

    def clear(self) -> None:
        """Delete the journal."""
        self._path.unlink(missing_ok=True)

    def _append(self, step: _Step) -> None:
        with self._lock, files.disk_errors(self._path), self._path.open("ab") as file:
            file.write(_line(step))


class _Part(Struct, array_like=True):
    offset: ObjectSize
    length: Annotated[int, Meta(ge=1, le=1 << 50)]
    source: int | None
    source_offset: ObjectSize

    @property
    def value(self) -> Part:
        if self.source is None:
            return SentPart(self.offset, self.length)
        return Copy(self.offset, self.length, self.source, self.source_offset)


class _Session(Struct):
    version: Literal[2]
    upload: tuple[Text, Text, Text]
    algorithm: Algorithm
    subject: Text
    size: ObjectSize
    parts: Annotated[tuple[_Part, ...], Meta(min_length=1, max_length=10_000)]
    sources: tuple[tuple[Text, Text, ETag], ...]
    known: tuple[FramedSums | None, ...]

    def __post_init__(self) -> None:
        end = 0
        for part in self.parts:
            if part.offset != end or not (part.source is None or 0 <= part.source < len(self.sources)):
                raise ValueError("a part does not begin where the part before it ends, or has no source")
            end += part.length
        if end != self.size:
            raise ValueError("the parts do not make the object")

    @classmethod
    def of(cls, session: UploadSession) -> _Session:
        return cls(
            VERSION,
            (session.upload.location.bucket, session.upload.location.key, session.upload.id),
            session.algorithm,
            session.subject,
            session.size,
            tuple(
                _Part(part.offset, part.length, part.source, part.source_offset)
                if isinstance(part, Copy)
                else _Part(part.offset, part.length, None, 0)
                for part in session.parts
            ),
            tuple((seen.location.bucket, seen.location.key, seen.etag) for seen in session.sources),
            tuple(FramedSums.of(sums) if sums else None for sums in session.known),
        )

    @property
    def value(self) -> UploadSession:
        bucket, key, upload_id = self.upload
        return UploadSession(
            MultipartHandle(S3Uri(bucket, key), upload_id),
            self.algorithm,
            self.subject,
            self.size,
            tuple(part.value for part in self.parts),
            tuple(ObjectRef(S3Uri(bucket, key), etag) for bucket, key, etag in self.sources),
            tuple(sums.value if sums else None for sums in self.known),
        )


class _Stretch(Struct, array_like=True):
    index: Annotated[int, Meta(ge=0)]
    offset: ObjectSize
    start: ObjectSize
    sums: FramedSums


class _Done(Struct):
    number: Annotated[int, Meta(ge=1)]
    etag: ETag
    checksum: Checksum | None
    stretches: tuple[_Stretch, ...]

    @classmethod
    def of(cls, done: CompletedPart) -> _Done:
        stretches = tuple(_Stretch(s.index, s.offset, s.start, FramedSums.of(s.sums)) for s in done.ranges)
        return cls(done.number, done.etag, done.checksum, stretches)

    def value(self, session: UploadSession) -> CompletedPart | None:
        """The part as a value; None if the session has no such part, or no such content."""
        if self.number > len(session.parts) or any(stretch.index >= len(session.known) for stretch in self.stretches):
            return None
        ranges = tuple(ContentRange(s.index, s.offset, s.start, s.sums.value) for s in self.stretches)
        return CompletedPart(self.number, self.etag, self.checksum, ranges)


class _Step(Struct, omit_defaults=True):
    part: _Done | None = None
    verified: Annotated[int, Meta(ge=0)] | None = None


def _line(document: Struct) -> bytes:
    body = msgspec.json.encode(document)
    return b"%08x %b\n" % (crc32(body), body)


def _decoded(line: bytes, kind: type[_Kind]) -> _Kind | None:
    """The document of a line; None if the line is incomplete, damaged, or of another version."""
    body = line[9:]
    if line[:9] != b"%08x " % crc32(body):
        return None
    try:
        return decode_json(body, kind)
    except MalformedError:
        return None
