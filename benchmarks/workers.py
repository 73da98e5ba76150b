"""Publishing in 1, 2, 4 and 8 processes where the network is the limit: a rate for each connection, to the Hub and to S3.

The machine is too small to show it with bytes as fast as they come. So the S3 (`bucket.py`) takes each connection's bytes at a
rate, and the reader that stands for the Hub gives them at the same rate. Everything else is the program's own: the processes,
the units, their texts, hashes, records and the completion. What the start of the processes takes is told beside it. And how much
memory a process takes with parts of 75 MiB, as an
archive of 700 GB has them.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bucket import BURST
from benchmarks.publish import serving
from benchmarks.timing import table
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import Aws, AwsConnection
from sagepack.digest import Digest
from sagepack.engine.clients import Connections
from sagepack.engine.unit_pool import processes
from sagepack.engine.worker_check import Demand
from sagepack.package.archive.framing import HEADER, STRIDE
from sagepack.package.manifest import Manifest, Member
from sagepack.progress import Silent
from sagepack.publish.delta.parts import Limits
from sagepack.publish.keys import Package
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import publish
from sagepack.publish.upload.context import UnitWorkers
from sagepack.publish.upload.sources import HubFiles, LocalFiles
from sagepack.publish.upload.unit_text import Answer, Services, UnitTask
from sagepack.publish.upload.unit_work import make_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIB = 1 << 20
WORKERS = 1, 2, 4, 8
FILES, FILE_SIZE, PART = 24, 16 * MIB, 10 * MIB
RATE = 1_500_000  # bytes a second of each connection: so few that the processors of a small machine do not matter
LARGE_PART = 75 * MIB
_PIECE = 1 << 18


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - sizes are above, and a run takes minutes
    """Seconds with so many workers, how many times as fast that is, and the memory of a worker."""
    with serving(folder / "workers") as server:
        server.ask(f"/connection/{RATE}", "PUT")
        taken = {}
        for count in WORKERS:
            server.ask("/forget", "PUT")
            taken[count] = _run(server.url, count, FILES, FILE_SIZE, PART, RATE)
        server.ask("/connection/0", "PUT")
        *_, memory = _run(server.url, 1, 2, 8 * LARGE_PART, LARGE_PART, 0)
    alone = taken[1][0]
    rows = [["workers", "seconds", "times as fast", "efficiency", "seconds to start them", "peak MiB of a worker"]]
    for count, (seconds, start, peak) in taken.items():
        times = alone / seconds
        figures = [f"{seconds:.1f}", f"{times:.2f}", f"{times / count:.0%}", f"{start:.1f}", f"{peak / MIB:.0f}"]
        rows.append([f"{count}", *figures])
    moved = f"{FILES} files of {FILE_SIZE // MIB} MiB, {RATE / 1_000_000:g} MB/s a connection"
    note = f"With parts of {LARGE_PART // MIB} MiB a worker takes {memory / MIB:.0f} MiB at its peak."
    return f"## Workers\n\n### {moved}\n\n{table(rows)}\n\n{note}\n"


def _run(url: str, count: int, files: int, size: int, part: int, rate: int) -> tuple[float, float, int]:
    """Publish in a process of its own, which starts the workers.

    Returns:
        Seconds of publishing, and of the start before; bytes at the peak of the largest worker.
    """
    numbers = [str(number) for number in (count, files, size, part, rate)]
    printed = subprocess.check_output([sys.executable, "-m", "benchmarks.workers", url, *numbers])
    seconds, start, memory = json.loads(printed)
    return seconds, start, memory


@cache
def _block() -> bytes:
    """What each file repeats, from a place of its own on: a MiB, twice."""
    return hashlib.shake_128(b"weights").digest(MIB) * 2


def _paced(path: str, offset: int, length: int) -> Iterator[bytes]:
    """A range of a file, as one connection of the Hub gives it; the path says how fast."""
    number, rate = map(int, path.split("-"))
    free_at = time.monotonic()
    while length:
        start = (offset + number) % MIB
        piece = _block()[start : start + min(length, _PIECE)]
        offset, length = offset + len(piece), length - len(piece)
        if rate:
            free_at = max(free_at, time.monotonic() - BURST) + len(piece) / rate
            time.sleep(max(0.0, free_at - time.monotonic()))
        yield piece


def unit(text: str) -> str:
    """What a worker runs: `sagepack.engine.unit.unit` with the paced reader in place of the Hub."""
    task = UnitTask.parse(text, "worker")
    url = task.services.repo
    source = HubFiles(_paced, {member.value.digest: member.hub for member in task.members if member.hub})
    return Answer(record=make_unit(task, _store(url), [source])).text()


@cache
def _store(url: str) -> S3:
    return S3(Aws(AwsConnection("us-east-1", None, url, "a", "b")).client("s3"))


def _ready(url: str) -> None:
    """Import and connect, and keep the process busy until the others have begun."""
    _store(url)
    time.sleep(1)


def _member(number: int, size: int) -> Member:
    digest = hashlib.sha256()
    for piece in _paced(f"{number}-0", 0, size):
        digest.update(piece)
    return Member(f"{number:03}.bin", size, Digest("sha256", digest.hexdigest()))


def main(url: str, *numbers: str) -> None:
    """Publish a model that nobody has, and print seconds and the peak of the largest worker."""
    count, files, size, part, rate = map(int, numbers)
    assert part > HEADER + STRIDE
    model = {member.digest: member for member in (_member(number, size) for number in range(files))}
    code = f"# {time.time()}\n".encode()
    members = [*model.values(), Member("code/inference.py", len(code), Digest.sha256(code))]
    manifest, limits = Manifest.of(members), Limits(sent_size=part, unit_size=size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inference.py").write_bytes(code)
        paths = {digest: f"{int(member.path[:3])}-{rate}" for digest, member in model.items()}
        pool = processes(count, Connections(AwsConnection("us-east-1")))
        services = Services(region="us-east-1", bucket="bench", repo=url)
        local = LocalFiles({Digest.sha256(code): folder / "inference.py"})
        begun = time.perf_counter()
        with pool.executor(Demand(services, "s3://bench/workers", None, part)) as executor:
            list(executor.map(_ready, [url] * count))
            began = time.perf_counter()
            workers = UnitWorkers(lambda: nullcontext(executor), unit, services, paths, {}, count)
            store, package = _store(url), Package(S3Uri("bench", "workers"), "svd", manifest.digest)
            plan = plan_upload(observe(store, package, manifest, limits=limits), manifest, limits, workers.readable)
            publish(store, plan, [local], folder / "journals", provenance=b"{}", progress=Silent(), units=workers)
            seconds = time.perf_counter() - began
    print(json.dumps([seconds, began - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024]))


if __name__ == "__main__":
    main(*sys.argv[1:])
