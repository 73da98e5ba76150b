"""The Hub's Xet storage as the engine reads it: what goes wrong there, and the CDN in its place."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import hf_xet
import pytest

from sagepack.errors import IntegrityError, RemoteError
from sagepack.hub import xet
from sagepack.hub.client import Hub
from sagepack.hub.ranges import Range
from sagepack.package.revision import Revision
from sagepack.retry import CancelledError
from sagepack.sandbox.faults import Fault
from sagepack.sandbox.hub.xet import CHUNK
from sagepack.workers import worker_pool
from tests.helpers.cloud import Cloud
from tests.helpers.hostile_hub import HostileHub, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.servers import Servers

REPO, LARGE = "me/stored", "unet/weights.safetensors"
CONTENT = random.Random(5).randbytes(xet.SMALLEST + 1_234_567)


class Scene:
    """One large file at the sandbox, and a client of ours with what it said."""

    def __init__(self, sandbox: Servers, folder: Path) -> None:
        (folder / "unet").mkdir()
        (folder / LARGE).write_bytes(CONTENT)
        self.revision = Revision(REPO, sandbox.hub.repositories.add(REPO, folder))
        self.said: list[str] = []
        self.hub = Hub(sandbox.hub_url, sandbox.hf_token, backoff=0.01, notify=self.said.append)
        self.faults = sandbox.faults

    def read(self, start: int = 0, end: int = len(CONTENT), **options: Any) -> bytes:
        return b"".join(self.hub.open(self.revision, LARGE, start, end - start, **options))

    def asked(self, part: str) -> int:
        return sum(part in request.path for request in self.faults.log)


@pytest.fixture
def scene(sandbox: Servers, tmp_path: Path) -> Scene:
    return Scene(sandbox, tmp_path)


def test_a_large_file_comes_out_of_the_storage_and_a_part_of_it_too(scene: Scene) -> None:
    assert scene.read() == CONTENT
    assert scene.read(4_000_000, 4_000_100) == CONTENT[4_000_000:4_000_100]
    assert (scene.asked("/_cdn/"), scene.asked("/resolve/"), scene.asked("/xet-read-token/")) == (0, 1, 1)


def test_what_is_in_memory_until_it_is_complete_is_short_whatever_the_terms(scene: Scene) -> None:
    assert scene.read() == CONTENT
    bodies = [request.sent for request in scene.faults.log if "/xorbs/" in request.path]
    assert len(bodies) == -(-len(CONTENT) // xet._STREAM)
    assert max(bodies) <= xet._STREAM + 2 * CHUNK + 8 * (xet._STREAM // CHUNK + 2)


def test_reads_at_once_share_one_session(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real, begun = hf_xet.XetSession, []

    def begin(config: Any) -> Any:
        begun.append(config)
        return real(config)

    monkeypatch.setattr(hf_xet, "XetSession", begin)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: scene.read(), range(4))) == [CONTENT] * 4
    assert len(begun) == scene.asked("/xet-read-token/") == 1


def test_a_range_is_asked_for_before_the_one_before_it_is_complete(scene: Scene) -> None:
    asked = []

    def ranges() -> Iterator[Range]:
        for span in (Range(0, 10), Range(4_000_000, 4_000_010), Range(5_000_000, 5_000_010)):
            asked.append(span)
            yield span

    assert scene.hub.in_xet(scene.revision, LARGE, len(CONTENT))
    chunks = scene.hub.ranges(scene.revision, LARGE, ranges())
    assert next(chunks) == (0, CONTENT[:10])
    assert len(asked) == xet._AHEAD
    assert list(chunks) == [(start, CONTENT[start : start + 10]) for start in (4_000_000, 5_000_000)]


def test_what_the_storage_has_not_given_of_several_ranges_comes_from_the_cdn(scene: Scene) -> None:
    scene.faults.add(Fault("status", "*/xorbs/*", value=404, after=2))
    ranges = [Range(start, min(start + 1_500_000, len(CONTENT))) for start in range(1000, len(CONTENT), 1_500_000)]
    assert scene.hub.in_xet(scene.revision, LARGE, len(CONTENT))
    position = 1000
    for offset, chunk in scene.hub.ranges(scene.revision, LARGE, ranges):
        assert (offset, chunk) == (position, CONTENT[position : position + len(chunk)])
        position += len(chunk)
    assert position == len(CONTENT)
    assert scene.asked("/_cdn/") > 0
    assert len(scene.said) == 1


def test_a_small_part_of_a_file_takes_one_request_at_the_cdn(scene: Scene) -> None:
    assert scene.read(8, 108) == CONTENT[8:108]
    assert [request.path.split("/")[1] for request in scene.faults.log] == ["me", "_cdn"]


@pytest.mark.parametrize(
    "fault",
    [
        lambda faults: faults.cut("*/xorbs/*", after=500_000, times=2),
        lambda faults: faults.truncate("*/xorbs/*", keep=500_000, times=2),
        lambda faults: faults.status("*/xorbs/*", 500, 503),
        lambda faults: faults.status("*/reconstructions/*", 500, 429),
        lambda faults: faults.status("*/xet-read-token/*", 503, 500),
        lambda faults: faults.status("*/_xet/v2/*", 404, times=None),
        lambda faults: faults.expire("*/xorbs/*", times=2),
        lambda faults: faults.link_lifetime(20, "*/xet-read-token/*"),
    ],
    ids=["cut", "truncate", "xorb", "reconstruction", "token", "v1", "expired", "short-lived tokens"],
)
def test_what_goes_wrong_once_costs_no_byte(scene: Scene, fault: Callable[[Faults], None]) -> None:
    fault(scene.faults)
    assert scene.read() == CONTENT
    assert scene.asked("/_cdn/") == 0
    assert scene.said == []


def test_a_refused_token_is_renewed(scene: Scene) -> None:
    assert scene.read(0, xet.SMALLEST) == CONTENT[: xet.SMALLEST]
    scene.faults.expire("*/reconstructions/*", times=2)
    assert scene.read() == CONTENT
    assert scene.asked("/xet-read-token/") in {2, 3}  # two streams may have been refused at once
    assert scene.asked("/_cdn/") == 0


def test_a_stream_that_ends_early_without_an_error_is_completed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    real, short = xet._read, [1000, 0]

    def ends_early(store: Any, file: Any, span: Range, arrived: Any) -> None:
        real(store, file, Range(span.start, span.start + short.pop()) if short else span, arrived)

    assert scene.read(0, xet.SMALLEST) == CONTENT[: xet.SMALLEST]
    monkeypatch.setattr(xet, "_read", ends_early)
    assert scene.read() == CONTENT
    assert scene.asked("/_cdn/") == 0


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("*/xet-read-token/*", 404, "gave no token .*404"),
        ("*/reconstructions/*", 404, "Xet storage"),
        ("*/reconstructions/*", 401, "Xet storage"),
        ("*/xorbs/*", 404, "Xet storage"),
    ],
)
def test_a_storage_that_gives_nothing_is_left_for_the_cdn_which_is_said_once(
    scene: Scene, path: str, status: int, reason: str
) -> None:
    scene.faults.status(path, status, times=None)
    assert scene.read() == scene.read() == CONTENT
    [line] = scene.said
    assert re.search(f"{LARGE}: .*{reason}.*reading from the Hub's CDN", line)
    assert "Signature" not in line


def test_where_the_cdn_fails_too_the_reason_and_what_to_do_are_told(scene: Scene) -> None:
    scene.faults.status("*/xorbs/*", 404, times=None)
    scene.faults.status("/_cdn/*", 503, times=None)
    with pytest.raises(RemoteError, match=r"503.*6 times.*\n.*run the same command again") as caught:
        scene.read()
    assert caught.value.exit_code == 3
    assert LARGE in str(caught.value)


def test_a_storage_that_sends_a_byte_now_and_then_is_left_for_the_cdn(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xet, "_PIECE_SECONDS", 0.1)
    scene.faults.rate(100_000, "*/xorbs/*")
    assert scene.read() == CONTENT
    assert "sent too little" in scene.said[0]


def test_a_hub_without_a_storage_and_a_user_who_wants_none_are_read_from_the_cdn_in_silence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.faults.no_xet()
    assert scene.read() == CONTENT
    scene.faults.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    assert scene.read() == CONTENT
    assert (scene.asked("xet"), scene.said) == (0, [])


def test_more_than_there_is_is_an_integrity_error_of_the_storage_too(scene: Scene) -> None:
    with pytest.raises(IntegrityError, match=f"has {len(CONTENT)} bytes on the Hub"):
        scene.read(0, len(CONTENT) + 1)


@pytest.mark.parametrize("path", ["*/xorbs/*", "*/reconstructions/*"])
def test_a_stop_ends_the_wait_for_a_piece(scene: Scene, path: str) -> None:
    scene.faults.latency(20, path)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        scene.read(stop=stop)
    assert time.monotonic() - began < 5


def test_a_pool_that_gives_up_ends_the_wait_for_a_piece(scene: Scene) -> None:
    scene.faults.latency(20, "*/xorbs/*")
    began = time.monotonic()

    def fail() -> None:
        with worker_pool(2, "test") as pool:
            pool.submit(scene.read)
            pool.submit(int, "none").result()

    with pytest.raises(ValueError, match="none"):
        fail()
    assert time.monotonic() - began < 5


CHILD = """
import sys
from sagepack.hub.client import Hub
from sagepack.package.revision import Revision
from sagepack.workers import worker_pool
url, repo, commit, path, size = sys.argv[1:]
print("begun", flush=True)
with worker_pool(2, "test") as pool:
    pool.submit(lambda: list(Hub(url).open(Revision(repo, commit), path, 0, int(size)))).result()
"""


def test_an_interrupt_ends_the_program_at_once(scene: Scene, sandbox: Servers) -> None:
    scene.faults.latency(20, "*/xorbs/*")
    arguments = [sandbox.hub_url, REPO, scene.revision.commit, LARGE, str(len(CONTENT))]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        until = time.monotonic() + 30
        while not scene.asked("/reconstructions/"):
            assert time.monotonic() < until
            time.sleep(0.01)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=15)
        assert time.monotonic() - began < 5
    assert process.returncode != 0


def test_a_storage_that_was_never_reached_is_tried_once() -> None:
    with HostileHub(lambda _path: answer(CONTENT)) as elsewhere:
        stored = {"Location": f"{elsewhere.url}/cdn", "X_Xet_Hash": "0" * 64, "X_Linked_Size": str(len(CONTENT))}
        token = {"accessToken": "t", "exp": 1 << 40, "casUrl": "http://127.0.0.1:9"}

        def respond(path: str) -> Iterable[bytes]:
            return answer(token) if "xet-read-token" in path else answer(status=302, **stored)

        with HostileHub(respond) as home:
            said: list[str] = []
            hub = Hub(home.url, backoff=0.001, notify=said.append)
            assert b"".join(hub.open(Revision("a/b", "c" * 40), "w.bin", 0, len(CONTENT))) == CONTENT
    assert len([path for path, _ in home.seen if "xet-read-token" in path]) == 1
    [line] = said
    assert re.search(r"Xet storage (failed|ended .*); reading from the Hub's CDN", line)


@pytest.mark.parametrize(
    "document",
    [
        {"accessToken": "t", "exp": 1 << 40, "casUrl": "http://user@{there}"},
        {"accessToken": "t", "exp": 1 << 40, "casUrl": "ftp://{there}"},
        {"accessToken": "t", "exp": "soon", "casUrl": "http://{there}"},
        {"accessToken": "t\r\nX-Header: 1", "exp": 1 << 40, "casUrl": "http://{there}"},
        {"exp": 1 << 40},
        "login page",
    ],
)
def test_the_token_of_the_hub_is_for_the_hub_alone_whatever_its_storage_claims(document: Any) -> None:
    with HostileHub(lambda _path: answer(CONTENT)) as elsewhere:
        if isinstance(document, dict):
            document = {
                name: value.format(there=elsewhere.url[7:]) if isinstance(value, str) else value
                for name, value in document.items()
            }
        stored = {
            "Location": f"{elsewhere.url}/cdn",
            "X_Xet_Hash": "0" * 64,
            "X_Xet_Refresh_Route": f"{elsewhere.url}/route",
            "X_Linked_Size": str(len(CONTENT)),
        }

        def respond(path: str) -> Iterable[bytes]:
            return answer(document) if "xet-read-token" in path else answer(status=302, **stored)

        with HostileHub(respond) as home:
            said: list[str] = []
            hub = Hub(home.url, "hf_secret", backoff=0.001, notify=said.append)
            assert b"".join(hub.open(Revision("a/b", "c" * 40), "w.bin", 0, len(CONTENT))) == CONTENT
    assert elsewhere.seen == [("/cdn", None)]
    assert len(said) == 1


def test_what_is_streamed_to_s3_comes_out_of_the_storage(
    sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(tmp_path, sandbox, monkeypatch)
    project = cloud.project()
    project.lock()
    sandbox.faults.cut("*/xorbs/*", after=1_000_000, times=3)
    built = project.upload(stream=True)
    assert built.actions[-1].send > 2 * xet.SMALLEST
    paths = [request.path for request in sandbox.faults.log]
    assert any(path.startswith("/_xet/xorbs/") for path in paths)
    assert not [path for path in (tmp_path / "cache").rglob("blobs/*") if path.stat().st_size >= xet.SMALLEST]


MEASURED = """
import sys
from pathlib import Path
from sagepack.hub.client import Hub
from sagepack.hub.download import download
from sagepack.hub.hash_cache import HashCache
from sagepack.hub.lock_files import resolve_files
from sagepack.package.revision import Revision
from sagepack.progress import Silent
url, home, repo, commit = sys.argv[1:]
hub, revision = Hub(url, None, Path(home)), Revision(repo, commit)
files = resolve_files(hub, revision, hub.files(revision))
download(hub, revision, files, hash_cache=HashCache(Path(home) / "known"), progress=Silent())
# Not ru_maxrss: that begins with what the process had that started this one.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) >> 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_size_of_a_file(sandbox: Servers, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with (tmp_path / "model/weights.safetensors").open("wb") as file:
        file.truncate(400 << 20)
    commit = sandbox.hub.repositories.add("me/large", tmp_path / "model")
    sandbox.faults.rate(20e6, "*/xorbs/*")  # so that all requests are under way at once
    arguments = [sandbox.hub_url, str(tmp_path / "home"), "me/large", commit]
    run = subprocess.run([sys.executable, "-c", MEASURED, *arguments], capture_output=True, text=True, check=True)
    assert any("/xorbs/" in request.path for request in sandbox.faults.log)
    # Eight readers hold two streams of 4 MiB each, and hf_xet up to as much again while it puts them together.
    assert int(run.stdout) < 180
