"""Taking over the front of the last archive: the same bytes as a full build, and nothing incomplete under its name."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack import files
from sagepack.errors import UserError
from sagepack.package.archive import inplace, reuse, sha256
from sagepack.package.archive.reader import verify
from sagepack.package.archive.writer import confirm
from tests.helpers import archives
from tests.helpers.archives import BASE, EDITED, Bench
from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(not files.boot(), reason="this system does not name its boots: nothing is reused")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without reflinks, and for archives as small as those of the tests."""
    monkeypatch.setattr(reuse, "clone", lambda *_: 0)
    monkeypatch.setattr(inplace, "MIN_REUSED", 0)


@pytest.mark.usefixtures("in_place")
def test_a_code_edit_writes_only_the_end_and_gives_the_bytes_of_a_full_build(bench: Bench) -> None:
    before = bench.build(BASE)
    inode = bench.target.stat().st_ino
    code = archives.layout(BASE).entries[-2].offset
    after = bench.edit(EDITED, before)
    assert after.reused == code
    assert bench.target.stat().st_ino == inode
    bench.check(EDITED, after)
    again = bench.edit(BASE, after)
    assert bench.target.stat().st_ino == inode
    bench.check(BASE, again)


@pytest.mark.parametrize(("front", "end"), [(1 << 40, 1 << 40), (0, 0)])
def test_where_it_is_not_worth_it_a_new_file_takes_the_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, front: int, end: int
) -> None:
    monkeypatch.setattr(inplace, "MIN_REUSED", front)
    monkeypatch.setattr(inplace, "MAX_REPLACED", end)
    before = bench.build(BASE)
    inode = bench.target.stat().st_ino
    after = bench.edit(EDITED, before)
    assert after.reused
    assert bench.target.stat().st_ino != inode
    bench.check(EDITED, after)


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("mapped", [False, True])
def test_who_has_the_archive_open_keeps_the_old_one(bench: Bench, mapped: bool) -> None:
    before = bench.build(BASE)
    whole = bench.target.read_bytes()
    with bench.target.open("rb") as reader:
        if mapped:
            view = mmap.mmap(reader.fileno(), 0, prot=mmap.PROT_READ)
            reader.close()
        after = bench.edit(EDITED, before)
        assert (view[:] if mapped else reader.read()) == whole
    assert after.reused
    bench.check(EDITED, after)


@pytest.mark.slow
@pytest.mark.usefixtures("in_place")
def test_a_script_that_copies_finds_a_whole_archive_or_none(bench: Bench) -> None:
    written = bench.build(BASE)
    stop, copies = threading.Event(), set[bytes]()

    def copy() -> None:
        while not stop.is_set():
            with suppress(FileNotFoundError):
                copies.add(bench.target.read_bytes())

    thread = threading.Thread(target=copy)
    thread.start()
    try:
        for turn in range(30):
            written = bench.edit(BASE if turn % 2 else EDITED, written)
    finally:
        stop.set()
        thread.join(timeout=60)
    assert 1 <= len(copies) <= 2
    for data in copies:
        bench.target.write_bytes(data)
        verify(bench.target, archives.manifest(EDITED if len(data) == archives.layout(EDITED).size else BASE))


def test_edit_after_edit_continues_from_the_last(bench: Bench) -> None:
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
    monkeypatch.setattr(sha256, "_library", lambda: None)
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
    monkeypatch.setattr(inplace, "MIN_REUSED", 0)
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


def tamper_and_put_the_time_back(target: Path) -> None:
    status = target.stat()
    with target.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"x")
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap(target: Path) -> None:
    other = target.with_name("other")
    shutil.copy2(target, other)
    other.replace(target)


@pytest.mark.parametrize("change", [tamper_size, tamper_content, tamper_and_put_the_time_back, swap, Path.unlink])
def test_an_archive_that_is_not_as_it_was_left_is_not_reused(bench: Bench, change: object) -> None:
    before = bench.build(BASE)
    change(bench.target)  # type: ignore[operator]
    after = bench.edit(EDITED, before)
    assert after.reused == 0
    bench.check(EDITED, after)


def test_an_archive_from_before_a_reboot_is_not_reused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.build(BASE)
    monkeypatch.setattr(files, "boot", lambda: "another")
    assert bench.edit(EDITED, before).reused == 0


def test_an_archive_that_was_only_touched_is_known_again_by_its_bytes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.build(BASE)
    os.utime(bench.target, (5, 5))
    touched = confirm(bench.target, before)
    assert touched is not None
    bench.check(BASE, touched)
    monkeypatch.setattr(files, "boot", lambda: "another")
    restarted = confirm(bench.target, touched)
    assert restarted is not None
    assert restarted.stamp.boot == "another"
    tamper_content(bench.target)
    assert confirm(bench.target, restarted) is None
    bench.target.unlink()
    assert confirm(bench.target, restarted) is None


@pytest.mark.usefixtures("in_place")
def test_an_archive_that_another_name_shares_is_not_edited_in_place(bench: Bench, tmp_path: Path) -> None:
    before = bench.build(BASE)
    kept = tmp_path / "kept"
    os.link(bench.target, kept)
    bench.edit(EDITED, before)
    verify(kept, archives.manifest(BASE))
    verify(bench.target, archives.manifest(EDITED))


@pytest.mark.usefixtures("in_place")
def test_a_full_disk_during_an_edit_leaves_the_old_archive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    before = bench.build(BASE)
    for call in ("pwrite", "posix_fallocate"):
        with monkeypatch.context() as patch:

            def full(*_: object) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(os, call, full)
            with pytest.raises(UserError, match="No space left"):
                bench.edit(EDITED, before)
        verify(bench.target, archives.manifest(BASE))
        assert archives.leftovers(bench.target.parent) == ["model.tar.gz"]


@pytest.mark.usefixtures("in_place")
def test_a_fault_of_the_disk_during_an_edit_leaves_no_torn_archive(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.build(BASE)

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(inplace, "_copy", broken)
        with pytest.raises(UserError, match="Input/output error"):
            bench.edit(EDITED, before)
    assert archives.leftovers(bench.target.parent) == []
    bench.check(EDITED, bench.edit(EDITED, before))


CRASHES = """
import os, shutil, signal, sys
from pathlib import Path
from sagepack.package.archive import inplace, reader, reuse
from sagepack.errors import IntegrityError
from tests.helpers import archives
from tests.helpers.archives import BASE, EDITED, Bench

reuse.clone = lambda *_: 0
inplace.MIN_REUSED = 0
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
    for name in ("pwrite", "posix_fallocate", "ftruncate", "utime"):
        real = getattr(os, name)
        def dying(*arguments, real=real, **keywords):
            tick()
            result = real(*arguments, **keywords)
            tick()
            return result
        setattr(os, name, dying)

def state():
    if not bench.target.exists():
        return "none"
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
    found = state()
    bench.edit(EDITED, before)
    assert state() == "new" and os.listdir(inside) == ["model.tar.gz"], os.listdir(inside)
    print(instant, found, flush=True)
    if status == 0:
        break
else:
    raise SystemExit("the edit never ended")
"""


@pytest.mark.slow
def test_a_kill_at_any_instant_of_an_edit_leaves_a_whole_archive_or_none_and_the_next_build_repairs_it(
    tmp_path: Path,
) -> None:
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
    assert {line.split()[1] for line in run.stdout.splitlines()} == {"old", "none", "new"}, "every state was met"


@pytest.mark.usefixtures("in_place")
@pytest.mark.parametrize("step", ["_grow", "_copy", "backdate_mtime"])
def test_an_interrupt_waits_until_the_archive_has_its_name_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before, real = bench.build(BASE), getattr(inplace, step)

    def interrupted(*arguments: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(inplace, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        bench.edit(EDITED, before)
    verify(bench.target, archives.manifest(EDITED))
    assert archives.leftovers(bench.target.parent) == ["model.tar.gz"]


@pytest.mark.usefixtures("in_place")
def test_nothing_that_a_killed_edit_left_is_believed(bench: Bench) -> None:
    before = bench.build(BASE)
    bench.target.rename(bench.target.with_name(".model.tar.gz.editing"))
    bench.target.with_name(".model.tar.gz.partial").write_bytes(b"the end of another")
    after = bench.edit(EDITED, before)
    assert after.reused == 0
    bench.check(EDITED, after)
