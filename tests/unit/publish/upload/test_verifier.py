"""The turns that parts take in a content's SHA-256, and what ends their waiting."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.package.manifest import Member
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.upload.part_body import ContentRange, FileTarget
from sagepack.publish.upload.verifier import ContentVerifier
from sagepack.retry import CancelledError

DATA = bytes(range(200))


def verifier(data: bytes = DATA, digest: Digest | None = None, known: FramedChecksums | None = None) -> ContentVerifier:
    return ContentVerifier(FileTarget(Member("a.bin", len(data), digest or Digest.sha256(data))), [known])


def sums(data: bytes) -> FramedChecksums:
    return FramedChecksums(Checksums.of(data), ContentChecksum(Checksums.of(data).crc32, len(data)))


@given(st.lists(st.integers(1, 199), max_size=6), st.randoms())
def test_ranges_are_hashed_in_order_whichever_comes_first(cuts: list[int], order: random.Random) -> None:
    one = verifier()
    bounds = sorted({0, *cuts, len(DATA)})
    pieces = [(low, DATA[low:high]) for low, high in pairwise(bounds)]
    order.shuffle(pieces)
    with ThreadPoolExecutor(len(pieces)) as pool:
        ended = list(pool.map(lambda piece: one.verify(0, piece[0], [memoryview(piece[1])]), pieces))
    assert sorted(ended) == [False] * (len(pieces) - 1) + [True]


def test_a_range_without_a_byte_does_not_wait() -> None:
    # The end of a part may cut off the first block header of a content; the part after it may be hashed first.
    one = verifier()
    assert one.verify(0, 0, [memoryview(DATA)])
    assert not one.verify(0, 0, [])


def test_bytes_of_another_content_are_refused_at_its_end() -> None:
    one = verifier(digest=Digest.sha256(b"another"))
    assert not one.verify(0, 0, [memoryview(DATA[:100])])
    with pytest.raises(IntegrityError, match=Digest.sha256(b"another").value):
        one.verify(0, 100, [memoryview(DATA[100:])])


def test_a_failure_elsewhere_ends_every_wait() -> None:
    one = verifier()
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[Any]] = [pool.submit(one.wait), pool.submit(one.verify, 0, 50, [memoryview(b"x")])]
        threading.Timer(0.05, one.stop).start()
        for future in waiting:
            with pytest.raises(CancelledError):
                future.result(10)


def test_checksums_are_known_with_the_last_range_and_a_repeated_range_counts_once() -> None:
    one = verifier()
    second = ContentRange(0, 120, 120, sums(DATA[120:]))
    one.add(second)
    one.add(second)
    assert one.sums == [None]
    one.add(ContentRange(0, 0, 0, sums(DATA[:120])))
    assert one.wait() == [sums(DATA)]


def test_a_content_that_is_not_what_an_index_says_is_refused() -> None:
    one = verifier(known=sums(DATA))
    one.add(ContentRange(0, 0, 0, sums(DATA)))
    with pytest.raises(IntegrityError, match="checksum"):
        one.add(ContentRange(0, 0, 0, sums(DATA[::-1])))


def test_an_empty_content_needs_no_range() -> None:
    assert verifier(b"").wait() == [FramedChecksums()]
