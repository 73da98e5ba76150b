"""The engine of the writer: a ring of buffers between readers, hashers and the output.

Each buffer goes through these, in several threads at once, and every source byte is read once for all of them:

1. filled: literals are copied, block headers set, and file content is read by `preadv` straight between the headers,
   so that the buffer holds the framed bytes and nothing is moved again;
2. CRC-32 of each slice, while it is in the processor's cache, and one `pwrite` at the offset that the layout knows;
3. SHA-256 of contents that are not remembered, and SHA-256 of the archive. Both are sequential by nature, so each has one
   thread that takes the buffers in order, beside the readers.

The digest of the archive is taken from the buffers and not by a reader that follows the write front through the page
cache: measured, that costs the same within noise when memory is plentiful (one more copy, 0.1 s a GB), and a second pass
over the disk when it is not. The price is that the slowest hasher sets the pace: 1.4 GB/s, which is the bound of a
sequential digest anyway.
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

CHUNK = 16 * framing.STRIDE  # about 1 MiB; measured: half of it costs more in Python, twice more in the page cache
RING = 32  # so 32 MiB of buffers, whatever the model weighs


@dataclass(frozen=True, slots=True)
class _Read:
    """A slice in its buffer: its blocks without their headers, and their CRC-32."""

    piece: Slice
    blocks: list[memoryview]
    crc32: int


@dataclass(frozen=True, slots=True)
class _Filled:
    """A buffer that holds a chunk."""

    framed: memoryview
    reads: list[_Read]


@dataclass
class _Job:
    """A chunk on its way; its buffer is free again when all of its futures are done."""

    chunk: Chunk
    buffer: memoryview
    filled: Future[_Filled]
    futures: list[Future[None]]


class Pipeline:
    """Writes members `first` and later of a layout, and the end marker, to a descriptor.

    Args:
        layout: the archive.
        sources: one for each of its members.
        stamps: what `survey` found them to be.
        output: descriptor to write to.
        hasher: gets the bytes of the archive, in order; None: nobody wants their digest.

    After `run`, `crcs` and `digests` hold the CRC-32 and the digest of members by index: the digest that was computed, or
    that of a source which has a CRC-32 to compare.
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
            first: index of the first member; those before it are not touched.
            threads: how many fill buffers.
            advance: told of bytes as they are done.

        Raises:
            UserError: a source cannot be read, or changed.
            OSError: the output cannot be written.
        """
        layout = self._layout
        start = layout.entries[first - 1].end if first else 0
        self._start_members(first)
        waiting: deque[_Job] = deque()
        free = [memoryview(bytearray(CHUNK)) for _ in range(min(RING, -(-(layout.size - start) // CHUNK)))]
        readers, contents, archive = ThreadPoolExecutor(threads), ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        try:
            for chunk in chunks(layout.pieces(start, layout.trailer_offset), CHUNK):
                if not free:
                    free.append(self._retire(waiting.popleft(), advance))
                buffer = free.pop()
                filled = readers.submit(self._fill, chunk, buffer)
                futures = [contents.submit(self._hash_contents, filled)]
                if self._hasher:
                    futures.append(archive.submit(self._hash_archive, self._hasher, filled))
                waiting.append(_Job(chunk, buffer, filled, futures))
            while waiting:
                self._retire(waiting.popleft(), advance)
        finally:
            for pool in (readers, contents, archive):
                pool.shutdown(cancel_futures=True)

    def _start_members(self, first: int) -> None:
        """What is known before anything is read: members without content never come by in a slice."""
        for index, source in enumerate(self._sources):
            if index >= first:
                self.crcs[index] = 0
                if source.size == 0:
                    self.digests[index] = Digest.sha256(b"")
                elif source.digest and source.crc32 is not None:
                    self.digests[index] = source.digest

    def _retire(self, job: _Job, advance: Callable[[int], None]) -> memoryview:
        """Wait until nobody needs the buffer of the oldest job, and take in what it found."""
        for read in job.filled.result().reads:
            self.crcs[read.piece.index] = checksum.combine(self.crcs[read.piece.index], read.crc32, read.piece.length)
        for future in job.futures:
            future.result()
        advance(job.chunk.length)
        return job.buffer

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
    """Fill `blocks` with consecutive bytes of a source, which must be what `stamp` says before and after.

    Raises:
        UserError: naming the file that cannot be read or changed.
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
        raise changed(source, "its size, time or inode is another")
    if not complete:
        raise changed(source, "it ended too early")


def _preadv(descriptor: int, blocks: list[memoryview], offset: int) -> bool:
    """Fill all blocks; False if the file ends before."""
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
