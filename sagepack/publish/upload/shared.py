"""What an upload that many make leaves in S3 while it goes on, so that any machine continues it without a file of another.

<package>/upload/<16 hex of the plan's digest>.json     names the multipart upload of that plan; the first to write it wins
<package>/upload/<upload id>/<first part>.json          the record of a unit that was made
<package>/upload/<upload id>/sums.json                  the checksums of all contents, written before the upload is completed

These are claims like every document in S3 (`unit_text`). They are removed when the upload is complete; `gc` removes the rest.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from sagepack.aws.s3 import MultipartHandle, ObjectRef
from sagepack.aws.session import AccessDeniedError
from sagepack.decoding import Text, seal, unseal
from sagepack.errors import RemoteError
from sagepack.publish.sealed import Algorithm, FramedSums
from sagepack.publish.upload.unit_text import UnitRecord
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sagepack.aws.s3 import S3, ObjectInfo, S3Uri, UploadedPart
    from sagepack.digest import Digest
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.upload.part_body import UploadTarget

VERSION: Literal[1] = 1
_ATTEMPTS = 5
_SUMS = "sums.json"
_THREADS = 16


@dataclass(frozen=True)
class SharedUpload:
    """A multipart upload that is open.

    Attributes:
        handle: of the upload.
        algorithm: of its checksums.
        parts: what S3 has of it, by number.
    """

    handle: MultipartHandle
    algorithm: str
    parts: Mapping[int, UploadedPart]


class _Note(Struct):
    upload: Text
    algorithm: Algorithm


class _NotedSums(Struct):
    sums: Annotated[tuple[FramedSums, ...], Meta(max_length=50_000)]


class UploadFolder:
    """The notes of an upload.

    Args:
        store: S3.
        folder: what their keys begin with (`Package.notes_uri`).
    """

    def __init__(self, store: S3, folder: S3Uri) -> None:
        self._store = store
        self._folder = folder

    def record_uri(self, handle: MultipartHandle, first: int) -> S3Uri:
        """Where the record of the unit lies that begins with part number `first`."""
        return self._folder.child(f"{handle.id}/{first:05}.json")

    def open(self, location: S3Uri, plan: Digest, algorithms: Sequence[str]) -> SharedUpload:
        """The upload of a plan: the one that somebody has begun, or a new one that others then find.

        Args:
            location: key of the object.
            plan: digest of the plan: who makes the same plan makes the same parts.
            algorithms: checksums to try, the best first.

        Raises:
            RemoteError: the store knows none of the checksums, or others begin uploads all the time.
        """
        note = self._note(plan)
        for _ in range(_ATTEMPTS):
            seen = self._store.head(note)
            found = self.find(location, plan) if seen else None
            if found is not None:
                return found
            handle, algorithm = self._begin(location, algorithms)
            text = seal(_Note(handle.id, algorithm), VERSION)
            if seen is None:
                is_ours = self._store.put(note, text, if_absent=True) is not None
            else:
                is_ours = self._store.replace(ObjectRef(note, seen.etag), text)
            if is_ours:
                return SharedUpload(handle, algorithm, {})
            self._store.abort(handle)
        raise RemoteError(
            "others begin uploads of the same package all the time", where=str(note), fix="run the command again"
        )

    def find(self, location: S3Uri, plan: Digest) -> SharedUpload | None:
        """The upload of a plan that somebody has begun; None if there is none that is still open."""
        note = unseal(self._store.read(self._note(plan)) or b"", VERSION, _Note)
        if note is None:
            return None
        handle = MultipartHandle(location, note.upload)
        parts = self._store.parts(handle)
        return None if parts is None else SharedUpload(handle, note.algorithm, {part.number: part for part in parts})

    def _begin(self, location: S3Uri, algorithms: Sequence[str]) -> tuple[MultipartHandle, str]:
        for algorithm in algorithms:
            handle = self._store.begin(location, algorithm)
            if handle is not None:
                return handle, algorithm
        raise RemoteError("the store supports none of the checksum algorithms", where=str(location))

    def record_of(self, plan: Digest) -> UnitRecord | None:
        """The record of the only unit of a plan, whether or not its upload is still open."""
        found = unseal(self._store.read(self._note(plan)) or b"", VERSION, _Note)
        uri = self._folder.child(f"{found.upload}/{1:05}.json") if found else None
        return UnitRecord.parse(self._store.read(uri)) if uri else None

    def _note(self, plan: Digest) -> S3Uri:
        return self._folder.child(f"{plan.short}.json")

    def records(self, wanted: Collection[str]) -> dict[str, UnitRecord]:
        """Those of the records with the keys `wanted` that are there and can be read."""
        there = [each.location for each in self._store.list(self._folder.child("")) if each.location.key in wanted]
        with worker_pool(_THREADS, "records") as pool:
            found = [UnitRecord.parse(data) for data in pool.map(self._store.read, there)]
        return {location.key: record for location, record in zip(there, found, strict=True) if record}

    def note_sums(self, handle: MultipartHandle, sums: Sequence[FramedChecksums]) -> None:
        """Note the checksums of all contents, for whoever finds the object without its index after a kill."""
        text = seal(_NotedSums(tuple(FramedSums.of(each) for each in sums)), VERSION)
        self._store.put(self._folder.child(f"{handle.id}/{_SUMS}"), text, if_absent=True)

    def sums_of(self, target: UploadTarget, head: ObjectInfo) -> tuple[FramedChecksums, ...] | None:
        """The noted checksums with which the contents make the object that is at the key; None if there are none."""
        for each in self._store.list(self._folder.child("")):
            name = each.location.key.rpartition("/")[2]
            found = unseal(self._store.read(each.location) or b"", VERSION, _NotedSums) if name == _SUMS else None
            if found and len(found.sums) == len(target.members):
                sums = tuple(one.value for one in found.sums)
                whole = target.whole(sums)
                checks = [whole.value(name) == value for name, value in head.checksums.items()]
                if checks and all(checks) and head.size == target.size:
                    return sums
        return None

    def clear(self) -> None:
        """Remove everything in the folder: the package is there. Where S3 denies that, or fails, `gc` does it."""
        with suppress(AccessDeniedError, RemoteError), worker_pool(_THREADS, "clear") as pool:
            list(pool.map(self._store.delete, [each.location for each in self._store.list(self._folder.child(""))]))
