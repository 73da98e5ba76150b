"""Records outlive crashes, damage and older versions; a file is written whole, and nothing stays of a killed writer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.decoding import seal, unseal
from sagepack.digest import Digest
from sagepack.engine.records import FORMAT, Record, Records, differences
from sagepack.errors import UserError
from sagepack.files import write_atomically
from tests.helpers.paths import ROOT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    record = Record("tar", 3, {"code": {"a": "b"}}, {"size": 1})
    Records(tmp_path).save(record)
    assert Records(tmp_path).load("tar") == record


def test_what_only_spares_a_look_is_left_out_where_nothing_may_be_written(tmp_path: Path) -> None:
    (tmp_path / "build").touch()
    Records(tmp_path / "build" / "validated").remember(Record("x", 1, {}, {}))
    with pytest.raises(UserError):
        Records(tmp_path / "build" / "validated").save(Record("x", 1, {}, {}))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"format": 99}', '{"format": 1}', "\udcff", "[" * 50_000])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tar.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert Records(tmp_path).load("tar") is None


@pytest.mark.slow
def test_no_flipped_bit_of_a_record_is_believed(tmp_path: Path) -> None:
    record = Record("tar", 3, {"code": {"a": "b"}}, {"size": 1, "crc32": 7})
    Records(tmp_path).save(record)
    file = tmp_path / "tar.json"
    whole = file.read_bytes()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        file.write_bytes(data)
        # Of the bits outside the content only those matter that change what it means: space and tab are the same there.
        assert Records(tmp_path).load("tar") in (None, record)
    for end in range(len(whole) - 1):
        file.write_bytes(whole[:end])
        assert Records(tmp_path).load("tar") is None


@pytest.mark.parametrize("inputs", ['{"a": NaN}', '{"a": Infinity}', '{"a": "\\ud800"}', '{"a": 1e999}', "[]", "3"])
def test_a_record_with_a_fitting_digest_is_checked_all_the_same(tmp_path: Path, inputs: str) -> None:
    sealed = seal({"step": "tar", "version": 1, "inputs": {}, "output": {}, "finished": True}, FORMAT)
    genuine = sealed.partition(b'"content": ')[2].rstrip()[:-1]
    content = genuine.replace(b'"inputs":{}', b'"inputs":' + inputs.encode())
    assert content != genuine
    digest = Digest.sha256(content).value.encode()
    (tmp_path / "tar.json").write_bytes(b'{"format": %d, "sha256": "%b", "content": %b}' % (FORMAT, digest, content))
    assert Records(tmp_path).load("tar") is None


def test_a_record_of_another_step_or_format_is_none(tmp_path: Path) -> None:
    Records(tmp_path).save(Record("tar", 1, {}, {}))
    (tmp_path / "tar.json").replace(tmp_path / "checksum.json")
    assert Records(tmp_path).load("checksum") is None
    assert unseal(seal({"a": 1}, 1), 2, dict) is None
    assert unseal(seal({"a": 1}, 2), 2, dict) == {"a": 1}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "f", b"old")

    def broken(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(UserError, match="No space left") as caught:
        write_atomically(tmp_path / "f", b"new")
    assert caught.value.where == str(tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


KILLED = """
import os, signal, sys
from pathlib import Path
from sagepack.engine.records import write_atomically
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"new")
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    target = tmp_path / "svd-prod.lock.yaml"
    write_atomically(target, b"old")
    (tmp_path / ".svd-prod.lock.yaml.notes").write_bytes(b"somebody's own")
    for _ in range(2):
        run = subprocess.run([sys.executable, "-c", KILLED, str(target)], cwd=ROOT, check=False, timeout=60)
        assert run.returncode == -signal.SIGKILL
        assert target.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 3
    write_atomically(target, b"new")
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".svd-prod.lock.yaml.notes", target.name]


def test_writers_at_once_leave_one_whole_file_and_never_fail(tmp_path: Path) -> None:
    target, wanted = tmp_path / "f", [bytes([n]) * 5000 for n in range(4)]
    failures: list[BaseException] = []

    def write(data: bytes) -> None:
        try:
            for _ in range(40):
                write_atomically(target, data)
                assert target.read_bytes() in wanted
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(data,)) for data in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


# As a user of one's own namespace anybody may mount a file system: one with room, and without inodes.
NO_INODES = """
mount -t tmpfs -o size=1m,nr_inodes=2 none "$1" && touch "$1/one" && echo mounted && exec "$0" -c "
from pathlib import Path
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.engine.records import write_atomically
try:
    write_atomically(Path('$1') / 'mid' / 'local' / 'manifest.json', b'x')
except UserError as error:
    print(error)
"
"""


def test_a_file_system_without_inodes_is_reported_as_such(tmp_path: Path) -> None:
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", NO_INODES, sys.executable, str(tmp_path)]
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if not run.stdout.startswith("mounted"):
        pytest.skip(f"no mounts here: {run.stderr}")
    assert f"{tmp_path}/mid/local/manifest.json: the file system cannot hold one more file" in run.stdout
    assert "no free inode" in run.stdout


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
