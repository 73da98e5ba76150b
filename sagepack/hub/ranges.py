"""Ranges of a file."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Range(NamedTuple):
    """The bytes `start` to `end` of a file."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


class RangeQueue:
    """Ranges that one thread reads; whoever names them is asked for the next one only when there is time to fetch it.

    Args:
        ranges: in the order in which they are read. Empty ones are left out.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        self._ranges = (each for each in ranges if each.length)
        self._first: deque[Range] = deque()

    def take(self, most: int | None = None) -> Range | None:
        """The next range, or its first `most` bytes; None after the last one."""
        span = self._first.popleft() if self._first else next(self._ranges, None)
        if span is None or most is None or span.length <= most:
            return span
        self._first.appendleft(Range(span.start + most, span.end))
        return Range(span.start, span.start + most)

    def give_back(self, ranges: Sequence[Range]) -> None:
        """Let `take` give these before all others; ranges that follow each other become one."""
        for each in reversed(ranges):
            end = self._first.popleft().end if self._first and self._first[0].start == each.end else each.end
            if each.start < end:
                self._first.appendleft(Range(each.start, end))
