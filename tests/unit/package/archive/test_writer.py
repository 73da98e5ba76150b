"""Writing: the bytes are those of format 1 whatever the machine, and a failure leaves nothing and says why."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.package.archive import output, pipeline, writer
from sagepack.package.archive.reader import verify
from sagepack.package.archive.source import Source, Written
from sagepack.package.archive.writer import write
from sagepack.progress import Silent
from tests.helpers import archives
from tests.helpers.archives import LARGE
from tests.helpers.paths import DATA, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = archives.small_package()
GOLDEN = DATA / "archive-format-1.json"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    archives.lay_out(folder / "small", FILES)
    archives.lay_out(folder / "large", LARGE)
    return folder


def test_the_written_archive_is_what_it_says_and_what_ordinary_readers_see(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "new" / "folder" / "model.tar.gz"
    written = write(archives.sources(folder / "small", FILES), archive)
    data = archive.read_bytes()
    assert written.sha256 == Digest.sha256(data)
    assert written.size == len(data) == archives.layout(FILES).size
    assert archives.by_tarfile(data) == archives.expected(FILES)
    assert archives.manifest_of(written) == archives.manifest(FILES)
    assert archives.leftovers(archive.parent) == ["model.tar.gz"]
    verify(archive, archives.manifest(FILES))


def test_the_bytes_are_pinned(folder: Path, tmp_path: Path) -> None:
    """SAGEPACK_REFRESH_GOLDENS=1 writes the golden anew; a change of it is a new format."""
    written = write(archives.sources(folder / "small", FILES), tmp_path / "a")
    found = {"size": written.size, "sha256": written.sha256.value, "manifest": archives.manifest(FILES).digest.value}
    if os.environ.get("SAGEPACK_REFRESH_GOLDENS"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    assert json.loads(GOLDEN.read_text()) == found


SCRIPT = """
import sys
from pathlib import Path
from sagepack.package.archive.writer import write
from tests.helpers import archives
root = Path(sys.argv[1])
files = archives.small_package()
if sys.argv[2] == "backwards":
    files = dict(reversed(list(files.items())))
archives.lay_out(root / "in", files)
print(write(archives.sources(root / "in", files), root / "out.tar.gz").sha256.value)
"""


@pytest.mark.parametrize(
    ("umask", "order", "variables"),
    [
        (0o022, "forwards", {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}),
        (0o077, "backwards", {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONHASHSEED": "7", "PYTHONUTF8": "1"}),
    ],
)
def test_folder_umask_time_zone_locale_and_creation_order_change_nothing(
    tmp_path: Path, umask: int, order: str, variables: dict[str, str]
) -> None:
    root = ROOT
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), order],
        env=os.environ | variables | {"PYTHONPATH": str(root)},
        umask=umask,
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.stdout.strip() == json.loads(GOLDEN.read_text())["sha256"]


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 5), st.integers(1, 20), st.integers(1, 5), st.sets(st.sampled_from(sorted(LARGE))))
def test_threads_chunks_and_trust_change_nothing(threads: int, blocks: int, ring: int, trusted: set[str]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder, target = Path(name) / "in", Path(name) / "a"
        archives.lay_out(folder, LARGE)
        patch.setattr(pipeline, "CHUNK", blocks * 65540)
        patch.setattr(pipeline, "BUFFERS", ring)
        written = write(archives.sources(folder, LARGE, tuple(trusted)), target, threads=threads)
        assert written.sha256 == Digest.sha256(target.read_bytes())
        verify(target, archives.manifest(LARGE))
    assert archives.manifest_of(written) == archives.manifest(LARGE)


@pytest.mark.parametrize("crc", [None, zlib.crc32(b"pass\n") ^ 1])
@pytest.mark.parametrize("path", ["code/x.py", "a", "unet/weights"])
def test_a_source_that_is_not_what_it_must_be_is_named_and_the_old_archive_stays(
    folder: Path, tmp_path: Path, path: str, crc: int | None
) -> None:
    target, file = old_archive(tmp_path), folder / "large" / path
    digest = Digest.sha256(b"something else" if crc is None else LARGE[path])
    crc = zlib.crc32(LARGE[path]) ^ 1 if crc is not None else None
    with pytest.raises(IntegrityError) as caught:
        write([Source(path, len(LARGE[path]), False, file, digest, crc)], target)
    assert caught.value.where == str(file)
    assert_untouched(target)


def test_a_remembered_source_is_not_hashed_again(folder: Path, tmp_path: Path) -> None:
    content = LARGE["code/x.py"]
    claim = Digest.sha256(b"something else")
    source = Source("a", len(content), False, folder / "large" / "code/x.py", claim, zlib.crc32(content))
    assert write([source], tmp_path / "a").contents[0].digest == claim


def test_an_archive_of_nothing_is_an_archive(tmp_path: Path) -> None:
    write([], tmp_path / "a")
    assert archives.by_tarfile((tmp_path / "a").read_bytes()) == {}


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder / "large" / "unet/weights")
    written = write([Source("w", 5_000_000, False, tmp_path / "link")], tmp_path / "a")
    assert written.contents[0].digest == Digest.sha256(LARGE["unet/weights"])


def test_what_was_written_survives_json(folder: Path, tmp_path: Path) -> None:
    written = write(archives.sources(folder / "small", FILES), tmp_path / "a")
    document = json.loads(json.dumps(written.to_json()))
    assert Written.from_json(document) == written
    state = {"offset": 64, "state": "0" * 64}
    for broken in (
        {"contents": [[1]]},
        {"contents": None},
        {"contents": [["a", -1, False, "0" * 64, 0]]},
        {"contents": [["a", 1, False, "0" * 64, 1 << 32]]},
        {"contents": [["a", 1, 0, "0" * 64, 0]]},
        {"sha256": "x"},
        {"sha256": 5},
        {"crc32": -1},
        {"size": 1.5},
        {"stamp": None},
        {"stamp": [1, 2, 3]},
        {"midstate": state | {"state": "no hex"}},
        {"midstate": state | {"offset": 65}},
        {"midstate": state | {"offset": -64}},
        {"midstate": state | {"state": "0" * 63}},
        {"more": 1},
    ):
        assert Written.from_json(document | broken) is None, broken
    assert Written.from_json({}) is None
    assert Written.from_json(document | {"midstate": state}) is not None


def old_archive(tmp_path: Path) -> Path:
    target = tmp_path / "out" / "model.tar.gz"
    target.parent.mkdir()
    target.write_bytes(b"the old one")
    return target


def assert_untouched(target: Path) -> None:
    assert target.read_bytes() == b"the old one"
    assert archives.leftovers(target.parent) == [target.name]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate"])
def test_a_full_disk_is_reported_and_leaves_the_old_archive(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    target = old_archive(tmp_path)

    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=rf"{os.strerror(number)}\n  make room") as caught:
        write(archives.sources(folder / "large", LARGE), target)
    assert caught.value.where == str(target)
    assert number != errno.ENOSPC or "5 MiB are needed" in str(caught.value)
    assert_untouched(target)


def test_a_full_file_system_of_its_own_is_reported(folder: Path, tmp_path: Path) -> None:
    """The limit on the size of files is the full disk that needs no administrator."""
    script = f"""
import resource, signal
from pathlib import Path
from sagepack.package.archive.writer import write
from sagepack.errors import IntegrityError, UserError
from tests.helpers import archives
from tests.helpers.archives import LARGE
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    write(archives.sources(Path({str(folder / "large")!r}), LARGE), Path({str(tmp_path)!r}) / "out" / "a")
except UserError as error:
    print(error)
"""
    root = ROOT
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=root, check=True, capture_output=True, text=True, timeout=120
    )
    assert "out/a: File too large" in run.stdout
    assert archives.leftovers(tmp_path / "out") == []


def test_a_folder_that_cannot_be_written_is_reported(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="there is a file in the place of a folder"):
        write(archives.sources(folder / "large", LARGE), tmp_path / "file" / "a")


def test_an_interrupt_leaves_the_old_archive(folder: Path, tmp_path: Path) -> None:
    target = old_archive(tmp_path)

    class Impatient(Silent):
        @contextmanager
        def bar(self, *_: object) -> Iterator[Callable[[int], None]]:
            yield self.interrupt

        def interrupt(self, _count: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(archives.sources(folder / "large", LARGE), target, progress=Impatient())
    assert_untouched(target)
    assert [t for t in threading.enumerate() if t.name.startswith("ThreadPool")] == []


def test_missing_sources_folders_and_other_sizes_are_named_before_anything_is_written(tmp_path: Path) -> None:
    target = old_archive(tmp_path)
    (tmp_path / "file").write_bytes(b"12345")
    for file, size, message in [("none", 5, "No such file"), ("out", 5, "regular"), ("file", 6, "5 bytes, not 6")]:
        with pytest.raises(UserError, match=message) as caught:
            write([Source("a", size, False, tmp_path / file)], target)
        assert caught.value.where == str(tmp_path / file)
    assert_untouched(target)


def test_a_read_error_names_the_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = old_archive(tmp_path)

    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(UserError, match="cannot read") as caught:
        write(archives.sources(folder / "large", LARGE), target)
    assert caught.value.where is not None
    assert caught.value.where.endswith(("unet/weights", "x.py"))
    assert_untouched(target)


def grow(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, 4_000_000)


def rewrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(b"other")


def replace(file: Path) -> None:
    status = file.stat()
    other = file.with_name("other")
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace])
def test_a_source_that_changes_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    target = old_archive(tmp_path)
    archives.lay_out(tmp_path / "in", LARGE)
    file = tmp_path / "in" / "unet/weights"
    os.utime(file, (1, 1))
    real, lock, calls = os.preadv, threading.Lock(), iter(range(1000))

    def meddling(*arguments: object) -> int:
        with lock:
            if next(calls) == 2:
                change(file)  # type: ignore[operator]
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", meddling)
    monkeypatch.setattr(pipeline, "CHUNK", 4 * 65540)  # so that much is still to be read
    with pytest.raises(UserError, match="changed while") as caught:
        write(archives.sources(tmp_path / "in", LARGE), target)
    assert caught.value.where == str(file)
    assert_untouched(target)


def test_short_reads_and_short_writes_are_continued(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv, pwrite = os.preadv, os.pwrite
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][:50_000]], at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, data[:300_001], at))
    written = write(archives.sources(folder / "large", LARGE), tmp_path / "a")
    assert written.sha256 == Digest.sha256((tmp_path / "a").read_bytes())
    verify(tmp_path / "a", archives.manifest(LARGE))


def test_where_the_system_cannot_preallocate_it_goes_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unsupported)
    write(archives.sources(folder / "large", LARGE), tmp_path / "a")
    verify(tmp_path / "a", archives.manifest(LARGE))


def test_two_writers_of_one_archive_do_not_mix(folder: Path, tmp_path: Path) -> None:
    with output.single_writer(tmp_path / "a"), pytest.raises(UserError, match="another process"):
        write(archives.sources(folder / "large", LARGE), tmp_path / "a")
    write(archives.sources(folder / "large", LARGE), tmp_path / "a")


KILLED = """
import sys
from pathlib import Path
from sagepack.package.archive.writer import write
from tests.helpers import archives
from tests.helpers.archives import LARGE
print("ready", flush=True)
while True:
    write(archives.sources(Path(sys.argv[1]), LARGE), Path(sys.argv[2]))
"""


def test_a_killed_writer_leaves_a_whole_archive_and_the_next_run_tidies_up(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "a"
    write(archives.sources(folder / "large", LARGE), target)
    command = [sys.executable, "-c", KILLED, str(folder / "large"), str(target)]
    for moment in range(4):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + moment * 0.007)
            process.kill()
        verify(target, archives.manifest(LARGE))
    assert (
        hashlib.sha256(target.read_bytes()).hexdigest()
        == write(archives.sources(folder / "large", LARGE), target).sha256.value
    )
    assert archives.leftovers(target.parent) == ["a"]


def test_there_are_as_many_threads_as_processors_up_to_eight(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors, threads in ((None, 1), (2, 2), (64, 8)):
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        assert writer.default_threads() == threads
