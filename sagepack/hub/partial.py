"""A file that is downloaded in pieces, in any order, and resumed by later processes.

Next to the file is a journal with one line for each complete piece: its number and CRC-32. After a kill those pieces are kept
whose bytes have the CRC-32 of their line.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from sagepack import files
from sagepack.hub.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PIECE = 4 << 20
_BUFFER = 1 << 20
_LINE = re.compile(r"([0-9]{1,18}) ([0-9a-f]{8})")


class Partial:
    """A file on disk that is not complete. Threads may share it; only one process at a time may use it.

    Args:
        file: where the bytes are written.
        size: bytes of the whole file.
    """

    def __init__(self, file: Path, size: int) -> None:
        self.file, self.size = file, size
        self.journal = file.with_name(file.name + "-journal")
        self._count = -(-size // PIECE)
        self._complete: set[int] = set()
        self._in_progress: set[int] = set()
        self._lock = threading.Lock()

    def resume(self) -> int:
        """Find the pieces that an earlier process has completed; call it before `take`.

        Returns:
            Bytes of those pieces.

        Raises:
            UserError: the disk is full, or the file may not be written.
        """
        with files.disk_errors(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab") as file:
                file.truncate(self.size)
        journal = self._read_journal()
        with self.file.open("rb", buffering=0) as file:
            self._complete = {piece for piece, crc in journal.items() if _crc(file.fileno(), self._span(piece)) == crc}
        text = "".join(f"{piece} {journal[piece]:08x}\n" for piece in sorted(self._complete))
        if text:
            files.write_atomically(self.journal, text.encode())
        else:
            self.journal.unlink(missing_ok=True)
        return sum(self._span(piece).length for piece in self._complete)

    @property
    def noted(self) -> int:
        """Bytes of the pieces that the journal names. Reads no more than that: `resume` finds out whether they are right."""
        return sum(self._span(piece).length for piece in self._read_journal()) if self.file.exists() else 0

    def forget(self) -> None:
        """Remove the journal, so that the next `resume` finds no complete piece."""
        self.journal.unlink(missing_ok=True)

    def take(self, limit: int | None) -> Range | None:
        """The next pieces that are neither complete nor in progress, at most `limit`; None if there are none.

        They are in progress until `give_back` is called.
        """
        with self._lock:
            others = self._complete | self._in_progress
            first = next((piece for piece in range(self._count) if piece not in others), None)
            if first is None:
                return None
            last = first
            while last + 1 < self._count and last + 1 not in others and (limit is None or last + 1 - first < limit):
                last += 1
            self._in_progress.update(range(first, last + 1))
            return Range(first * PIECE, self._span(last).end)

    def give_back(self, span: Range) -> None:
        """Let `take` give the incomplete pieces of a range to another thread."""
        with self._lock:
            self._in_progress.difference_update(_pieces(span))

    @contextmanager
    def taken(self, limit: Callable[[], int | None]) -> Iterator[Iterator[Range]]:
        """What `take` gives with the limit of that moment, until it has no more; all of it is given back at the end."""
        spans: list[Range] = []

        def each() -> Iterator[Range]:
            while span := self.take(limit()):
                spans.append(span)
                yield span

        try:
            yield each()
        finally:
            for span in spans:
                self.give_back(span)

    @property
    def untaken(self) -> int:
        """Number of pieces that are neither complete nor in progress."""
        with self._lock:
            return self._count - len(self._complete | self._in_progress)

    def has(self, piece: int) -> bool:
        """Whether a piece is complete."""
        return piece in self._complete

    @property
    def missing(self) -> int:
        """Number of incomplete pieces."""
        return self._count - len(self._complete)

    @contextmanager
    def writer(self, completed: Callable[[], None]) -> Iterator[Callable[[int, bytes], None]]:
        """A function that writes bytes at an offset: those of a piece in order, from its first on.

        `completed` is called after each completed piece. The file is opened with the first bytes: before that other threads
        may complete it.
        """
        descriptor, position, crc = -1, 0, 0

        def write(offset: int, data: bytes) -> None:
            nonlocal descriptor, position, crc
            if descriptor < 0:
                descriptor = os.open(self.file, os.O_WRONLY)
            if offset != position:
                position, crc = offset, 0
            view = memoryview(data)
            while view:
                end = self._span(position // PIECE).end
                part, view = view[: end - position], view[end - position :]
                with files.disk_errors(self.file):
                    _write(descriptor, part, position)
                crc, position = crc32(part, crc), position + len(part)
                if position == end:
                    self._complete_piece((end - 1) // PIECE, crc)
                    crc = 0
                    completed()

        try:
            yield write
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _complete_piece(self, piece: int, crc: int) -> None:
        with self._lock:
            self._complete.add(piece)
            if self._count == 1:
                return
            # A line is written with one call, so a kill leaves all of it or nothing; a torn line is ignored by `resume`.
            with files.disk_errors(self.journal), self.journal.open("ab", buffering=0) as journal:
                journal.write(b"%d %08x\n" % (piece, crc))

    def _span(self, piece: int) -> Range:
        return Range(piece * PIECE, min(self.size, (piece + 1) * PIECE))

    def _read_journal(self) -> dict[int, int]:
        """Piece -> CRC-32, from the lines that are well-formed."""
        journal = {}
        with suppress(OSError, UnicodeDecodeError):
            for line in self.journal.read_text("ascii").splitlines():
                if (match := _LINE.fullmatch(line)) and int(match[1]) < self._count:
                    journal[int(match[1])] = int(match[2], 16)
        return journal


def _pieces(span: Range) -> range:
    """Numbers of the pieces of a range."""
    return range(span.start // PIECE, -(-span.end // PIECE))


def _crc(descriptor: int, span: Range) -> int:
    crc = 0
    for start in range(span.start, span.end, _BUFFER):
        crc = crc32(os.pread(descriptor, min(_BUFFER, span.end - start), start), crc)
    return int(crc)


def _write(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, position)
        data, position = data[count:], position + count
