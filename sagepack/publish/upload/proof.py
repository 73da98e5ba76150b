"""Verifying objects in S3 by reading them: every byte is compared or hashed, and nothing is stored."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.package.archive import framing
from sagepack.package.archive.crc32 import crc32, tar_crc
from sagepack.package.archive.layout import Literal, Slice
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.upload.sources import plain_views
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagepack.aws.s3 import S3, ObjectRef, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.archive.layout import Layout
    from sagepack.package.manifest import Manifest, Member
    from sagepack.publish.verified import Range

_REQUEST = 64 << 20  # bytes of small members in one request; a content is one request, since SHA-256 is sequential
_CHUNK = 16 * framing.STRIDE


class SourceError(IntegrityError):
    """An object from which contents were to be copied holds other bytes than its index says.

    Attributes:
        location: the object.
    """

    def __init__(self, message: str, location: S3Uri) -> None:
        super().__init__(message, where=str(location), fix="find out who wrote it, and delete it")
        self.location = location


def read_archive(
    store: S3, seen: ObjectRef, layout: Layout, manifest: Manifest, ranges: Sequence[Range], add: Callable[[int], None]
) -> dict[Digest, FramedChecksums]:
    """Compare ranges of an archive with layout and manifest; returns the checksums of the contents in them.

    Args:
        store: S3.
        seen: the archive; all is read under its ETag.
        layout: offsets of everything in the expected archive.
        manifest: its members.
        ranges: what to read; each begins and ends at the boundary of a header, a content or a padding. One that ends with the
            archive must also begin with it, since the trailer depends on all contents.
        add: called with the number of bytes that were read.

    Raises:
        SourceError: naming the first difference of the object.
        ChangedError, RemoteError: as for `S3.open`.
    """
    requests = [request for low, high in ranges for request in _requests(layout, low, min(high, layout.trailer_offset))]

    def read(request: Range) -> dict[int, FramedChecksums]:
        chunks = store.open(seen, request[0], request[1] - request[0])
        return _compare(_Chunks(chunks, seen.location, add), layout, manifest, request)

    with worker_pool(max(1, min(8, len(requests))), "read") as pool:
        found = {index: sums for part in pool.map(read, requests) for index, sums in part.items()}
    if any(high > layout.trailer_offset for _, high in ranges):
        empty = FramedChecksums()
        plain = [found.get(index, empty).plain.crc32 for index in range(len(layout.entries))]
        trailer = framing.trailer(tar_crc(layout, plain), layout.tar_size)
        if b"".join(store.open(seen, layout.trailer_offset, len(trailer))) != trailer:
            raise SourceError(f"another trailer at offset {layout.trailer_offset}", seen.location)
    return {manifest.members[index].digest: sums for index, sums in found.items()}


def read_file(store: S3, seen: ObjectRef, member: Member) -> Checksums:
    """Compare a file of a prefix with the digest of a member; returns its checksums.

    Raises:
        SourceError: the object is not that file.
        ChangedError, RemoteError: as for `S3.open`.
    """
    sha256, sums = hashlib.sha256(), Checksums()
    for piece in store.open(seen, 0, member.size):
        sha256.update(piece)
        sums += Checksums.of(piece)
    if sha256.hexdigest() != member.digest.value:
        raise SourceError(f"it has SHA-256 {sha256.hexdigest()}, not {member.digest.value}", seen.location)
    return sums


def _requests(layout: Layout, start: int, end: int) -> Iterator[Range]:
    """The ranges in which `[start, end)` is read: cut between pieces, so that each is large enough for a request."""
    low = position = start
    for piece in layout.pieces(start, end):
        if piece.end - low > _REQUEST and position > low:
            yield low, position
            low = position
        position = piece.end
    if position > low:
        yield low, position


class _Chunks:
    """A stream of chunks, from which any length can be taken."""

    def __init__(self, chunks: Iterator[bytes], location: S3Uri, add: Callable[[int], None]) -> None:
        self._chunks, self._location, self._add = chunks, location, add
        self._rest = bytearray()

    def take(self, length: int) -> bytes:
        """The next `length` bytes.

        Raises:
            SourceError: the object ends before.
        """
        while len(self._rest) < length:
            chunk = next(self._chunks, b"")
            if not chunk:
                raise SourceError("the object ends too early", self._location)
            self._rest += chunk
        data = bytes(self._rest[:length])
        del self._rest[:length]
        self._add(length)
        return data

    def differs(self, layout: Layout, offset: int) -> SourceError:
        """The error for a difference at `offset` of the archive."""
        return SourceError(
            f"other bytes than its index says, from offset {offset}: {layout.place(offset)}", self._location
        )


def _compare(chunks: _Chunks, layout: Layout, manifest: Manifest, request: Range) -> dict[int, FramedChecksums]:
    """Compare one range of an archive; returns the checksums of the contents in it, by member index."""
    found: dict[int, FramedChecksums] = {}
    for piece in layout.pieces(*request):
        if isinstance(piece, Literal):
            if chunks.take(len(piece.data)) != piece.data:
                raise chunks.differs(layout, piece.offset)
        else:
            found[piece.index] = _compare_content(chunks, layout, manifest.members[piece.index], piece)
    return found


def _compare_content(chunks: _Chunks, layout: Layout, member: Member, piece: Slice) -> FramedChecksums:
    """The checksums of a framed content, after its bytes were compared with the SHA-256 of the member."""
    sha256, sums = hashlib.sha256(), FramedChecksums()
    for low in range(0, piece.framed_length, _CHUNK):
        framed = memoryview(chunks.take(min(_CHUNK, piece.framed_length - low)))
        plain = b"".join(plain_views(framed, low))
        # A wrong block header changes no content, but makes the archive unreadable.
        if b"".join(framing.frame_range([plain], member.size, low, low + len(framed))) != framed:
            raise chunks.differs(layout, piece.offset + low)
        sha256.update(plain)
        sums += FramedChecksums(Checksums.of(framed), ContentChecksum(crc32(plain), len(plain)))
    if sha256.hexdigest() != member.digest.value:
        raise chunks.differs(layout, piece.offset)
    return sums
