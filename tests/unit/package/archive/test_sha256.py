"""A SHA-256 that is put down and taken up again is the SHA-256 that hashlib gives."""

from __future__ import annotations

import hashlib
from copy import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack.package.archive import sha256
from sagepack.package.archive.source import Midstate

needs_libcrypto = pytest.mark.skipif(not sha256.can_resume(), reason="hashlib does not run on OpenSSL's libcrypto here")


@needs_libcrypto
@settings(deadline=None)
@given(st.binary(max_size=1000), st.data())
def test_stopping_and_going_on_anywhere_gives_the_digest_of_the_whole(content: bytes, data: st.DataObject) -> None:
    mark = data.draw(st.integers(0, len(content)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
    first = sha256.open_sha256(mark)
    for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
        first.update(memoryview(bytearray(content[start:end])))
    assert first.hexdigest() == hashlib.sha256(content).hexdigest()
    state = first.midstate()
    if state is None:  # only where nothing followed the mark
        assert mark - mark % 64 >= len(content)
        return
    assert state.offset == mark - mark % 64
    second = sha256.open_sha256(mark, state)
    second.update(content[state.offset :])
    assert second.hexdigest() == hashlib.sha256(content).hexdigest()
    assert second.midstate() == state


@needs_libcrypto
def test_lengths_beyond_32_bits_of_bits_go_on_right() -> None:
    """2^29 bytes are 2^32 bits: the carry into the high word."""
    block = bytes(1 << 20)
    whole = hashlib.sha256()
    hasher = sha256.open_sha256(513 << 20)
    for _ in range(514):
        whole.update(block)
        hasher.update(block)
    state = hasher.midstate()
    assert state is not None
    second = sha256.open_sha256(0, state)
    second.update(block)
    assert second.hexdigest() == hasher.hexdigest() == whole.hexdigest()


@pytest.fixture
def no_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256, "_library", lambda: None)


@pytest.mark.usefixtures("no_libcrypto")
def test_without_libcrypto_the_digest_is_the_same_and_there_is_no_midstate() -> None:
    hasher = sha256.open_sha256(64)
    hasher.update(b"x" * 1000)
    assert hasher.hexdigest() == hashlib.sha256(b"x" * 1000).hexdigest()
    assert hasher.midstate() is None
    with pytest.raises(ValueError, match="resume"):
        sha256.open_sha256(0, Midstate(64, "0" * 64))


@needs_libcrypto
def test_a_library_that_disagrees_with_hashlib_is_not_used() -> None:
    library = sha256._library()
    assert library is not None
    assert sha256._agrees(library)
    wrong, update = copy(library), library.update
    wrong.update = lambda context, data, length: update(context, data, max(0, length - 1))
    assert not sha256._agrees(wrong)
