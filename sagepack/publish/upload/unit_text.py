"""A unit as text, and what comes of it as text: all that travels between whoever leads an upload and its workers.

Nothing in a text is secret: a worker has credentials of its own. And nothing in one is believed unseen. Who can write to the
package's keys can write a record of a unit: what it says of parts counts only where S3 lists the same part, and what it says of
checksums is proved when S3 compares the whole object with them. So a record that is wrong costs a second upload, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from sagepack.aws.s3_types import (
    ChangedError,
    MultipartHandle,
    ObjectRef,
    RefusedError,
    S3Uri,
    UploadedPart,
    UploadGoneError,
    WriteOptions,
)
from sagepack.aws.session import AccessDeniedError, CredentialsError
from sagepack.decoding import Commit, MalformedError, PathText, Sha256Hex, Text, decode_json, seal, unseal
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.package.archive.layout import FORMAT
from sagepack.package.manifest import Member
from sagepack.publish.sealed import Algorithm, Checksum, ETag, FramedSums, ObjectSize
from sagepack.publish.upload.proof import SourceError
from sagepack.publish.upload.sources import NoSourceError
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.upload.journal import CompletedPart
    from sagepack.publish.upload.units import Unit

VERSION: Literal[1] = 1
_PartNumber = Annotated[int, Meta(ge=1, le=10_000)]
_ERRORS: dict[str, type[SagepackError]] = {
    kind.__name__: kind
    for kind in (
        AccessDeniedError,
        ChangedError,
        CredentialsError,
        IntegrityError,
        NoSourceError,
        RefusedError,
        RemoteError,
        SourceError,
        UploadGoneError,
        UserError,
    )
}


class Services(Struct, frozen=True, omit_defaults=True):
    """How a worker reaches S3 and the Hub. Credentials come from the worker's own environment.

    Attributes:
        region: of the bucket.
        bucket: that of the target.
        owner, sse, kms_key_id, storage_class, tags: as `WriteOptions` has them.
        hub: address of the Hub; None for that of the worker's environment.
        hub_source: who named it.
        repo, commit: the model; empty where it is not on the Hub.
    """

    region: Text
    bucket: Text
    owner: Text | None = None
    sse: Text | None = None
    kms_key_id: Text | None = None
    storage_class: Text | None = None
    tags: dict[str, str] = {}
    hub: Text | None = None
    hub_source: Text = "HF_ENDPOINT"
    repo: Text = ""
    commit: Commit | None = None

    @property
    def options(self) -> WriteOptions:
        """What every written object gets."""
        return WriteOptions(self.bucket, self.owner, self.sse, self.kms_key_id, self.storage_class, self.tags)


class Place(Struct, frozen=True, array_like=True):
    """Where a framed content lies in an archive in S3: the object under the ETag that it was seen with, and the offset."""

    bucket: Text
    key: Text
    etag: ETag
    offset: ObjectSize

    @classmethod
    def of(cls, seen: ObjectRef, offset: int) -> Place:
        """The fields of a value."""
        return cls(seen.location.bucket, seen.location.key, seen.etag, offset)

    @property
    def value(self) -> tuple[ObjectRef, int]:
        """The object, and the offset."""
        return ObjectRef(S3Uri(self.bucket, self.key), self.etag), self.offset


class UnitMember(Struct, frozen=True, omit_defaults=True):
    """A file of a unit, and where a worker finds its content; `known` are its checksums, if S3 copies the rest of it.

    Attributes:
        path, size, sha256, executable: as in the manifest.
        file: path on this machine, for a worker that runs on it.
        stored: where it lies in S3.
        hub: path in the repository of the model.
        known: its checksums; None if all of it is in the unit, where it is hashed.
    """

    path: PathText
    size: ObjectSize
    sha256: Sha256Hex
    executable: bool = False
    file: Text | None = None
    stored: Place | None = None
    hub: PathText | None = None
    known: FramedSums | None = None

    @classmethod
    def of(
        cls,
        member: Member,
        *,
        file: Path | None,
        stored: tuple[ObjectRef, int] | None,
        hub: str | None,
        known: FramedChecksums | None = None,
    ) -> UnitMember:
        """The fields of a member, and where its content is."""
        return cls(
            member.path,
            member.size,
            member.digest.value,
            member.executable,
            str(file) if file else None,
            Place.of(*stored) if stored else None,
            hub,
            FramedSums.of(known) if known else None,
        )

    @property
    def value(self) -> Member:
        """The member."""
        return Member(self.path, self.size, Digest("sha256", self.sha256), self.executable)


class UnitTask(Struct, frozen=True):
    """A unit that is to be made.

    Attributes:
        version, sagepack, archive: versions of this text, of the program, and of the format of the archive.
        services: how S3 and the Hub are reached.
        upload: bucket, key and id of the multipart upload.
        record: key of the record that is left in S3.
        algorithm: of the checksums of parts.
        connections: parts that are made at a time.
        first: number of the first part.
        offset: where that part begins in the archive.
        lengths: of the parts.
        origin: where the first member begins in the archive.
        members: the files of which anything lies in it.
        is_file: whether the object is not an archive but the one member, as it is.
    """

    version: Literal[1]
    sagepack: Text
    archive: int
    services: Services
    upload: tuple[Text, Text, Text]
    record: Text
    algorithm: Algorithm
    connections: Annotated[int, Meta(ge=1, le=64)]
    first: _PartNumber
    offset: ObjectSize
    lengths: Annotated[tuple[Annotated[int, Meta(ge=1, le=1 << 50)], ...], Meta(min_length=1, max_length=10_000)]
    origin: ObjectSize
    members: Annotated[tuple[UnitMember, ...], Meta(min_length=1, max_length=50_000)]
    is_file: bool = False

    @property
    def handle(self) -> MultipartHandle:
        """The multipart upload."""
        bucket, key, upload = self.upload
        return MultipartHandle(S3Uri(bucket, key), upload)

    @property
    def record_uri(self) -> S3Uri:
        """Where the record of the unit is left."""
        return S3Uri(self.upload[0], self.record)

    def text(self) -> str:
        """What travels to a worker."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: str, worker: str) -> UnitTask:
        """The unit that a text describes.

        Args:
            text: from `text`.
            worker: what this worker is called in messages.

        Raises:
            UserError: it was written by another version of this program.
        """
        try:
            versions = decode_json(text.encode(), _Versions)
            if (versions.sagepack, versions.version, versions.archive) != (__version__, VERSION, FORMAT):
                raise UserError(
                    f"the worker has sagepack {__version__}, the client {versions.sagepack}",
                    where=worker,
                    fix="install the same version of sagepack on all workers",
                )
            return decode_json(text.encode(), cls)
        except MalformedError as error:
            raise UserError(f"this is not the text of a unit: {error}", where=worker) from error


class _Versions(Struct):
    version: int
    sagepack: Text
    archive: int


class RecordedPart(Struct, frozen=True, array_like=True):
    """A part that S3 has: its ETag and checksum, and whether the worker sent it, or found it there with that checksum."""

    etag: ETag
    checksum: Checksum | None
    sent: bool


class UnitRecord(Struct, frozen=True):
    """A unit that was made.

    Attributes:
        first: number of its first part.
        parts: its parts, in order.
        sums: for each member of the unit its checksums; None for those that were known before.
        sent: bytes that the worker sent.
    """

    first: _PartNumber
    parts: Annotated[tuple[RecordedPart, ...], Meta(max_length=10_000)]
    sums: Annotated[tuple[FramedSums | None, ...], Meta(max_length=50_000)]
    sent: ObjectSize

    @classmethod
    def of(
        cls,
        task: UnitTask,
        parts: Sequence[CompletedPart],
        sums: Sequence[FramedChecksums | None],
        sent: dict[int, int],
    ) -> UnitRecord:
        """The record of a unit.

        Args:
            task: the unit.
            parts: its parts, in order.
            sums: checksums of each of its members.
            sent: the parts that were sent, with their lengths.
        """
        return cls(
            task.first,
            tuple(RecordedPart(part.etag, part.checksum, part.number in sent) for part in parts),
            tuple(
                FramedSums.of(found) if found and member.known is None else None
                for member, found in zip(task.members, sums, strict=True)
            ),
            sum(sent.values()),
        )

    def document(self) -> bytes:
        """What is left in S3."""
        return seal(self, VERSION)

    @classmethod
    def parse(cls, data: bytes | None) -> UnitRecord | None:
        """The record that a document in S3 holds; None for any other document."""
        return unseal(data, VERSION, cls) if data else None

    def matches(self, unit: Unit) -> bool:
        """Whether it is about a unit, and says as much as there is to say of it."""
        return (self.first, len(self.parts), len(self.sums)) == (unit.first, len(unit.parts), len(unit.members))

    def agrees(self, unit: Unit, listed: Mapping[int, UploadedPart]) -> bool:
        """Whether S3 has the parts that it names, each as long as planned.

        The same bytes that were sent twice have two ETags where a key of KMS encrypts them, and one checksum.

        Args:
            unit: the unit that it matches.
            listed: S3's own list of the parts of the upload, by number.
        """
        return all(
            number in listed
            and listed[number].size == part.length
            and (listed[number].etag == told.etag or (told.checksum and listed[number].checksum == told.checksum))
            for number, part, told in zip(unit.numbers, unit.parts, self.parts, strict=True)
        )

    def sent_parts(self, unit: Unit) -> list[UploadedPart]:
        """The parts that the worker sent, as S3 answered it."""
        return [
            UploadedPart(number, told.etag, part.length, told.checksum)
            for number, part, told in zip(unit.numbers, unit.parts, self.parts, strict=True)
            if told.sent
        ]


class Failure(Struct, frozen=True, omit_defaults=True):
    """An error of this program as text; `object` is the one that `ChangedError` and `SourceError` are about."""

    type: Text
    message: str
    where: str | None = None
    fix: str | None = None
    details: tuple[str, ...] = ()
    failure: str | None = None
    object: tuple[Text, Text] | None = None

    @classmethod
    def of(cls, error: SagepackError, worker: str) -> Failure:
        """The fields of an error, of the nearest class that every version of this program knows."""
        name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in {*_ERRORS, "SagepackError"})
        location = getattr(error, "location", None)
        return cls(
            name,
            error.message,
            error.where,
            error.fix,
            (*error.details, f"in the worker {worker}"),
            error.failure,
            (location.bucket, location.key) if isinstance(location, S3Uri) else None,
        )

    @property
    def error(self) -> SagepackError:
        """The error."""
        kind = _ERRORS.get(self.type, RemoteError)
        if issubclass(kind, (ChangedError, SourceError)):
            if self.object is None:
                return RemoteError(self.message, where=self.where, fix=self.fix, details=self.details)
            found: SagepackError = kind(self.message, S3Uri(*self.object))
            return found.with_context(details=self.details)
        return kind(self.message, where=self.where, fix=self.fix, details=self.details, failure=self.failure)


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a worker answers: the record of the unit and the bytes that it fetched from the Hub for it, or why there is none."""

    record: UnitRecord | None = None
    failure: Failure | None = None
    fetched: ObjectSize = 0

    def text(self) -> str:
        """What travels back."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def parse(cls, text: object) -> tuple[UnitRecord, int]:
        """The record in an answer, and the bytes that were fetched.

        Raises:
            SagepackError: as the worker says.
            RemoteError: it is no answer.
        """
        try:
            answer = decode_json(text.encode() if isinstance(text, str) else b"", cls)
        except MalformedError as error:
            raise RemoteError(f"a worker gave no answer that can be read: {error}") from error
        if answer.failure:
            raise answer.failure.error
        if answer.record is None:
            raise RemoteError("a worker answered nothing")
        return answer.record, answer.fetched
