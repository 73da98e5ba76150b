from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sagepack.publish.verified import Verified

ends = st.lists(st.integers(0, 60), max_size=16, unique=True).map(sorted)


@given(ends, st.integers(0, 60), st.integers(0, 60))
def test_a_byte_is_missing_if_it_is_asked_for_and_in_no_verified_range(ends: list[int], start: int, end: int) -> None:
    ranges = tuple(zip(ends[::2], ends[1::2], strict=False))
    known = {byte for low, high in ranges for byte in range(low, high)}
    missing = Verified("e", ranges=ranges).missing(start, end)
    assert [byte for low, high in missing for byte in range(low, high)] == sorted({*range(start, end)} - known)
    assert all(low < high for low, high in missing)
