"""A file that arrives in pieces, in any order, over any number of processes one after another.

Beside the file lies a journal, one line for each piece that is whole: its number and CRC-32. After a kill the pieces that
still have the CRC of their line are kept, whatever else the file holds.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isal.isal_zlib import crc32

from sagepack import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PIECE = 4 << 20
_BUFFER = 1 << 20
_LINE = re.compile(r"([0-9]{1,18}) ([0-9a-f]{8})")


@dataclass(frozen=True)
class Range:
    """Pieces next to each other that one request fetches: bytes `start` to `end` of the file."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start

    @property
    def pieces(self) -> range:
        """Numbers of the pieces."""
        return range(self.start // PIECE, -(-self.end // PIECE))


class Partial:
    """The state of one file on disk. Threads may share it; processes may not (hold a lock).

    Args:
        file: where the bytes go.
        size: bytes of the whole file.
    """

    def __init__(self, file: Path, size: int) -> None:
        self.file, self.size = file, size
        self.journal = file.with_name(file.name + "-journal")
        self._count = -(-size // PIECE)
        self._whole: set[int] = set()
        self._taken: set[int] = set()
        self._lock = threading.Lock()

    def resume(self) -> int:
        """Find the pieces that are whole already, and be ready for the others.

        Returns:
            Bytes of the pieces found.
        """
        with files.disk_errors(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab") as file:
                file.truncate(self.size)
        noted = self._noted()
        with self.file.open("rb", buffering=0) as file:
            self._whole = {piece for piece, crc in noted.items() if _crc(file.fileno(), self._span(piece)) == crc}
        text = "".join(f"{piece} {noted[piece]:08x}\n" for piece in sorted(self._whole))
        with files.disk_errors(self.journal):
            self.journal.write_text(text) if text else self.journal.unlink(missing_ok=True)
        return sum(self._span(piece).length for piece in self._whole)

    def forget(self) -> None:
        """Let the next `resume` believe nothing of what is there."""
        self.journal.unlink(missing_ok=True)

    def take(self, limit: int | None) -> Range | None:
        """The next pieces that nobody has or fetches, at most `limit`; the caller fetches them or gives them back."""
        with self._lock:
            gone = self._whole | self._taken
            first = next((piece for piece in range(self._count) if piece not in gone), None)
            if first is None:
                return None
            last = first
            while last + 1 < self._count and last + 1 not in gone and (limit is None or last + 1 - first < limit):
                last += 1
            self._taken.update(range(first, last + 1))
            return Range(first * PIECE, self._span(last).end)

    def give_back(self, run: Range) -> None:
        """Let others take what is missing of a run."""
        with self._lock:
            self._taken.difference_update(run.pieces)

    def has(self, piece: int) -> bool:
        """Whether a piece is whole."""
        return piece in self._whole

    @property
    def missing(self) -> int:
        """Number of pieces that are not whole."""
        return self._count - len(self._whole)

    @contextmanager
    def writer(self, run: Range, finished: Callable[[], None]) -> Iterator[Callable[[bytes], None]]:
        """Write a run in order; `finished` is called after each piece that became whole."""
        position, crc = run.start, 0
        descriptor = os.open(self.file, os.O_WRONLY)

        def write(data: bytes) -> None:
            nonlocal position, crc
            view = memoryview(data)
            while view:
                end = self._span(position // PIECE).end
                part, view = view[: end - position], view[end - position :]
                with files.disk_errors(self.file):
                    _write(descriptor, part, position)
                crc, position = crc32(part, crc), position + len(part)
                if position == end:
                    self._finish((end - 1) // PIECE, crc)
                    crc = 0
                    finished()

        try:
            yield write
        finally:
            os.close(descriptor)
            self.give_back(run)

    def _finish(self, piece: int, crc: int) -> None:
        with self._lock:
            self._whole.add(piece)
            if self._count == 1:
                return
            # One write of a short line: a kill leaves it out or in, and a torn line is no line.
            with files.disk_errors(self.journal), self.journal.open("ab", buffering=0) as journal:
                journal.write(b"%d %08x\n" % (piece, crc))

    def _span(self, piece: int) -> Range:
        return Range(piece * PIECE, min(self.size, (piece + 1) * PIECE))

    def _noted(self) -> dict[int, int]:
        noted = {}
        with suppress(OSError, UnicodeDecodeError):
            for line in self.journal.read_text("ascii").splitlines():
                if (match := _LINE.fullmatch(line)) and int(match[1]) < self._count:
                    noted[int(match[1])] = int(match[2], 16)
        return noted


def _crc(descriptor: int, span: Range) -> int:
    crc = 0
    for start in range(span.start, span.end, _BUFFER):
        crc = crc32(os.pread(descriptor, min(_BUFFER, span.end - start), start), crc)
    return int(crc)


def _write(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, position)
        data, position = data[count:], position + count
