from __future__ import annotations

import mmap
import os
import threading
import zlib
from typing import TYPE_CHECKING

import pytest

from sagepack import files
from sagepack.decoding import seal
from sagepack.digest import Digest, hash_file
from sagepack.files import GRANULARITY_NS, FileStamp, backdate_mtime
from sagepack.hub.hash_cache import VERSION, HashCache

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not files.boot(), reason="this system does not name its boots: nothing is trusted")


@pytest.fixture
def trust(tmp_path: Path) -> HashCache:
    return HashCache(tmp_path / "hash-cache.json")


def old_file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    backdate_mtime(path)
    return path


def test_a_digest_is_remembered_by_the_next_process(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc")
    digest = trust.digest(file)
    trust.save()
    assert HashCache(trust.file).get(file) == digest == Digest.sha256(b"abc")


def test_a_link_shares_the_entry_of_its_file(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc")
    (tmp_path / "link").symlink_to("a")
    trust.digest(file)
    assert trust.get(tmp_path / "link") == Digest.sha256(b"abc")


def test_an_unknown_or_missing_file_is_not_known(tmp_path: Path, trust: HashCache) -> None:
    assert trust.get(old_file(tmp_path / "a", b"abc")) is None
    assert trust.get(tmp_path / "gone") is None


def test_another_size_or_time_or_inode_is_not_trusted(tmp_path: Path, trust: HashCache) -> None:
    longer, later, other = (old_file(tmp_path / name, b"abc") for name in ("longer", "later", "other"))
    for file in (longer, later, other):
        trust.digest(file)
    past = later.stat().st_mtime_ns
    longer.write_bytes(b"abcd")
    os.utime(longer, ns=(past, past))
    os.utime(later, ns=(past - 1, past - 1))
    old_file(tmp_path / "new", b"xyz").replace(other)
    assert [trust.get(file) for file in (longer, later, other)] == [None, None, None]


def test_a_time_set_back_after_a_change_is_noticed(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc")
    trust.digest(file)
    past = file.stat().st_mtime_ns
    file.write_bytes(b"xyz")
    os.utime(file, ns=(past, past))
    assert trust.get(file) is None


def test_a_file_as_young_as_its_entry_is_not_trusted(tmp_path: Path, trust: HashCache) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    before = file.stat()
    trust.put(file, hash_file(file), before, before.st_mtime_ns + GRANULARITY_NS - 1)
    assert trust.get(file) is None
    trust.put(file, hash_file(file), before, before.st_mtime_ns + GRANULARITY_NS)
    assert trust.get(file) is not None


def test_a_file_that_changed_while_it_was_hashed_is_not_remembered(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc")
    before = file.stat()
    file.write_bytes(b"xyz")
    backdate_mtime(file)
    trust.put(file, Digest.sha256(b"abc"), before)
    assert trust.get(file) is None


def test_a_file_from_before_a_restart_of_the_machine_is_not_trusted(
    tmp_path: Path, trust: HashCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = old_file(tmp_path / "a", b"abc")
    trust.digest(file)
    trust.save()
    monkeypatch.setattr(files, "boot", lambda: "another")
    assert HashCache(trust.file).get(file) is None
    monkeypatch.setattr(files, "boot", lambda: "")
    later = HashCache(trust.file)
    later.digest(file)
    assert later.get(file) is None, "a system that does not name its boots gives no evidence"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"version": 99, "files": {}}',
        '{"version": 1}',
        '{"version": 1, "files": []}',
        "\x00",
        "[" * 50000,
    ],
)
def test_an_unknown_format_is_empty_and_is_replaced(tmp_path: Path, trust: HashCache, text: str) -> None:
    trust.file.write_text(text)
    file = old_file(tmp_path / "a", b"abc")
    assert trust.get(file) is None
    trust.digest(file)
    trust.save()
    assert HashCache(trust.file).get(file) is not None


@pytest.mark.slow
def test_no_flipped_bit_of_the_file_makes_a_wrong_digest_known(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc")
    trust.digest(file)
    trust.save()
    whole = trust.file.read_bytes()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        trust.file.write_bytes(data)
        assert HashCache(trust.file).get(file) in (None, Digest.sha256(b"abc"))


@pytest.mark.parametrize(
    "entry",
    [
        [],
        [3],
        {},
        [[3, 1, 1, 1, 1, "boot"], "no digest", 0, "a"],
        [[3, 1, 1, 1, 1, "boot"], "0" * 64, -1, "a"],
        [[3, 1, 1, 1, 1, "boot"], "0" * 64, 0, 5],
        [[3, 1, 1, 1, 1], "0" * 64, 0, "a"],
    ],
)
def test_an_entry_of_another_shape_is_a_miss_even_under_a_fitting_seal(
    tmp_path: Path, trust: HashCache, entry: object
) -> None:
    file = old_file(tmp_path / "a", b"abc")
    trust.file.write_bytes(seal({"files": [entry]}, VERSION))
    assert trust.get(file) is None
    assert trust.digest(file) == Digest.sha256(b"abc")
    trust.save()
    assert HashCache(trust.file).get(file) == Digest.sha256(b"abc")


def test_the_crc_comes_with_the_digest(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / "a", b"abc" * 1_000_000)
    trust.digest(file)
    trust.save()
    assert HashCache(trust.file).known(file) == (Digest.sha256(b"abc" * 1_000_000), zlib.crc32(b"abc" * 1_000_000))
    trust.put(file, hash_file(file), file.stat())
    assert trust.known(file) == (Digest.sha256(b"abc" * 1_000_000), None)


def test_what_was_found_wrong_is_forgotten_by_every_later_process(tmp_path: Path, trust: HashCache) -> None:
    wrong, other, gone = (old_file(tmp_path / name, name.encode()) for name in ("wrong", "other", "gone"))
    (tmp_path / "link").symlink_to("wrong")
    trust.digest(wrong)
    trust.digest(other)
    trust.save()
    at_work = HashCache(trust.file)
    assert at_work.get(wrong)
    gone.unlink()
    at_work.forget([tmp_path / "link", gone])
    for later in (at_work, HashCache(trust.file)):
        assert later.get(wrong) is None
        assert later.get(other) == Digest.sha256(b"other")
    trust.digest(wrong)  # known without a save, forgotten all the same
    trust.forget([wrong])
    assert trust.get(wrong) is None


def test_a_change_through_a_mapping_keeps_the_stamp_and_is_found_once_the_file_is_forgotten(
    tmp_path: Path, trust: HashCache
) -> None:
    """What no stat shows: the page was made writable before the file was hashed."""
    file = old_file(tmp_path / "a", b"abc")
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 3) as view:
        view[0:1] = b"a"
        backdate_mtime(file)
        before = file.stat()
        trust.digest(file)
        view[0:1] = b"X"
        assert FileStamp.of(file.stat()) == FileStamp.of(before)
        assert file.read_bytes() == b"Xbc"
        assert trust.get(file) == Digest.sha256(b"abc")
        trust.forget([file])
        assert trust.digest(file) == Digest.sha256(b"Xbc")


def test_a_path_that_is_not_text_is_hashed_each_time(tmp_path: Path, trust: HashCache) -> None:
    file = old_file(tmp_path / os.fsdecode(b"caf\xe9"), b"abc")
    assert trust.digest(file) == Digest.sha256(b"abc")
    trust.save()
    assert HashCache(trust.file).get(file) is None


def test_two_writers_keep_each_others_entries_and_drop_vanished_files(tmp_path: Path, trust: HashCache) -> None:
    first, second, gone = (old_file(tmp_path / name, name.encode()) for name in ("first", "second", "gone"))
    other = HashCache(trust.file)
    trust.digest(first)
    other.digest(second)
    other.digest(gone)
    gone.unlink()
    trust.save()
    other.save()
    after = HashCache(trust.file)
    assert (after.get(first), after.get(second)) == (Digest.sha256(b"first"), Digest.sha256(b"second"))
    assert trust.file.read_bytes().count(str(tmp_path).encode()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first",
        "hash-cache.json",
        "hash-cache.json.lock",
        "second",
    ]


def test_threads_may_share_one(tmp_path: Path, trust: HashCache) -> None:
    made = [old_file(tmp_path / f"f{n}", b"%d" % n) for n in range(40)]
    threads = [threading.Thread(target=lambda part=made[n::4]: [trust.digest(file) for file in part]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    trust.save()
    assert all(HashCache(trust.file).get(file) == hash_file(file) for file in made)


def test_nothing_new_writes_nothing(trust: HashCache) -> None:
    trust.save()
    assert not trust.file.exists()
