"""Publishing against `aws s3 cp`, boto3's `upload_file` and the SageMaker SDK, over TLS to an S3 that costs nothing (`bucket.py`).

Each run is a fresh process. Ours frames and checks while it sends and needs no archive on disk. The AWS CLI and boto3 send an
archive that is there already, and its making is not counted. What version 2 of the SageMaker SDK does for an edited
`inference.py` is `repack_model`: it downloads the archive, unpacks it, packs it with gzip and sends it. The CLI and the SDK
run in environments of their own in `build/judges/`, which the first run makes. Bytes are those on the wire in both directions,
heads included.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.models import CODE, make_model, notebook_archive
from benchmarks.projects import aws_cli
from benchmarks.timing import Timing, run, side_by_side, table
from tests.helpers.environments import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MIB = 1 << 20
SWEEP = 256 * MIB
LATENCIES = 0, 50, 150  # milliseconds
WORKERS, PARTS = (1, 2, 4, 8, 16), (10, 16, 32)

# Arguments: endpoint, folder of the model, file of its digests, journals, workers, MiB of a part, MB/s of the source.
_OURS = """
import json, sys, threading, time
from pathlib import Path
url, model, digests, journals, workers, part, rate, code = sys.argv[1:]
from sagepack.digest import Digest, hash_file
from sagepack.package.manifest import Manifest, Member
from sagepack.progress import Silent
from sagepack.publish.keys import Package
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.delta.parts import Limits
from sagepack.publish.publisher import publish
from sagepack.publish.upload.sources import HubFiles, LocalFiles
from sagepack.publish.verified import VerifiedObjects
from sagepack.aws.session import Aws, AwsConnection
from sagepack.aws.s3 import S3, S3Uri
root, known = Path(model), json.loads(Path(digests).read_text())
members = [Member(p, s, Digest("sha256", d)) for p, s, d in known if p != "code/inference.py"]
edited = Path(code)
members.append(Member("code/inference.py", edited.stat().st_size, hash_file(edited)))
manifest = Manifest.of(members)
files = {m.digest: edited if m.path == "code/inference.py" else root / m.path for m in manifest.members}
store = S3(Aws(AwsConnection("us-east-1", None, url, "a", "b")).client("s3"))
limits = Limits(sent_size=int(part) << 20)
verified = VerifiedObjects(Path(journals).with_name("verified"))
package = Package(S3Uri("bench", "models"), "svd", manifest.digest)
seen = observe(store, package, manifest, limits=limits, verified=verified)
plan = plan_upload(seen, manifest, limits)
lock, free = threading.Lock(), [time.monotonic()]
def paced(path, offset, length):
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        while length:
            piece = file.read(min(length, 1 << 18))
            length -= len(piece)
            with lock:
                free[0] = max(free[0], time.monotonic() - 0.05) + len(piece) / (float(rate) * 1e6)
                wait = free[0] - time.monotonic()
            time.sleep(max(0, wait))
            yield piece
source = HubFiles(paced, files) if float(rate) else LocalFiles(files)
publish(
    store, plan, [source], Path(journals), provenance={}, progress=Silent(), verified=verified, workers=int(workers)
)
"""
_BOTO3 = """
import sys, boto3
from boto3.s3.transfer import TransferConfig
archive, key = sys.argv[1:]
client = boto3.client("s3")
client.upload_file(archive, "bench", key, Config=TransferConfig(preferred_transfer_client="classic"))
"""
_SDK = """
import sys, sagemaker
from pathlib import Path
from sagemaker.utils import repack_model
code, source, target = sys.argv[1:]
repack_model(Path(code).name, str(Path(code).parent), [], source, target, sagemaker.Session())
"""
SDK = ["sagemaker==2.257.7"]  # the last of version 2, whose version 3 has no repack_model
_HASH = """
import json, sys
from pathlib import Path
from sagepack.digest import hash_file
root = Path(sys.argv[1])
paths = sorted(path for path in root.rglob("*") if path.is_file())
print(json.dumps([[p.relative_to(root).as_posix(), p.stat().st_size, hash_file(p).value] for p in paths]))
"""


@dataclass(frozen=True)
class Server:
    """The bucket, and the models beside it."""

    url: str
    folder: Path

    def ask(self, path: str, method: str = "GET") -> Any:
        """One of the server's own requests."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method=method), context=context) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def ours(
        self, model: Path, code: Path | None = None, workers: int = 8, part: int = 16, rate: float = 0
    ) -> list[str]:
        """The command that publishes a model, its code replaced if that is given."""
        digests = model.with_suffix(".json")
        if not digests.exists():
            digests.write_bytes(subprocess.check_output([sys.executable, "-c", _HASH, str(model)]))
        options = [str(workers), str(part), str(rate), str(code or model / CODE)]
        return [
            sys.executable,
            "-c",
            _OURS,
            self.url,
            str(model),
            str(digests),
            str(self.folder / "journals"),
            *options,
        ]


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """The server, in a process of its own; commands that are started meanwhile find it and trust it."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bucket", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = f"https://localhost:{int(process.stdout.readline())}"
    settings = folder / "config"
    settings.write_text("[default]\ns3 =\n  addressing_style = path\n")
    given = {
        "AWS_CA_BUNDLE": str(folder / "ca.pem"),
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(settings),
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield Server(url, folder)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        process.communicate("")


class Wire:
    """Counts bytes on the wire, in both directions.

    Attributes:
        counted: of the last run of each command.
    """

    def __init__(self, server: Server) -> None:
        self.counted: dict[str, int] = {}
        self._server, self._running = server, ""

    def turn(self, name: str) -> None:
        """Before a command runs: what came since the last turn was of the command before it."""
        self.counted[self._running] = sum(self._server.ask("/stats"))
        self._running = name


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """First publish, an edit of the code, latency, parts and workers, streaming: tables in Markdown."""
    with serving(folder / "publish") as server:
        texts = [_publishing(server, size, runs) for size in sizes]
        texts += [_far_away(server, runs), _sweep(server, runs), _streaming(server, runs)]
        return "\n\n".join(["## Publishing", *texts]) + "\n"


def _fresh(server: Server, seed: int, size: int) -> Path:
    """A model that the bucket has not seen; the one before it is removed."""
    model = server.folder / f"model-{seed}-{size}"
    if not model.exists():
        model.mkdir()
        make_model(model, size, seed)
    return model


def _archive(server: Server, model: Path) -> Path:
    """The files of a model in one file, as the others send it."""
    archive = server.folder / "model.tar.gz"
    with archive.open("wb") as target:
        for path in sorted(path for path in model.rglob("*") if path.is_file()):
            with path.open("rb") as source:
                shutil.copyfileobj(source, target, MIB)
    return archive


def _others(archive: Path) -> dict[str, Sequence[str]]:
    """The commands of others that send an archive."""
    aws = [aws_cli(), "s3", "cp", "--only-show-errors", str(archive), "s3://bench/cli"]
    return {"boto3 upload_file": [sys.executable, "-c", _BOTO3, str(archive), "archive"], "aws s3 cp": aws}


def _far_away(server: Server, runs: int) -> str:
    """An edit of one line over a link on which each answer takes its time: ours, the archive as others send it, repack_model."""
    model, code = _fresh(server, 1, SWEEP), server.folder / "code" / "inference.py"
    code.parent.mkdir()
    archive, turn = server.folder / "objects" / "bench" / "model.tar.gz", iter(range(1_000_000))
    archive.parent.mkdir(parents=True)
    notebook_archive(model, archive)
    repack = [str(environment("sagemaker", SDK) / "python"), "-c", _SDK, str(code)]
    uris = ["s3://bench/model.tar.gz", "s3://bench/sdk/model.tar.gz"]
    others = {**_others(archive), "SageMaker SDK, repack_model": [*repack, *uris]}
    wire = Wire(server)

    def edit(name: str) -> None:
        code.write_text(f"# far {next(turn)}\n")
        wire.turn(name)

    code.write_text("#\n")
    run(server.ours(model, code))  # the release that is edited
    found = {}
    for latency in LATENCIES:
        server.ask(f"/latency/{latency}", "PUT")
        found[latency] = side_by_side({"edit": server.ours(model, code), **others}, runs, edit)
    wire.turn("")
    server.ask("/latency/0", "PUT")
    archive.unlink()
    moved = {name: f"{count / MIB:.3f}" for name, count in wire.counted.items()}
    return f"### Edit of 256 MiB, time to each answer\n\n{by_latency(found, {'wire MiB': moved})}"


def by_latency(found: dict[int, dict[str, Timing]], columns: dict[str, dict[str, str]]) -> str:
    """Seconds of each command by the milliseconds to each answer, and how many times as long as the first it takes.

    Args:
        found: what was measured.
        columns: further ones, by their heads.
    """
    heads = [text for latency in found for text in (f"{latency} ms, s", "ratio")]
    rows = [["", *heads, *columns]]
    for name in found[LATENCIES[0]]:
        row = [name]
        for timings in found.values():
            ours = next(iter(timings.values())).median
            row += [f"{timings[name].median:.2f}", f"{timings[name].median / ours:.1f}"]
        rows.append([*row, *(column[name] for column in columns.values())])
    return table(rows)


def _publishing(server: Server, size: int, runs: int) -> str:
    """First publish, and an edit, of one size."""
    model = _fresh(server, 1, size)
    archive = _archive(server, model)
    turn = iter(range(1_000_000))
    wire = Wire(server)

    def edit(name: str) -> None:
        wire.turn(name)
        code.write_text(f"# {next(turn)}\n" + (model / CODE).read_text())
        if name == "first publish":
            server.ask("/forget", "PUT")

    code = server.folder / "inference.py"
    code.write_text("#\n")
    commands: dict[str, Sequence[str]] = {"first publish": server.ours(model, code), "edit": server.ours(model, code)}
    commands |= _others(archive)
    found = side_by_side(commands, runs, edit)
    wire.turn("")
    archive.unlink()
    return _table(f"{size // MIB} MiB", found, "first publish", wire.counted)


def _sweep(server: Server, runs: int) -> str:
    model, code = _fresh(server, 1, SWEEP), server.folder / "inference.py"
    turn = iter(range(1_000_000))

    def forget(_name: str) -> None:
        server.ask("/forget", "PUT")
        code.write_text(f"# sweep {next(turn)}\n")

    code.write_text("#\n")
    commands: dict[str, Sequence[str]] = {
        f"{workers} workers, {part} MiB": server.ours(model, code, workers, part)
        for workers, part in [*((workers, 16) for workers in WORKERS), *((8, part) for part in PARTS if part != 16)]
    }
    return _table("256 MiB, workers and parts", side_by_side(commands, runs, forget), "8 workers, 16 MiB", {})


def _streaming(server: Server, runs: int, rate: int = 60) -> str:
    """From a source of limited rate to a store of limited rate: at once, and one after the other."""
    model, code = _fresh(server, 1, SWEEP), server.folder / "inference.py"
    code.write_text("#\n")
    fetch = f"import time; time.sleep({sum(p.stat().st_size for p in model.rglob('*') if p.is_file()) / (rate * 1e6)})"
    turn = iter(range(1_000_000))

    def forget(_name: str) -> None:
        server.ask("/forget", "PUT")
        code.write_text(f"# stream {next(turn)}\n")

    commands: dict[str, Sequence[str]] = {
        "download alone (reckoned)": [sys.executable, "-c", fetch],
        "upload alone": server.ours(model, code),
        "streaming": server.ours(model, code, rate=rate),
    }
    server.ask(f"/rate/{rate * 1_000_000}", "PUT")
    found = side_by_side(commands, runs, forget)
    server.ask("/rate/0", "PUT")
    return _table(f"256 MiB, both sides at {rate} MB/s", found, "upload alone", {})


def _table(title: str, found: dict[str, Timing], base: str, wire: dict[str, int]) -> str:
    rows = [["", "seconds", f"of {base}", "cpu s", "peak MiB", "wire MiB"]]
    for name, timing in found.items():
        rows.append(
            [
                name,
                f"{timing.median:.2f}",
                f"{timing.median / found[base].median:.2f}",
                f"{sorted(timing.cpu)[len(timing.cpu) // 2]:.2f}",
                f"{timing.memory / MIB:.0f}",
                f"{wire[name] / MIB:.3f}" if name in wire else "",
            ]
        )
    return f"### {title}\n\n{table(rows)}"
