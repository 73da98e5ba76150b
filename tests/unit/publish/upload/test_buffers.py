"""Bodies without copies, and buffers that come back."""

from __future__ import annotations

import hashlib
import io

from hypothesis import given
from hypothesis import strategies as st

from sagepack.aws.s3_body import Body
from sagepack.publish.upload.buffers import Buffers

DATA = bytes(range(251)) * 12_000


@given(st.lists(st.tuples(st.integers(0, len(DATA) + 5), st.integers(-1, 3 << 20)), max_size=6))
def test_a_body_is_read_as_a_file_is_from_wherever_it_is_rewound_to(steps: list[tuple[int, int]]) -> None:
    body = Body(bytearray(DATA))
    for start, size in steps:
        assert body.seek(start) == start
        piece = bytes(body.read(size))
        assert piece == DATA[start : start + len(piece)]
        assert len(piece) >= min(max(0, len(DATA) - start), size if size >= 0 else len(DATA))
        assert body.tell() == start + len(piece)


def test_a_body_is_hashed_and_measured_like_a_file() -> None:
    body = Body(DATA)
    assert body.seek(0, io.SEEK_END) == len(DATA)
    body.seek(0)
    digest = hashlib.sha256()
    for piece in iter(lambda: body.read(1 << 20), b""):
        digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(DATA).hexdigest()
    body.seek(100)
    buffer = bytearray(50)
    assert body.readinto(buffer) == 50
    assert buffer == DATA[100:150]


@given(st.lists(st.integers(0, 100), min_size=1))
def test_a_buffer_has_the_requested_length(lengths: list[int]) -> None:
    buffers = Buffers()
    for length in lengths:
        buffer = buffers.take(length)
        assert len(buffer) == length
        buffers.give(buffer)


def test_a_buffer_with_a_live_view_is_not_reused() -> None:
    buffers = Buffers()
    first = buffers.take(10)
    view = memoryview(first)
    buffers.give(first)
    second = buffers.take(20)
    assert second is not first
    assert len(view) == 10
