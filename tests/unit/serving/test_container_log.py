"""The log of a container: whole lines in their order, whatever the pieces in which they come."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagepack.serving.container_log import ContainerLog

if TYPE_CHECKING:
    from collections.abc import Sequence


class Pipe:
    """A container that writes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.calls = 0
        self.log = ContainerLog(self.take)
        read, self.write = os.pipe()
        self.log.follow(os.fdopen(read, "rb"))

    def take(self, lines: Sequence[str]) -> None:
        self.calls += 1
        self.lines += lines

    def end(self, *pieces: bytes) -> str:
        for piece in pieces:
            os.write(self.write, piece)
        os.close(self.write)
        return self.log.end()


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"a\nb\n"], ["a", "b"]),
        ([b"a", b"b\r\nc"], ["ab", "c"]),
        ([b"a\n\nb"], ["a", "", "b"]),
        ([b"\xff\n"], ["\ufffd"]),
        ([b"x" * 40_000 + b"\ny"], ["x" * 16_384, "x" * 16_384, "x" * 7_232, "y"]),
        ([b"x" * 32_768], ["x" * 16_384, "x" * 16_384]),
        ([], []),
    ],
)
def test_lines_are_whole_and_those_that_are_too_long_come_in_parts(pieces: list[bytes], lines: list[str]) -> None:
    pipe = Pipe()
    assert pipe.end(*pieces) == "\n".join(lines)
    assert pipe.lines == lines


def test_many_lines_are_passed_on_together_and_only_the_last_are_kept() -> None:
    pipe = Pipe()
    end = pipe.end("".join(f"{number}\n" for number in range(10_000)).encode())
    assert pipe.lines == [str(number) for number in range(10_000)]
    assert pipe.calls < 100
    assert end.split() == pipe.lines[-15:]


def test_after_it_was_closed_nothing_is_passed_on() -> None:
    pipe = Pipe()
    pipe.log.close()
    assert pipe.end(b"late\n") == "late"
    assert pipe.lines == []
