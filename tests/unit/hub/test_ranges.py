"""The ranges that a thread reads one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sagepack.hub.ranges import Range, RangeQueue

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_ranges_come_in_order_and_in_parts() -> None:
    queue = RangeQueue([Range(0, 5), Range(7, 7), Range(10, 12)])
    assert [queue.take(3) for _ in range(4)] == [Range(0, 3), Range(3, 5), Range(10, 12), None]


def test_no_more_ranges_are_asked_for_than_were_taken() -> None:
    asked = []

    def ranges() -> Iterator[Range]:
        for start in (0, 10, 20):
            asked.append(start)
            yield Range(start, start + 10)

    queue = RangeQueue(ranges())
    assert asked == []
    queue.take(5)
    queue.take(5)
    assert asked == [0]


def test_what_comes_back_is_read_first_and_in_one() -> None:
    queue = RangeQueue([Range(0, 9), Range(20, 30)])
    parts = [queue.take(3) for _ in range(3)]
    assert parts == [Range(0, 3), Range(3, 6), Range(6, 9)]
    queue.give_back([Range(2, 3), Range(3, 6), Range(6, 9), Range(9, 9)])
    assert [queue.take() for _ in range(3)] == [Range(2, 9), Range(20, 30), None]


@given(st.lists(st.integers(1, 9), max_size=6), st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=40))
def test_every_byte_comes_once_whatever_is_given_back(lengths: list[int], turns: list[tuple[int, bool]]) -> None:
    ranges = [Range(10 * index, 10 * index + length) for index, length in enumerate(lengths)]
    queue, read = RangeQueue(ranges), list[int]()
    for most, is_read in [*turns, *[(9, True)] * 6]:
        span = queue.take(most)
        if span is None:
            break
        if is_read:
            read += range(*span)
        else:
            queue.give_back([span])
    while span := queue.take():
        read += range(*span)
    assert read == [byte for each in ranges for byte in range(*each)]
