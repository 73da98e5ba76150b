"""Reads, hashes and writes the chunks of an archive in several threads, with a fixed number of buffers.

Every byte of a source is read once. Each buffer goes through three stages:

1. fill: literals are copied, block headers are set, and file content is read by `preadv` into the space between the headers,
   so that the buffer has the framed bytes and nothing is copied again;
2. CRC-32 of each slice, while it is in the processor's cache, and one `pwrite` at its offset in the layout;
3. SHA-256 of contents without a known CRC-32, and SHA-256 of the archive. Both must be computed in order, so each has one
   thread that gets the buffers in order, in parallel to the readers.

The digest of the archive is computed from the buffers, and not by a thread that reads back what was written: measured, that
takes the same time while the page cache has the bytes (one more copy, 0.1 s a GB), and a second pass over the disk when it
has not. So the slower of the two digests limits the speed to 1.4 GB/s, which is the limit of a sequential digest anyway.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.files import FileStamp
from sagepack.package.archive import crc32 as checksum
from sagepack.package.archive import framing
from sagepack.package.archive.chunks import Chunk, chunks
from sagepack.package.archive.layout import Layout, Literal, Slice
from sagepack.package.archive.output import write_at
from sagepack.package.archive.source import Source, changed, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagepack.package.archive.sha256 import Hasher

CHUNK = (
    16 * framing.STRIDE
)  # about 1 MiB; measured: with half of it Python is slower, with twice as much the page cache
BUFFERS = 32  # so 32 MiB of memory, for a model of any size


@dataclass(frozen=True, slots=True)
class _Read:
    """A slice that was read: its blocks in the buffer, without their headers, and their CRC-32."""

    piece: Slice
    blocks: list[memoryview]
    crc32: int


@dataclass(frozen=True, slots=True)
class _Filled:
    """A buffer with the bytes of a chunk."""

    framed: memoryview
    reads: list[_Read]


@dataclass
class _PendingChunk:
    """A chunk in progress; its buffer can be used again when all futures are done."""

    chunk: Chunk
    buffer: memoryview
    filled: Future[_Filled]
    futures: list[Future[None]]


class Pipeline:
    """Writes members `first` and later of a layout, and the end marker, to a descriptor.

    Args:
        layout: the archive.
        sources: one for each of its members.
        stamps: of the sources, from `stat_sources`.
        output: descriptor to write to.
        hasher: gets the bytes of the archive in order; None if no digest is needed.

    Attributes:
        crcs: after `run`, index of a member -> CRC-32 of its content.
        digests: after `run`, index of a member -> its digest: computed, or that of a source with a known CRC-32.
    """

    def __init__(
        self,
        layout: Layout,
        sources: Sequence[Source],
        stamps: Sequence[FileStamp],
        *,
        output: int,
        hasher: Hasher | None,
    ) -> None:
        self._layout = layout
        self._sources = sources
        self._stamps = stamps
        self._output = output
        self._hasher = hasher
        self._content = hashlib.sha256()
        self.crcs: dict[int, int] = {}
        self.digests: dict[int, Digest] = {}

    def run(self, first: int, threads: int, advance: Callable[[int], None]) -> None:
        """Write from member `first` on.

        Args:
            first: index of the first member to write.
            threads: number of threads that fill buffers.
            advance: called with the number of bytes as they are written and hashed.

        Raises:
            UserError: a source cannot be read, or changed.
            OSError: the output cannot be written.
        """
        layout = self._layout
        start = layout.entries[first - 1].end if first else 0
        self._start_members(first)
        pending: deque[_PendingChunk] = deque()
        free = [memoryview(bytearray(CHUNK)) for _ in range(min(BUFFERS, -(-(layout.size - start) // CHUNK)))]
        readers, contents, archive = ThreadPoolExecutor(threads), ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        try:
            for chunk in chunks(layout.pieces(start, layout.trailer_offset), CHUNK):
                if not free:
                    free.append(self._complete(pending.popleft(), advance))
                buffer = free.pop()
                filled = readers.submit(self._fill, chunk, buffer)
                futures = [contents.submit(self._hash_contents, filled)]
                if self._hasher:
                    futures.append(archive.submit(self._hash_archive, self._hasher, filled))
                pending.append(_PendingChunk(chunk, buffer, filled, futures))
            while pending:
                self._complete(pending.popleft(), advance)
        finally:
            for pool in (readers, contents, archive):
                pool.shutdown(cancel_futures=True)

    def _start_members(self, first: int) -> None:
        """Set what is known without reading: empty members have no slice, and known CRC-32 make SHA-256 unnecessary."""
        for index, source in enumerate(self._sources):
            if index >= first:
                self.crcs[index] = 0
                if source.size == 0:
                    self.digests[index] = Digest.sha256(b"")
                elif source.digest and source.crc32 is not None:
                    self.digests[index] = source.digest

    def _complete(self, oldest: _PendingChunk, advance: Callable[[int], None]) -> memoryview:
        """Wait until the oldest chunk is written and hashed, add its CRC-32 to `crcs`, and return its buffer."""
        for read in oldest.filled.result().reads:
            self.crcs[read.piece.index] = checksum.combine(self.crcs[read.piece.index], read.crc32, read.piece.length)
        for future in oldest.futures:
            future.result()
        advance(oldest.chunk.length)
        return oldest.buffer

    def _fill(self, chunk: Chunk, buffer: memoryview) -> _Filled:
        reads = []
        position = 0
        for piece in chunk.pieces:
            if isinstance(piece, Literal):
                buffer[position : position + len(piece.data)] = piece.data
                position += len(piece.data)
            else:
                reads.append(self._read(piece, buffer[position : position + piece.framed_length]))
                position += piece.framed_length
        framed = buffer[:position]
        write_at(self._output, framed, chunk.offset)
        return _Filled(framed, reads)

    def _read(self, piece: Slice, buffer: memoryview) -> _Read:
        blocks = []
        for position in range(0, len(buffer), framing.STRIDE):
            block = buffer[position + framing.HEADER : position + framing.STRIDE]
            buffer[position : position + framing.HEADER] = framing.block_header(len(block))
            blocks.append(block)
        read_range(self._sources[piece.index], self._stamps[piece.index], blocks, piece.start)
        crc = 0
        for block in blocks:
            crc = checksum.crc32(block, crc)
        return _Read(piece, blocks, crc)

    def _hash_contents(self, filled: Future[_Filled]) -> None:
        for read in filled.result().reads:
            index = read.piece.index
            if index in self.digests:
                continue
            if read.piece.start == 0:
                self._content = hashlib.sha256()
            for block in read.blocks:
                self._content.update(block)
            if read.piece.start + read.piece.length == self._sources[index].size:
                self.digests[index] = Digest("sha256", self._content.hexdigest())

    def _hash_archive(self, hasher: Hasher, filled: Future[_Filled]) -> None:
        hasher.update(filled.result().framed)


def read_range(source: Source, stamp: FileStamp, blocks: list[memoryview], offset: int) -> None:
    """Fill `blocks` with consecutive bytes of a source, whose stamp is checked before and after.

    Raises:
        UserError: the file cannot be read, or has changed.
    """
    try:
        descriptor = os.open(source.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            before = FileStamp.of(os.fstat(descriptor))
            complete = _preadv(descriptor, blocks, offset)
            after = FileStamp.of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(source, error) from error
    if before != stamp or after != stamp:
        raise changed(source, "its size, time or inode is different")
    if not complete:
        raise changed(source, "it ended too early")


def _preadv(descriptor: int, blocks: list[memoryview], offset: int) -> bool:
    """Fill all blocks; False if the file is too short."""
    blocks = list(blocks)
    while blocks:
        count = os.preadv(descriptor, blocks, offset)
        if not count:
            return False
        offset += count
        while blocks and count >= len(blocks[0]):
            count -= len(blocks.pop(0))
        if count:
            blocks[0] = blocks[0][count:]
    return True
