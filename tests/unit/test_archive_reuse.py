"""Taking over the front of the last archive: the same bytes as a full build, and the old archive is never lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack.archive import journal, reuse, sha, source
from sagepack.archive.reader import verify
from sagepack.archive.writer import recover
from sagepack.errors import UserError
from tests import archives
from tests.archives import BASE, EDITED, Bench

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not source.boot(), reason="this system does not name its boots: nothing is reused")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without reflinks."""
    monkeypatch.setattr(reuse, "can_clone", lambda *_: False)


@pytest.mark.usefixtures("in_place")
def test_a_code_edit_writes_only_the_end_and_gives_the_bytes_of_a_full_build(bench: Bench) -> None:
    before = bench.build(BASE)
    inode = bench.target.stat().st_ino
    code = archives.layout(BASE).entries[-2].offset
    after = bench.edit(EDITED, before)
    assert after.reused == code
    assert bench.target.stat().st_ino == inode
    bench.check(EDITED, after)


def test_edit_after_edit_goes_on_from_the_last(bench: Bench) -> None:
    files, written = dict(BASE), bench.build(BASE)
    for turn in range(5):
        files["code/inference.py"] = b"x = 1\n" * (turn % 3) * 40_000
        if turn == 3:
            files["code/more.py"] = b"pass\n"
        written = bench.edit(files, written)
        assert written.reused
        bench.check(files, written)


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(
        st.sampled_from(["config.json", "a.json", "vae/weights", "z", "code/a.py", "code/inference.py"]),
        st.one_of(st.none(), st.binary(max_size=300), st.integers(65_000, 140_000).map(bytes)),
    ),
    st.booleans(),
)
def test_whatever_changed_the_result_is_that_of_a_full_build(changes: dict[str, bytes | None], elsewhere: bool) -> None:
    after = {path: content for path, content in (BASE | changes).items() if content is not None}
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        written = bench.build(BASE)
        target = bench.root / "elsewhere" / "model.tar.gz" if elsewhere else bench.target
        bench.check(after, bench.edit(after, written, target), target)
        if elsewhere:
            verify(bench.target, archives.manifest(BASE))


def test_without_a_midstate_the_front_is_hashed_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.build(BASE)
    monkeypatch.setattr(sha, "_library", lambda: None)
    after = bench.edit(EDITED, before)
    assert after.reused
    assert after.midstate is None
    bench.check(EDITED, after)


def test_a_front_from_another_folder_is_copied_and_the_other_archive_stays(bench: Bench, tmp_path: Path) -> None:
    before = bench.build(BASE)
    other = tmp_path / "other" / "model.tar.gz"
    after = bench.edit(EDITED, before, other)
    assert after.reused
    bench.check(EDITED, after, other)
    verify(bench.target, archives.manifest(BASE))


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, None])
def test_where_the_kernel_does_not_copy_a_plain_copy_does(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    def refused(*_: object) -> int:
        if number is None:
            return 0
        raise OSError(number, "no")

    before = bench.build(BASE)
    monkeypatch.setattr(os, "copy_file_range", refused)
    other = tmp_path / "other" / "model.tar.gz"
    bench.check(EDITED, bench.edit(EDITED, before, other), other)


def test_a_shared_front_is_completed_to_the_byte(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a file system with reflinks: it clones by copying, whole blocks only."""

    def clone(source: int, output: int, length: int) -> int:
        length -= length % 65536
        os.pwrite(output, os.pread(source, length, 0), 0)
        return length

    before = bench.build(BASE)
    inode = bench.target.stat().st_ino
    monkeypatch.setattr(reuse, "can_clone", lambda *_: True)
    monkeypatch.setattr(reuse, "clone", clone)
    after = bench.edit(EDITED, before)
    assert after.reused
    assert bench.target.stat().st_ino != inode
    bench.check(EDITED, after)


def tamper_size(target: Path) -> None:
    with target.open("ab") as stream:
        stream.write(b"x")


def tamper_content(target: Path) -> None:
    with target.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"x")
    os.utime(target, (5, 5))


def swap(target: Path) -> None:
    other = target.with_name("other")
    shutil.copy2(target, other)
    other.replace(target)


@pytest.mark.parametrize("change", [tamper_size, tamper_content, swap, Path.unlink])
def test_an_archive_that_is_not_as_it_was_left_is_not_reused(bench: Bench, change: object) -> None:
    before = bench.build(BASE)
    change(bench.target)  # type: ignore[operator]
    after = bench.edit(EDITED, before)
    assert after.reused == 0
    bench.check(EDITED, after)


def test_an_archive_from_before_a_reboot_is_not_reused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.build(BASE)
    monkeypatch.setattr(source, "boot", lambda: "another")
    assert bench.edit(EDITED, before).reused == 0


def test_an_archive_that_another_name_shares_is_not_edited_in_place(bench: Bench, tmp_path: Path) -> None:
    before = bench.build(BASE)
    kept = tmp_path / "kept"
    os.link(bench.target, kept)
    assert bench.edit(EDITED, before).reused
    verify(kept, archives.manifest(BASE))
    verify(bench.target, archives.manifest(EDITED))


def test_a_full_disk_during_an_edit_leaves_the_old_archive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.build(BASE)
    for call in ("pwrite", "posix_fallocate"):
        with monkeypatch.context() as patch:

            def full(*_: object) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(os, call, full)
            with pytest.raises(UserError, match="disk is full"):
                bench.edit(EDITED, before)
        verify(bench.target, archives.manifest(BASE))
        assert archives.leftovers(bench.target.parent) == ["model.tar.gz"]


CRASHES = """
import os, shutil, signal, sys
from pathlib import Path
from sagepack.archive import reader, reuse
from sagepack.archive.writer import recover, write
from sagepack.errors import IntegrityError
from tests import archives
from tests.archives import BASE, EDITED, Bench

reuse.can_clone = lambda *_: False
bench = Bench(Path(sys.argv[1]))
events = {"open", "os.rename", "os.remove", "os.truncate"}
inside = str(bench.target.parent)

def die_at(instant):
    count = 0
    def tick():
        nonlocal count
        if count == instant:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
    def hook(event, arguments):
        if event in events and inside in str(arguments[0]):
            tick()
    sys.addaudithook(hook)
    for name in ("pwrite", "posix_fallocate"):
        real = getattr(os, name)
        def dying(*arguments, real=real):
            tick()
            result = real(*arguments)
            tick()
            return result
        setattr(os, name, dying)

def state():
    for name, files in (("old", BASE), ("new", EDITED)):
        try:
            reader.verify(bench.target, archives.manifest(files))
            return name
        except IntegrityError:
            pass
    raise SystemExit(f"torn: {os.listdir(inside)}")

for instant in range(200):
    shutil.rmtree(bench.root, ignore_errors=True)
    before = bench.build(BASE)
    child = os.fork()
    if not child:
        die_at(instant)
        bench.edit(EDITED, before)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    named = state() if bench.target.exists() else "moved"
    recover(bench.target)
    found = state()
    left = set(os.listdir(inside)) - {"model.tar.gz", ".model.tar.gz.journal.partial", ".model.tar.gz.partial"}
    again = bench.edit(EDITED, before)
    assert state() == "new" and os.listdir(inside) == ["model.tar.gz"], os.listdir(inside)
    print(instant, named, found, sorted(left), flush=True)
    if status == 0:
        break
else:
    raise SystemExit("the edit never ended")
"""


def test_a_kill_at_any_instant_of_an_edit_leaves_the_old_or_the_new_archive(tmp_path: Path) -> None:
    """The process is killed before and after each call that touches the folder, one after the other."""
    run = subprocess.run(
        [sys.executable, "-c", CRASHES, str(tmp_path / "bench")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [line.split(maxsplit=3) for line in run.stdout.splitlines()]
    assert {line[1] for line in lines} == {"old", "moved", "new"}, "every state of the journal was met"
    assert {line[2] for line in lines} == {"old", "new"}
    assert {line[3] for line in lines} == {"[]"}


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("call", range(3))
def test_an_interrupt_during_an_edit_leaves_the_new_archive_in_its_place(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = bench.build(BASE)
    calls = iter(range(100))

    def interrupted(path: Path, target: Path) -> Path:
        if next(calls) == call:
            raise KeyboardInterrupt
        os.rename(path, target)  # noqa: PTH104 - this is Path.rename
        return target

    monkeypatch.setattr(Path, "rename", interrupted)
    if call < 2:  # the old archive loses its name, the new one gets it
        with pytest.raises(KeyboardInterrupt):
            bench.edit(EDITED, before)
    else:
        bench.edit(EDITED, before)
    verify(bench.target, archives.manifest(BASE if call == 0 else EDITED))
    assert archives.leftovers(bench.target.parent) == ["model.tar.gz"]


def test_an_edit_that_a_reboot_cut_off_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.build(BASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_apply", lambda *_: None)
        journal.replace_end(bench.target, 100, 200, lambda output: os.pwrite(output, bytes(100), 0))
    assert not bench.target.exists()
    monkeypatch.setattr(journal, "boot", lambda: "another")
    assert recover(bench.target)
    assert archives.leftovers(bench.target.parent) == []


def test_a_journal_for_another_file_is_dropped(bench: Bench) -> None:
    bench.build(BASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_apply", lambda *_: None)
        journal.replace_end(bench.target, 100, 200, lambda output: os.pwrite(output, bytes(100), 0))
    bench.target.write_bytes(b"somebody put another one here")
    assert recover(bench.target)
    assert bench.target.read_bytes() == b"somebody put another one here"
    assert archives.leftovers(bench.target.parent) == ["model.tar.gz"]


def test_there_is_nothing_to_recover_where_nothing_happened(bench: Bench, tmp_path: Path) -> None:
    assert not recover(tmp_path / "no such folder" / "a")
    bench.build(BASE)
    assert not recover(bench.target)
