"""Records outlive crashes and older versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.store import Record, Records, differences, write_atomically

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = Record("tar", 3, {"code": {"a": "b"}}, {"size": 1})
    Records(tmp_path).save(record)
    assert Records(tmp_path).load("tar") == record


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 99}', '{"format": 1}', "\udcff"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tar.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert Records(tmp_path).load("tar") is None


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "f", b"old")

    def broken(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "f", b"new")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_what_is_written_is_as_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "f", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_a_step_that_began_and_did_not_end_has_no_valid_record(tmp_path: Path) -> None:
    records, record = Records(tmp_path), Record("tar", 1, {"a": 1}, {"size": 1})
    assert records.begin("tar") is None
    records.save(record)
    assert records.begin("tar") == record
    begun = records.load("tar")
    assert begun is not None
    assert (begun.finished, begun.output) == (False, record.output)
    records.forget("tar")
    records.forget("tar")
    assert records.load("tar") is None


@given(JSON, JSON)
def test_there_are_differences_exactly_between_unequal_documents(before: object, after: object) -> None:
    # Python's 1 == True is not JSON's; the law is about documents that Python calls equal.
    assert bool(differences(before, after)) == (before != after)


def test_many_differences_are_counted() -> None:
    found = differences({}, {str(n): n for n in range(9)})
    assert found == ("0 is new", "1 is new", "2 is new", "3 is new", "and 5 more")
