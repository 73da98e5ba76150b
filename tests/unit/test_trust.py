from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sagepack.digest import Digest, hash_file
from sagepack.fetch.trust import GRANULARITY_NS, Trust, settle

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return Trust(tmp_path / "trust.json")


def old_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    settle(path)
    return path


def test_a_digest_is_remembered_by_the_next_process(tmp_path: Path, trust: Trust) -> None:
    file = old_file(tmp_path / "a", b"abc")
    digest = trust.digest(file)
    trust.save()
    assert Trust(trust.file).get(file) == digest == Digest.sha256(b"abc")


def test_a_link_shares_the_entry_of_its_file(tmp_path: Path, trust: Trust) -> None:
    file = old_file(tmp_path / "a", b"abc")
    (tmp_path / "link").symlink_to("a")
    trust.digest(file)
    assert trust.get(tmp_path / "link") == Digest.sha256(b"abc")


def test_an_unknown_or_missing_file_is_not_known(tmp_path: Path, trust: Trust) -> None:
    assert trust.get(old_file(tmp_path / "a", b"abc")) is None
    assert trust.get(tmp_path / "gone") is None


def test_another_size_or_time_or_inode_is_not_trusted(tmp_path: Path, trust: Trust) -> None:
    longer, later, other = (old_file(tmp_path / name, b"abc") for name in ("longer", "later", "other"))
    for file in (longer, later, other):
        trust.digest(file)
    past = later.stat().st_mtime_ns
    longer.write_bytes(b"abcd")
    os.utime(longer, ns=(past, past))
    os.utime(later, ns=(past - 1, past - 1))
    old_file(tmp_path / "new", b"xyz").replace(other)
    assert [trust.get(file) for file in (longer, later, other)] == [None, None, None]


def test_a_time_set_back_after_a_change_is_noticed(tmp_path: Path, trust: Trust) -> None:
    file = old_file(tmp_path / "a", b"abc")
    trust.digest(file)
    past = file.stat().st_mtime_ns
    file.write_bytes(b"xyz")
    os.utime(file, ns=(past, past))
    assert trust.get(file) is None


def test_a_file_as_young_as_its_entry_is_not_trusted(tmp_path: Path, trust: Trust) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    before = file.stat()
    trust.put(file, hash_file(file), before, before.st_mtime_ns + GRANULARITY_NS - 1)
    assert trust.get(file) is None
    trust.put(file, hash_file(file), before, before.st_mtime_ns + GRANULARITY_NS)
    assert trust.get(file) is not None


def test_a_file_that_changed_while_it_was_hashed_is_not_remembered(tmp_path: Path, trust: Trust) -> None:
    file = old_file(tmp_path / "a", b"abc")
    before = file.stat()
    file.write_bytes(b"xyz")
    settle(file)
    trust.put(file, Digest.sha256(b"abc"), before)
    assert trust.get(file) is None


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", '{"version": 99, "files": {}}', '{"version": 1}', '{"version": 1, "files": []}', "\x00"],
)
def test_an_unknown_format_is_empty_and_is_replaced(tmp_path: Path, trust: Trust, text: str) -> None:
    trust.file.write_text(text)
    file = old_file(tmp_path / "a", b"abc")
    assert trust.get(file) is None
    trust.digest(file)
    trust.save()
    assert Trust(trust.file).get(file) is not None


def test_a_damaged_entry_is_a_miss(tmp_path: Path, trust: Trust) -> None:
    file = old_file(tmp_path / "a", b"abc")
    info = file.stat()
    for entry in ([], [3], [3, info.st_mtime_ns, info.st_ctime_ns, time.time_ns(), "no digest", "a"]):
        trust.file.write_text(json.dumps({"version": 1, "files": {f"{info.st_dev}:{info.st_ino}": entry}}))
        assert Trust(trust.file).get(file) is None


def test_two_writers_keep_each_others_entries_and_drop_vanished_files(tmp_path: Path, trust: Trust) -> None:
    first, second, gone = (old_file(tmp_path / name, name.encode()) for name in ("first", "second", "gone"))
    other = Trust(trust.file)
    trust.digest(first)
    other.digest(second)
    other.digest(gone)
    gone.unlink()
    trust.save()
    other.save()
    after = Trust(trust.file)
    assert (after.get(first), after.get(second)) == (Digest.sha256(b"first"), Digest.sha256(b"second"))
    assert len(json.loads(trust.file.read_text())["files"]) == 2


def test_threads_may_share_one(tmp_path: Path, trust: Trust) -> None:
    made = [old_file(tmp_path / f"f{n}", b"%d" % n) for n in range(40)]
    threads = [threading.Thread(target=lambda part=made[n::4]: [trust.digest(file) for file in part]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    trust.save()
    assert all(Trust(trust.file).get(file) == hash_file(file) for file in made)


def test_nothing_new_writes_nothing(trust: Trust) -> None:
    trust.save()
    assert not trust.file.exists()
