"""The tar step against what people do today.

(a) the notebook's `tarfile.open(..., "w:gz")`, measured on a model of at most 64 MiB and scaled by size, since it
    takes minutes otherwise and is one thread at a constant rate; (b) GNU `tar cf` without gzip, then `sha256sum`;
(c) `tar | pigz` if it is installed, scaled like (a); (d) `cp -r`. Ours: with digests of all files and of the archive;
with digests of the files trusted; trusted and before the archive's own digest; and after an edit of one line of code.
Each run is a process. Those in Python tell their own seconds, after their imports: the step runs in a process that is
there already.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.models import CODE, make_model, notebook_archive
from benchmarks.timing import Timing, side_by_side, table
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.output import preallocate, staging
from sagepack.package.archive.pipeline import Pipeline
from sagepack.package.archive.source import Previous, Source, Written, stat_sources
from sagepack.package.archive.writer import default_threads, write
from sagepack.package.manifest import archive_order

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = 64 << 20


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """The table of all sizes."""
    rows = [["", *(f"{size / (1 << 20):,.0f} MiB" for size in sizes)]]
    columns = [_measure(folder / str(size), size, runs) for size in sizes]
    rows += [[name, *(column[name] for column in columns)] for name in columns[0]]
    return f"### Archive\n\n{table(rows)}\n"


def _measure(folder: Path, size: int, runs: int) -> dict[str, str]:
    model, out = folder / "model", folder / "out"
    make_model(model, size)
    out.mkdir()
    slow = _scaled(folder, size, runs)
    timings = side_by_side(_commands(model, out), runs, lambda name: _prepare(name, model, out))
    shutil.rmtree(folder)
    return _cells(timings, slow)


def _commands(model: Path, out: Path) -> dict[str, Sequence[str]]:
    ours = [sys.executable, "-m", "benchmarks.archive"]
    arguments = [str(model), str(out)]
    both = 'tar -cf "$1/model.tar" -C "$0" . && sha256sum "$1/model.tar" > "$1/model.tar.sha256"'
    return {
        "tar+sha256sum": ["sh", "-c", both, *arguments],
        "cp": ["cp", "-r", str(model), str(out / "copy")],
        "ours": [*ours, "full", *arguments],
        "trusted": [*ours, "trusted", *arguments],
        "unhashed": [*ours, "unhashed", *arguments],
        "edit": [*ours, "edit", *arguments],
    }


def _prepare(name: str, model: Path, out: Path) -> None:
    """Before each run: no output of another; for the edit, a full build and then one more line of code."""
    memory = (out / "record.json").read_text() if (out / "record.json").exists() else None
    shutil.rmtree(out)
    out.mkdir()
    if memory:
        (out / "record.json").write_text(memory)
    if name in {"trusted", "unhashed", "edit"}:
        _work("full", model, out)
    if name == "edit":
        with (model / CODE).open("a") as file:
            file.write("# one more line\n")
    elif name != "ours":
        (out / "model.tar.gz").unlink(missing_ok=True)
    os.sync()  # what the last run left to write back is not this run's


def _scaled(folder: Path, size: int, runs: int) -> dict[str, float]:
    """Seconds of the two compressors for `size` bytes, from a sample."""
    model = folder / "sample"
    make_model(model, SAMPLE)
    commands: dict[str, Sequence[str]] = {
        "notebook": [sys.executable, "-m", "benchmarks.archive", "notebook", str(model), str(folder)]
    }
    if shutil.which("pigz"):
        commands["pigz"] = ["sh", "-c", 'tar -c -C "$0" . | pigz > "$1/model.tar.gz"', str(model), str(folder)]
    return {name: timing.median * size / SAMPLE for name, timing in side_by_side(commands, runs).items()}


def _cells(timings: dict[str, Timing], slow: dict[str, float]) -> dict[str, str]:
    def time(name: str) -> float:
        return timings[name].median

    def seconds(name: str) -> str:
        return f"{time(name):.2f} s"

    def ratio(name: str, other: str) -> str:
        return f"{time(name) / time(other):.2f}"

    cells = {
        "(a) notebook, tarfile w:gz (scaled)": f"{slow['notebook']:.0f} s",
        "(b) tar cf, then sha256sum": seconds("tar+sha256sum"),
        "(c) tar, pigz (scaled)": f"{slow['pigz']:.0f} s" if "pigz" in slow else "not installed",
        "(d) cp -r": seconds("cp"),
        "ours, all digests": seconds("ours"),
        "ours, digests of files trusted": seconds("trusted"),
        "ours, trusted, archive not hashed": seconds("unhashed"),
        "ours, code edit": seconds("edit"),
        "all digests / (b), at most 0.3": ratio("ours", "tar+sha256sum"),
        "(a) / all digests, at least 40": f"{slow['notebook'] / time('ours'):.0f}",
        "trusted, not hashed / (d), at most 1.5": ratio("unhashed", "cp"),
        "code edit / all digests, at most 0.1": ratio("edit", "ours"),
        "peak memory, at most 256 MiB": f"{timings['ours'].memory / (1 << 20):.0f} MiB",
        "slowest run / fastest, worst of all": f"{max(timing.spread for timing in timings.values()):.1f}",
    }
    return cells | {
        f"processor seconds, {name}": f"{min(timings[name].cpu):.2f}" for name in ("tar+sha256sum", "cp", "ours")
    }


def _work(kind: str, model: Path, out: Path) -> None:
    """What a command of ours does: a process of its own, as `invoke` would be."""
    if kind == "notebook":
        notebook_archive(model, out / "model.tar.gz")
        return
    target, memory = out / "model.tar.gz", out / "record.json"
    before = Written.from_json(json.loads(memory.read_text())) if memory.exists() and kind != "full" else None
    found = _sources(model, before)
    if kind == "unhashed":
        layout = Layout.of(found)
        with staging(target) as staged:
            preallocate(staged.descriptor, layout.size)
            pipeline = Pipeline(layout, found, stat_sources(found), output=staged.descriptor, hasher=None)
            pipeline.run(0, default_threads(), lambda _count: None)
            staged.publish()
        return
    written = write(found, target, previous=Previous(target, before) if before and kind == "edit" else None)
    memory.write_text(json.dumps(written.to_json()))


def _sources(model: Path, trusted: Written | None) -> list[Source]:
    known = {content.path: content for content in trusted.contents} if trusted else {}
    found = []
    for file in model.rglob("*"):
        if file.is_file():
            path, size = file.relative_to(model).as_posix(), file.stat().st_size
            sure = path in known and path != CODE and known[path].size == size
            memory = (known[path].digest, known[path].crc32) if sure else (None, None)
            found.append(Source(path, size, False, file, *memory))
    return sorted(found, key=lambda source: archive_order(source.path))


if __name__ == "__main__":
    begun = clock.perf_counter()
    _work(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    print(f"seconds {clock.perf_counter() - begun}")
