"""The lock reads back as it was written, and says when it is not one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.lock import Lock, LockedFile, LockedRequirement

SHA = st.binary(max_size=4).map(Digest.sha256)
FILES = st.builds(
    LockedFile,
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    st.integers(0, 2**40),
    SHA,
    st.sampled_from(["a" * 40, "b" * 40]),
)
LOCKS = st.builds(
    Lock,
    asked=SHA,
    model=st.just("owner/name"),
    commit=st.just("0123456789" * 4),
    files=st.lists(FILES, max_size=4).map(tuple),
    left_out=st.tuples(st.integers(0), st.integers(0)),
    image=st.just("huggingface-pytorch-inference:2.6.0"),
    image_digest=SHA,
    image_registry=st.just("763104351884.dkr.ecr.us-east-1.amazonaws.com"),
    requirements=st.lists(
        st.builds(LockedRequirement, st.just("av==1.0"), st.lists(SHA.map(str)).map(tuple)), max_size=2
    ).map(tuple),
)
ONE = Lock(
    Digest.sha256(b""),
    "owner/name",
    "0" * 40,
    (LockedFile("1e5", 1, Digest("sha256", "0" * 63 + "1"), "0" * 63 + "1"),),
    (0, 0),
    "repository:tag",
    Digest.sha256(b"i"),
    "host",
)


@given(LOCKS)
def test_a_lock_reads_back_as_it_was_written(lock: Lock) -> None:
    assert Lock.parse(lock.text(), "x") == lock


def test_names_and_digests_that_look_like_numbers_stay_text() -> None:
    assert Lock.parse(ONE.text(), "x").files[0] == ONE.files[0]
    numeric = replace(ONE, commit="1" * 40)
    assert Lock.parse(numeric.text(), "x").commit == "1" * 40


@pytest.mark.parametrize(
    "text", ["", "[]", "version: 9\n", "version: 1\n", "a: [", "\t", "!!python/object:os.system {}"]
)
def test_what_is_no_lock_says_so_and_what_to_do(text: str) -> None:
    with pytest.raises(UserError, match="lock") as caught:
        Lock.parse(text, "config/locks/svd-prod.lock.yaml")
    assert caught.value.where == "config/locks/svd-prod.lock.yaml"
    assert "invoke lock" in str(caught.value)


def test_a_branch_is_no_commit() -> None:
    with pytest.raises(UserError, match="not a commit"):
        Lock.parse(replace(ONE, commit="main").text(), "x")


def test_the_image_is_named_by_its_digest() -> None:
    assert ONE.image_uri == f"host/repository@{ONE.image_digest}"
