"""Downloads from the sandbox's Hub, from its CDN and from its Xet storage, with the faults a network has."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from huggingface_hub import HfApi, snapshot_download
from isal.isal_zlib import crc32
from msgspec.structs import replace

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.hub.cache import RepoCache
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.client import Hub
from sagepack.hub.download import download, resumable_bytes
from sagepack.hub.hash_cache import HashCache
from sagepack.hub.lock_files import resolve_files
from sagepack.hub.partial import PIECE, Partial
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.sandbox.hub.xet import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagepack.package.lock import LockedFile
    from sagepack.sandbox.faults import Faults, LoggedRequest
    from sagepack.sandbox.servers import Servers

REPO = "me/large"
LARGE = "model.safetensors"
LARGE_SIZE = 5 * PIECE + 12_345
# The two ways to the bytes of a large file: the path of a request that gets some begins with this.
WIRES = {"cdn": "/_cdn/", "xet": "/_xet/xorbs/"}
both_wires = pytest.mark.parametrize("wire", WIRES)


class Told(Silent):
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total = self.added = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def activity(self, label: str) -> Iterator[None]:
        self.notes.append(label)
        yield

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        assert label
        self.total += total
        lock = threading.Lock()

        def add(count: int) -> None:
            with lock:
                self.added += count

        yield add


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    (folder / LARGE).write_bytes(random.Random(1).randbytes(LARGE_SIZE))
    (folder / "config.json").write_text("{}")
    (folder / "empty.txt").write_text("")
    (folder / "sub").mkdir()
    (folder / "sub/config.json").write_text("{}")
    (folder / "sub/small.safetensors").write_bytes(b"small weights")
    return folder


class Scene:
    """One repository at the sandbox, a cache that is empty at first, and a client of ours."""

    def __init__(self, sandbox: Servers, folder: Path, home: Path, wire: str) -> None:
        self.sandbox, self.folder, self.home, self.wire = sandbox, folder, home, wire
        self.large_paths = f"{WIRES[wire]}*/{LARGE}"
        self.revision = Revision(REPO, sandbox.hub.repositories.add(REPO, folder))
        self.hub = Hub(sandbox.hub_url, sandbox.hf_token, home / "hub", backoff=0.01)
        self.cache = RepoCache(home / "hub", self.revision)
        self.told = Told()
        self.files: list[LockedFile] = resolve_files(self.hub, self.revision, self.hub.files(self.revision))
        sandbox.faults.clear()

    @property
    def large(self) -> LockedFile:
        return next(file for file in self.files if file.path == LARGE)

    def get(self, **options: Any) -> dict[str, Path]:
        options.setdefault("files", self.files)
        trust = HashCache(self.home / "hash-cache.json")
        files = options.pop("files")
        return download(self.hub, self.revision, files, hash_cache=trust, progress=self.told, **options)

    def check(self, got: dict[str, Path]) -> None:
        assert {path: file.read_bytes() for path, file in got.items()} == {
            file.path: (self.folder / file.path).read_bytes() for file in self.files
        }

    def leftovers(self) -> list[str]:
        known = {file.etag for file in self.files}
        return sorted(file.name for file in (self.cache.folder / "blobs").iterdir() if file.name not in known)

    def bodies(self, path: str = LARGE) -> list[LoggedRequest]:
        return [
            request
            for request in self.sandbox.faults.log
            if request.method == "GET" and request.path.endswith(path) and request.status in {200, 206} and request.sent
        ]

    def fetched(self) -> int:
        """Bytes of the large file that were sent."""
        sent = [request.sent for request in self.bodies()]
        headers = [8 * -(-count // (CHUNK + 8)) if self.wire == "xet" else 0 for count in sent]
        assert all(request.path.startswith(WIRES[self.wire]) for request in self.bodies())
        return sum(sent) - sum(headers)


@pytest.fixture
def wire() -> str:
    return "cdn"


@pytest.fixture
def scene(sandbox: Servers, model: Path, tmp_path: Path, wire: str, monkeypatch: pytest.MonkeyPatch) -> Scene:
    if wire == "cdn":
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    return Scene(sandbox, model, tmp_path, wire)


@both_wires
def test_every_file_arrives_as_it_is(scene: Scene) -> None:
    scene.check(scene.get())
    assert scene.leftovers() == []
    assert scene.told.added == scene.told.total == sum({file.etag: file.size for file in scene.files}.values())


def test_a_second_download_asks_nobody_and_reads_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scene.get()
    scene.sandbox.faults.clear()
    monkeypatch.setattr("sagepack.hub.hash_cache._hash", lambda _path: pytest.fail("a file was read"))
    assert scene.get() == first
    assert scene.sandbox.faults.log == []


def test_what_is_here_is_known_without_reading_or_asking(scene: Scene) -> None:
    trust = HashCache(scene.home / "hash-cache.json")
    before = scan_cache(scene.cache, scene.files, trust)
    assert ({file.path for file in before.missing}, before.ready, before.present) == (
        {file.path for file in scene.files},
        {},
        (),
    )
    assert before.bytes_missing == LARGE_SIZE + len("{}") + len(b"small weights")
    got = scene.get()
    assert scan_cache(scene.cache, scene.files, HashCache(trust.file)).ready == got
    unknown = scan_cache(scene.cache, scene.files, HashCache(scene.home / "other.json"))
    assert len(unknown.present) == len(scene.files)


def test_the_real_client_finds_our_files_and_finds_them_right(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.get()
    folder = snapshot_download(REPO, revision=scene.revision.commit, cache_dir=scene.cache.cache, local_files_only=True)
    assert {str(path.relative_to(folder)) for path in scene.cache.snapshot(LARGE).parent.iterdir()} == {
        "config.json",
        "empty.txt",
        LARGE,
        "sub",
    }
    monkeypatch.setenv("HF_HUB_CACHE", str(scene.cache.cache))
    api = HfApi(endpoint=scene.sandbox.hub_url, token=scene.sandbox.hf_token)
    verdict = api.verify_repo_checksums(REPO, revision=scene.revision.commit, cache_dir=scene.cache.cache)
    assert (verdict.checked_count, verdict.mismatches, verdict.missing_paths) == (len(scene.files), [], [])
    scene.sandbox.faults.clear()
    snapshot_download(
        REPO, revision=scene.revision.commit, cache_dir=scene.cache.cache, endpoint=scene.sandbox.hub_url, token=False
    )
    assert [request for request in scene.sandbox.faults.log if "/resolve/" in request.path] == []


def test_files_that_the_client_fetched_are_used(scene: Scene) -> None:
    snapshot_download(
        REPO,
        revision=scene.revision.commit,
        cache_dir=scene.cache.cache,
        endpoint=scene.sandbox.hub_url,
        token=scene.sandbox.hf_token,
    )
    scene.sandbox.faults.clear()
    scene.check(scene.get())
    assert scene.sandbox.faults.log == []


def test_a_cut_connection_continues_where_it_stopped(scene: Scene, faults: Faults) -> None:
    faults.cut(f"*/{LARGE}", after=3_000_000)
    scene.check(scene.get(connections=1))
    ranges = [request.range for request in scene.bodies()]
    assert ranges[0] == f"bytes=0-{LARGE_SIZE - 1}"
    assert ranges[1] == f"bytes=3000000-{LARGE_SIZE - 1}"
    assert sum(request.sent for request in scene.bodies()) == LARGE_SIZE


@both_wires
def test_a_short_answer_that_claims_to_be_whole_is_completed(scene: Scene, faults: Faults) -> None:
    faults.truncate(scene.large_paths, keep=1_000_000, times=2)
    scene.check(scene.get())


@both_wires
def test_a_busy_server_is_sent_another_request(scene: Scene, faults: Faults) -> None:
    faults.status(scene.large_paths, 503, 500, 429)
    faults.status("*/resolve/*/config.json", 503)
    scene.check(scene.get())


def test_a_server_that_stays_down_leaves_a_state_from_which_the_next_continues(scene: Scene, faults: Faults) -> None:
    scene.get(files=[file for file in scene.files if file.path != LARGE])
    faults.status(f"/_cdn/*/{LARGE}", 503, times=None)
    with pytest.raises(RemoteError, match=r"503.*6 times.*\n.*run the same command again"):
        scene.get()
    faults.clear()
    scene.check(scene.get())


@both_wires
def test_an_expired_address_is_renewed(scene: Scene, faults: Faults) -> None:
    faults.expire(scene.large_paths, times=3)
    scene.check(scene.get())
    refused = [request for request in faults.log if request.status == 403]
    assert len(refused) == 3


def test_a_server_that_ignores_ranges_is_read_once(scene: Scene, faults: Faults) -> None:
    faults.ignore_range()
    scene.check(scene.get())
    # One request finds out, one takes everything.
    assert (
        len([request for request in faults.log if request.path.startswith(f"/_cdn/{REPO}") and LARGE in request.path])
        == 2
    )


def test_a_cut_is_survived_where_ranges_are_ignored(scene: Scene, faults: Faults) -> None:
    faults.ignore_range()
    faults.cut(f"/_cdn/*/{LARGE}", after=20_000_000, times=3)
    scene.check(scene.get())


@both_wires
def test_several_ranges_of_one_file_come_at_once_and_no_more_than_allowed(scene: Scene, faults: Faults) -> None:
    faults.rate(40_000_000, scene.large_paths)
    open_now, most = set(), 0
    real = scene.hub.ranges

    def watched(*arguments: Any, **options: Any) -> Iterator[tuple[int, bytes]]:
        nonlocal most
        me = object()
        open_now.add(me)
        most = max(most, len(open_now))
        yield from real(*arguments, **options)
        open_now.discard(me)

    scene.hub.ranges = watched  # type: ignore[method-assign]
    scene.check(scene.get(connections=3))
    assert most == 3
    assert len(scene.bodies()) >= 3


@pytest.mark.parametrize("wire", ["xet"])
def test_all_connections_begin_at_once_where_any_range_can_be_read(scene: Scene, faults: Faults) -> None:
    faults.latency(0.3, scene.large_paths)
    readers, begun = 0, list[int]()
    real = scene.hub.ranges

    def watched(*arguments: Any, **options: Any) -> Iterator[tuple[int, bytes]]:
        nonlocal readers
        readers += 1
        for offset, chunk in real(*arguments, **options):
            begun.append(readers)
            yield offset, chunk

    scene.hub.ranges = watched  # type: ignore[method-assign]
    got = scene.get(files=[scene.large], connections=3)
    assert got[LARGE].read_bytes() == (scene.folder / LARGE).read_bytes()
    assert begun[0] == 3


@both_wires
def test_wrong_bytes_are_fetched_once_more(scene: Scene, faults: Faults) -> None:
    faults.corrupt(scene.large_paths, at=PIECE + 5, times=1)
    scene.check(scene.get())
    assert [note for note in scene.told.notes if "downloading it again" in note]
    assert scene.leftovers() == []
    assert scene.told.added == scene.told.total


@both_wires
def test_bytes_that_are_wrong_twice_stop_the_build_with_both_digests(scene: Scene, faults: Faults) -> None:
    faults.corrupt(scene.large_paths, at=5)
    content = bytearray((scene.folder / LARGE).read_bytes())
    content[5] ^= 0xFF
    with pytest.raises(IntegrityError) as caught:
        scene.get()
    assert caught.value.exit_code == 4
    assert str(Digest.sha256(bytes(content))) in str(caught.value)
    assert str(scene.large.digest) in str(caught.value)
    assert scene.cache.mismatch(scene.large.etag).read_bytes() == content
    assert not scene.cache.blob(scene.large.etag).exists()
    assert not scene.cache.snapshot(LARGE).exists()
    faults.clear()
    scene.check(scene.get())
    assert scene.leftovers() == []


@both_wires
def test_a_file_that_is_shorter_at_the_hub_than_in_the_lock_is_an_integrity_error(scene: Scene) -> None:
    longer = replace(scene.large, size=scene.large.size + PIECE, etag="f" * 64)
    with pytest.raises(IntegrityError, match=f"has {LARGE_SIZE} bytes"):
        scene.get(files=[longer])


def test_a_damaged_file_in_the_cache_is_set_aside_and_fetched(scene: Scene) -> None:
    scene.get()
    blob = scene.cache.blob(scene.large.etag)
    with blob.open("r+b") as file:
        file.write(b"damaged")
    scene.sandbox.faults.clear()
    scene.check(scene.get())
    assert sum(request.sent for request in scene.bodies()) == LARGE_SIZE
    assert scene.leftovers() == []


def test_a_link_that_was_lost_or_points_elsewhere_is_made_again(scene: Scene) -> None:
    scene.get()
    pointer = scene.cache.snapshot("sub/config.json")
    pointer.unlink()
    other = scene.cache.snapshot(LARGE)
    other.unlink()
    other.symlink_to("config.json")
    scene.sandbox.faults.clear()
    scene.check(scene.get())
    assert scene.sandbox.faults.log == []


def test_a_snapshot_of_copies_instead_of_links_is_used(scene: Scene) -> None:
    scene.get()
    pointer = scene.cache.snapshot(LARGE)
    blob = pointer.resolve()
    pointer.unlink()
    blob.rename(pointer)
    scene.sandbox.faults.clear()
    scene.check(scene.get())
    assert scene.sandbox.faults.log == []


def test_leftovers_of_the_client_go_and_those_it_is_writing_stay(scene: Scene) -> None:
    blobs = scene.cache.folder / "blobs"
    blobs.mkdir(parents=True)
    small = next(file for file in scene.files if file.path == "config.json")
    stale = blobs / f"{scene.large.etag}.0123abcd.incomplete"
    live = blobs / f"{small.etag}.0123abcd.incomplete"
    for file in (stale, live):
        file.write_bytes(b"half")
    lock = scene.cache.lock_path.with_name(f"{small.etag}.lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        scene.get()
    assert scene.leftovers() == [live.name]


def test_a_full_disk_is_reported_before_bytes_move(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(scene.home)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    scene.sandbox.faults.clear()
    with pytest.raises(UserError, match=r"needs 20\.0 MiB, and 1\.0 MiB are free"):
        scene.get()
    assert scene.sandbox.faults.log == []


def test_a_disk_that_fills_up_meanwhile_is_reported(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sagepack.hub.partial.os.pwrite", full)
    with pytest.raises(UserError, match="No space left on device"):
        scene.get()


def test_a_partial_file_that_vanishes_or_shrinks_meanwhile_ends_the_download(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Partial.has

    def shrinking(self: Partial, piece: int) -> bool:
        if piece == 3 and real(self, piece):
            with self.file.open("r+b") as file:
                file.truncate(2 * PIECE)
        return real(self, piece)

    monkeypatch.setattr(Partial, "has", shrinking)
    with pytest.raises(SagepackError):
        scene.get()
    monkeypatch.setattr(Partial, "has", real)
    scene.check(scene.get())


CHILD = """
import sys
from pathlib import Path
from sagepack.hub.download import download
from sagepack.hub.lock_files import resolve_files
from sagepack.hub.hash_cache import HashCache
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.hub.client import Hub

url, token, home, repo, commit = sys.argv[1:]
hub = Hub(url, token, Path(home) / "hub", backoff=0.01)
revision = Revision(repo, commit)
files = resolve_files(hub, revision, hub.files(revision))
print("begun", flush=True)
download(hub, revision, files, hash_cache=HashCache(Path(home) / "hash-cache.json"), progress=Silent(), connections=2)
print("done", flush=True)
"""


@pytest.fixture
def child(scene: Scene) -> Iterator[subprocess.Popen[str]]:
    arguments = [scene.sandbox.hub_url, scene.sandbox.hf_token, str(scene.home), REPO, scene.revision.commit]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


@pytest.mark.slow
@both_wires
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_after_an_end_in_the_middle_only_the_rest_is_fetched(
    scene: Scene, faults: Faults, child: subprocess.Popen[str], ending: signal.Signals
) -> None:
    # Of Xet storage two requests of each reader are under way at once, and pieces are there at once.
    faults.rate({"cdn": 15e6, "xet": 2e6}[scene.wire], scene.large_paths)
    journal = scene.cache.partial(scene.large.etag).with_name(f"{scene.large.etag}.sagepack-partial-journal")
    wait_for(lambda: journal.exists() and journal.read_text().count("\n") >= 2)
    child.send_signal(ending)
    child.communicate(timeout=30)
    assert child.returncode != 0
    kept = journal.read_text().count("\n")
    faults.clear()
    scene.check(scene.get())
    assert scene.fetched() <= LARGE_SIZE - (kept - 1) * PIECE
    assert scene.leftovers() == []
    assert scene.told.added == scene.told.total < LARGE_SIZE


@both_wires
def test_pieces_that_rotted_on_disk_are_fetched_again(scene: Scene) -> None:
    partial = scene.cache.partial(scene.large.etag)
    partial.parent.mkdir(parents=True)
    partial.write_bytes((scene.folder / LARGE).read_bytes()[: 3 * PIECE])
    content = (scene.folder / LARGE).read_bytes()
    lines = [f"{n} {crc32(content[n * PIECE : (n + 1) * PIECE]):08x}" for n in range(3)]
    assert resumable_bytes(scene.cache, scene.files) == 0
    partial.with_name(partial.name + "-journal").write_text(
        "\n".join([*lines, "9 00000000", "4 xyz", "9" * 5000 + " 00000000", "torn"])
    )
    assert resumable_bytes(scene.cache, scene.files) >= 3 * PIECE
    with partial.open("r+b") as file:
        file.seek(PIECE + 7)
        file.write(b"rot")
    scene.check(scene.get())
    assert scene.fetched() == LARGE_SIZE - 2 * PIECE


@pytest.mark.slow
@both_wires
def test_two_processes_at_once_fetch_once(scene: Scene, faults: Faults, child: subprocess.Popen[str]) -> None:
    faults.rate(30_000_000, scene.large_paths)
    wait_for(lambda: scene.cache.partial(scene.large.etag).exists())
    scene.check(scene.get())
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out.split(), err) == (0, ["begun", "done"], "")
    assert any("another process" in note for note in scene.told.notes)
    assert scene.fetched() == LARGE_SIZE


def test_offline_uses_what_is_here_and_says_what_is_not(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.get()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    scene.check(scene.get())
    scene.cache.snapshot(LARGE).resolve().unlink()
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids"):
        scene.get()


def test_a_path_that_climbs_is_refused(scene: Scene) -> None:
    with pytest.raises(UserError, match="not a plain relative path"):
        scene.get(files=[replace(scene.large, path="../../outside")])


@pytest.mark.parametrize("name", ["../../../../outside", "/{home}/outside", "*", ""])
def test_no_name_of_a_content_in_a_lock_leads_out_of_the_cache(scene: Scene, name: str) -> None:
    outside = scene.home / "outside"
    outside.write_text("precious")
    before = sorted(scene.home.rglob("*"))
    small = next(file for file in scene.files if file.path == "config.json")
    with pytest.raises(IntegrityError, match="40 or 64 hex digits"):
        scene.get(files=[replace(small, etag=name.format(home=scene.home))])
    assert sorted(scene.home.rglob("*")) == before
    assert outside.read_text() == "precious"


def test_files_get_the_mode_that_the_umask_gives(scene: Scene) -> None:
    mask = os.umask(0o027)
    try:
        got = scene.get()
    finally:
        os.umask(mask)
    assert {file.stat().st_mode & 0o777 for file in got.values()} == {0o640}


@both_wires
def test_a_download_says_nothing_by_itself(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    download(
        scene.hub, scene.revision, scene.files, hash_cache=HashCache(scene.home / "hash-cache.json"), progress=Silent()
    )
    assert capfd.readouterr() == ("", "")


@both_wires
@pytest.mark.slow
def test_a_download_that_is_killed_again_and_again_gets_there(scene: Scene, faults: Faults) -> None:
    chance = random.Random(3)
    arguments = [scene.sandbox.hub_url, scene.sandbox.hf_token, str(scene.home), REPO, scene.revision.commit]
    rounds = 0
    rate, longest = {"cdn": (8e6, 1.0), "xet": (2.5e6, 2.5)}[scene.wire]  # hf_xet gives 2 MiB all at once
    while True:
        faults.clear()
        faults.rate(rate, scene.large_paths)
        faults.cut(scene.large_paths, after=chance.randrange(1 << 20, 6 << 20), times=2)
        faults.status(f"*/{LARGE}", chance.choice([429, 500, 503]))
        rounds += 1
        with subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            process.stdout.readline()
            try:
                assert process.wait(chance.uniform(0.05, longest)) == 0
                break
            except subprocess.TimeoutExpired:
                process.kill()
        assert rounds < 100
    assert rounds > 1
    scene.check(scene.get())
    assert scene.leftovers() == []
