"""Digests are values; a JSON document has one digest."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest, canonical_json, fingerprint, hash_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.binary())
def test_a_digest_reads_back_from_its_text(data: bytes) -> None:
    assert Digest.parse(str(Digest.sha256(data))) == Digest("sha256", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:abc", "md5:" + "0" * 32, "sha256:" + "G" * 64, "0" * 64])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        Digest.parse(text)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(document: dict[str, object]) -> None:
    turned = dict(reversed(list(document.items())))
    assert canonical_json(document) == canonical_json(turned)
    assert fingerprint(document) == fingerprint(turned)


@given(JSON, JSON)
def test_different_documents_have_different_fingerprints(one: object, other: object) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))


def test_a_file_is_hashed_whole_whatever_the_piece(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(range(256)) * 5)
    assert hash_file(tmp_path / "f", chunk=7) == Digest.sha256(bytes(range(256)) * 5)
