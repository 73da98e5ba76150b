"""An S3 in memory with the methods of `aws.s3.S3`, which can die at any request, before or after it took effect.

It holds to what publishing relies on: conditional writes, conditional copies, smallest parts, checksums of the full object.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sagepack.aws.s3 import (
    ChangedError,
    MultipartHandle,
    ObjectInfo,
    ObjectRef,
    ObjectSummary,
    RefusedError,
    S3Uri,
    UploadedPart,
    UploadGoneError,
    WriteOptions,
)
from sagepack.publish.checksums import Checksums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

F = TypeVar("F", bound="Callable[..., Any]")
EPOCH = datetime(2030, 1, 1, tzinfo=timezone.utc)


class Killed(BaseException):
    """The process is dead: every further request raises it, too."""


def request(method: F) -> F:
    """A request that counts, and may be the last one."""

    @functools.wraps(method)
    def wrapper(self: FakeS3, *args: Any, **options: Any) -> Any:
        with self.lock:
            self.requests.append(method.__name__)
            last = len(self.requests) == self.dies_at
            if self.dead or (last and not self.takes_effect):
                self.dead = True
                raise Killed
            result = method(self, *args, **options)
            if last:
                self.dead = True
                raise Killed
            return result

    return cast("F", wrapper)


class FakeS3:
    """See the module. `dies_at` counts requests from 1; `takes_effect` says whether the last one was served."""

    def __init__(self, minimum: int) -> None:
        self.options = WriteOptions()
        self.minimum = minimum
        self.objects: dict[S3Uri, bytes] = {}
        self.pending: dict[str, tuple[S3Uri, str, dict[int, tuple[bytes, str | None]]]] = {}
        self.lock = threading.RLock()
        self.sent = self.read_bytes = 0
        self.refuse_crc64 = False
        self.before: Callable[[str], None] = lambda _name: None
        self._begun = 0
        self.live()

    def live(self, dies_at: int = 0, *, takes_effect: bool = False) -> None:
        """A new process begins."""
        self.requests: list[str] = []
        self.dies_at, self.takes_effect, self.dead = dies_at, takes_effect, False

    def etag(self, location: S3Uri) -> str:
        return f'"{hashlib.md5(self.objects[location], usedforsecurity=False).hexdigest()}"'

    def _seen(self, seen: ObjectRef) -> bytes:
        if seen.location not in self.objects or self.etag(seen.location) != seen.etag:
            raise ChangedError("gone", seen.location)
        return self.objects[seen.location]

    @request
    def head(self, location: S3Uri) -> ObjectInfo | None:
        data = self.objects.get(location)
        if data is None:
            return None
        return ObjectInfo(len(data), self.etag(location), None, {"CRC64NVME": Checksums.of(data).value("CRC64NVME")})

    @request
    def read(self, location: S3Uri) -> bytes | None:
        return self.objects.get(location)

    @request
    def open(self, seen: ObjectRef, offset: int, length: int) -> Iterator[bytes]:
        data = self._seen(seen)[offset : offset + length]
        self.read_bytes += len(data)
        return (data[start : start + 1000] for start in range(0, len(data), 1000))

    @request
    def put(
        self,
        location: S3Uri,
        data: bytes,
        *,
        content_type: str = "application/json",
        if_absent: bool = False,
        checksum: tuple[str, str] | None = None,
    ) -> str | None:
        assert content_type
        if if_absent and location in self.objects:
            return None
        self.objects[location] = data
        if checksum:
            assert Checksums.of(data).value(checksum[0]) == checksum[1]
            self.sent += len(data)
        return self.etag(location)

    @request
    def copy(self, seen: ObjectRef, target: S3Uri, algorithm: str) -> str | None:
        assert algorithm
        self.objects[target] = self._seen(seen)
        return self.etag(target)

    @request
    def begin(self, location: S3Uri, algorithm: str) -> MultipartHandle | None:
        if self.refuse_crc64 and algorithm != "CRC32":
            return None
        self._begun += 1
        self.pending[str(self._begun)] = (location, algorithm, {})
        return MultipartHandle(location, str(self._begun), EPOCH)

    @request
    def send(
        self, upload: MultipartHandle, number: int, data: bytearray, algorithm: str, checksum: str
    ) -> UploadedPart:
        assert Checksums.of(data).value(algorithm) == checksum
        self.sent += len(data)
        return self._part(upload, number, bytes(data), checksum)

    @request
    def send_copy(
        self, upload: MultipartHandle, number: int, seen: ObjectRef, offset: int, length: int
    ) -> UploadedPart:
        data = self._seen(seen)[offset : offset + length]
        assert len(data) == length
        return self._part(upload, number, data, None)

    def _part(self, upload: MultipartHandle, number: int, data: bytes, checksum: str | None) -> UploadedPart:
        if upload.id not in self.pending:
            raise UploadGoneError("there is no such upload")
        self.pending[upload.id][2][number] = (data, checksum)
        return UploadedPart(number, self._part_etag(data), len(data), checksum)

    @staticmethod
    def _part_etag(data: bytes) -> str:
        return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'

    @request
    def parts(self, upload: MultipartHandle, first: int = 1, count: int = 10_000) -> list[UploadedPart] | None:
        if upload.id not in self.pending:
            return None
        held = self.pending[upload.id][2]
        return [
            UploadedPart(number, self._part_etag(held[number][0]), len(held[number][0]), held[number][1])
            for number in sorted(held)
            if first <= number < first + count
        ]

    @request
    def complete(
        self, upload: MultipartHandle, parts: Sequence[UploadedPart], size: int, algorithm: str, checksum: str
    ) -> str | None:
        if upload.id not in self.pending or upload.location in self.objects:
            return None
        held = self.pending[upload.id][2]
        assert [part.number for part in parts] == sorted(held)
        pieces = [held[part.number][0] for part in parts]
        assert [self._part_etag(piece) for piece in pieces] == [part.etag for part in parts]
        assert all(len(piece) >= self.minimum for piece in pieces[:-1]), "EntityTooSmall"
        data = b"".join(pieces)
        if len(data) != size or Checksums.of(data).value(algorithm) != checksum:
            raise RefusedError("BadDigest")
        self.objects[upload.location] = data
        del self.pending[upload.id]
        return self.etag(upload.location)

    @request
    def abort(self, upload: MultipartHandle) -> None:
        self.pending.pop(upload.id, None)

    @request
    def delete(self, location: S3Uri) -> None:
        self.objects.pop(location, None)

    @request
    def replace(self, seen: ObjectRef, data: bytes) -> bool:
        if seen.location not in self.objects or self.etag(seen.location) != seen.etag:
            return False
        self.objects[seen.location] = data
        return True

    @request
    def list(self, prefix: S3Uri) -> Iterator[ObjectSummary]:
        found = [location for location in sorted(self.objects) if location.bucket == prefix.bucket]
        return iter(
            ObjectSummary(location, len(self.objects[location]), self.etag(location), EPOCH)
            for location in found
            if location.key.startswith(prefix.key)
        )

    @request
    def uploads(self, prefix: S3Uri) -> Iterator[MultipartHandle]:
        return iter(
            MultipartHandle(location, number, EPOCH)
            for number, (location, _, _) in self.pending.items()
            if location.key.startswith(prefix.key)
        )
