"""Downloads against `snapshot_download` of the real client, which is `hf download`, from the sandbox's Hub in a process of its own.

From its Xet storage, and from its CDN, which both take with `HF_HUB_DISABLE_XET=1`.

Each download is a fresh process with an empty cache. Ours hashes every byte against the lock; the client checks sizes
only, so its column `hashed` adds the sha256 of what it fetched. A ratio under 1 is in our favour.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from benchmarks.models import make_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REPO = "bench/model"
MIB, LARGEST = 1 << 20, 1 << 30
CONNECTIONS = 8

_SERVER = """
import sys, time
from pathlib import Path
from sagepack.sandbox.hub.server import HubServer
hub = HubServer()
commit = hub.repositories.add(sys.argv[1], Path(sys.argv[2]))
hub.start()
print(hub.url, commit, hub.credentials.control_token, flush=True)
sys.stdin.read()
"""
_OURS = """
import sys, time, json, resource
from pathlib import Path
url, repo, commit, home, connections = sys.argv[1:]
from sagepack.hub.download import download
from sagepack.hub.lock_files import resolve_files
from sagepack.hub.hash_cache import HashCache
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.hub.client import Hub
hub = Hub(url, "hf_sandbox_no_access", Path(home))
revision = Revision(repo, commit)
files = resolve_files(hub, revision, hub.files(revision))
began = time.perf_counter()
download(hub, revision, files, hash_cache=HashCache(Path(home) / "trust"), progress=Silent(), connections=int(connections))
"""
_CLIENT = """
import sys, time, json, resource
from pathlib import Path
url, repo, commit, home, connections = sys.argv[1:]
import huggingface_hub.utils
huggingface_hub.utils.disable_progress_bars()
huggingface_hub.utils.logging.set_verbosity_error()
api = huggingface_hub.HfApi(endpoint=url, token="hf_sandbox_no_access")
list(api.list_repo_tree(repo, recursive=True, revision=commit))
began = time.perf_counter()
folder = huggingface_hub.snapshot_download(
    repo, revision=commit, cache_dir=home, endpoint=url, token="hf_sandbox_no_access", max_workers=int(connections))
"""
_HASHED = (
    _CLIENT
    + """
from concurrent.futures import ThreadPoolExecutor
from sagepack.digest import hash_file
with ThreadPoolExecutor() as pool:
    list(pool.map(hash_file, [file for file in Path(folder).rglob("*") if file.is_file()]))
"""
)
_TELL = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""
WAYS = {"ours": _OURS, "client": _CLIENT, "hashed": _HASHED}
# Where the bytes of large files come from: the paths of the requests that get them.
WIRES = {"Xet storage": "/_xet/xorbs/*", "CDN": "/_cdn/*"}


@dataclass(frozen=True)
class Scene:
    """A network: faults of the sandbox's Hub as its control route takes them."""

    name: str
    faults: tuple[dict[str, Any], ...] = field(default=())


def scenes(path: str) -> list[Scene]:
    """The networks that are measured, for requests of bytes with this path."""
    delay = {"kind": "latency", "value": 0.05}
    return [
        Scene("idle"),
        Scene("50 ms to every answer", (delay,)),
        Scene("50 ms, 40 MB/s a connection", (delay, {"kind": "rate", "value": 40e6, "path": path})),
        Scene("20 MB/s a connection", ({"kind": "rate", "value": 20e6, "path": path},)),
        Scene("12 cuts, each after 2 MiB", ({"kind": "cut", "value": 2 * MIB, "path": path, "times": 12},)),
        Scene("one answer is 503", ({"kind": "status", "value": 503, "path": path, "times": 1},)),
    ]


@dataclass(frozen=True)
class Server:
    """The Hub in its process, and from where of it the large files are taken."""

    url: str
    commit: str
    secret: str = field(repr=False)
    wire: str = "Xet storage"

    def control(self, method: str, route: str, document: Any = None) -> Any:
        """Ask a control route."""
        request = urllib.request.Request(f"{self.url}/_sandbox/{route}", method=method)
        request.add_header("X-Sandbox-Token", self.secret)
        request.add_header("Content-Type", "application/json")
        data = None if document is None else json.dumps(document).encode()
        with urllib.request.urlopen(request, data) as answer:
            return json.load(answer)

    def set(self, scene: Scene) -> None:
        """Switch to a network."""
        self.control("DELETE", "faults")
        self.control("POST", "faults", list(scene.faults))


@contextmanager
def serving(model: Path) -> Iterator[Server]:
    """The sandbox's Hub over one model, in a process of its own."""
    command = [sys.executable, "-c", _SERVER, REPO, str(model)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Server(*process.stdout.readline().split())
        process.kill()


@dataclass(frozen=True)
class Result:
    """One download: wall and processor seconds, peak memory in MiB; None if it failed."""

    seconds: float
    processor: float
    memory: float


def start(server: Server, way: str, home: Path) -> subprocess.Popen[str]:
    """Begin a download in a process of its own."""
    command = [sys.executable, "-c", WAYS[way] + _TELL, server.url, REPO, server.commit, str(home), str(CONNECTIONS)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_HUB_DISABLE_XET": "0" if server.wire == "Xet storage" else "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def fetch(server: Server, way: str, scene: Scene, work: Path) -> Result | None:
    """Download everything into an empty cache."""
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    server.set(scene)
    with start(server, way, home) as process:
        out, _ = process.communicate()
    if process.returncode:
        return None
    seconds, processor, memory = json.loads(out)
    return Result(seconds, processor, memory / 1024)


def killed(server: Server, way: str, size: int, work: Path) -> tuple[float, float]:
    """Kill a download about half way, run it again: bytes fetched in all, as a multiple of the model; seconds of the rerun."""
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    server.set(Scene("slow", ({"kind": "rate", "value": 40e6, "path": WIRES[server.wire]},)))
    with start(server, way, home) as process:
        while (
            process.poll() is None
            and sum(file.stat().st_blocks * 512 for file in home.rglob("*") if file.is_file()) < size / 2
        ):
            time.sleep(0.005)
        process.kill()
    time.sleep(0.5)
    server.control("DELETE", "faults")
    began = time.perf_counter()
    with start(server, way, home) as process:
        process.communicate()
    rerun = time.perf_counter() - began
    again = sum(request["sent"] for request in server.control("GET", "log"))
    return again / size, rerun


def line(*cells: str) -> str:
    """One line of the table."""
    return "| " + " | ".join(cells) + " |"


def cells(results: dict[str, list[Result | None]]) -> list[str]:
    """The cells of one network: medians, and ratios of ours to the client's."""

    def middle(way: str, what: str) -> float | None:
        values = [getattr(result, what) for result in results[way] if result]
        return statistics.median(values) if len(values) == len(results[way]) else None

    ours = middle("ours", "seconds")
    texts = []
    for way in WAYS:
        seconds = middle(way, "seconds")
        ratio = f" (x {ours / seconds:.2f})" if ours and seconds and way != "ours" else ""
        texts.append(f"{seconds:.2f} s{ratio}" if seconds else "fails")
    for what, form in (("processor", "{:.1f} s"), ("memory", "{:.0f} MiB")):
        values = [middle(way, what) for way in ("ours", "client")]
        texts.append(" / ".join(form.format(value) if value else "-" for value in values))
    return texts


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """Tables of downloads of one model: the largest of `sizes`, at most 1 GiB, because the slow networks take a while."""
    size, work = min(max(sizes), LARGEST), folder / "download"
    make_model(work / "model", size)
    with serving(work / "model") as server:
        tables = [table(replace(server, wire=wire), size, work, runs) for wire in WIRES]
    shutil.rmtree(work)
    return "\n".join(tables)


def table(server: Server, size: int, work: Path, runs: int) -> str:
    """Table of downloads from one place."""
    title = f"## Download of {size >> 20} MiB from the {server.wire}, {CONNECTIONS} connections (seconds; x is ours divided by it)"
    lines = [title, "", line("network", "ours", "client", "client, then hashed", "processor", "memory (ours / client)")]
    lines.append(line(*["---"] * 6))
    for scene in scenes(WIRES[server.wire]):
        turns = [{way: fetch(server, way, scene, work) for way in WAYS} for _ in range(runs)]
        lines.append(line(scene.name, *cells({way: [turn[way] for turn in turns] for way in WAYS})))
    lines.append("")
    for way in ("ours", "client"):
        again, seconds = killed(server, way, size, work)
        lines.append(f"Killed half way and run again, {way}: {again:.2f} of the model fetched again, {seconds:.2f} s.")
    return "\n".join([*lines, ""])
