"""Unpacking, which an endpoint does whenever an instance starts or wakes: our archive beside the notebook's.

Both hold the same files. GNU `tar xzf` and Python's tarfile unpack them in turns; which of the two SageMaker's own program
resembles is not documented. The time in which an instance downloads the archive is not counted.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from benchmarks.models import make_model, notebook_archive
from benchmarks.timing import run, side_by_side, table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MIB = 1 << 20
LARGEST = 1 << 30  # packing as the notebook does takes minutes beyond
_TARFILE = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2], filter="data")
"""


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:
    """The table of all sizes."""
    tables = [_measure(folder / "unpack", size, runs) for size in sizes if size <= LARGEST]
    return "\n\n".join(["## Unpacking at the endpoint", *tables]) + "\n"


def _measure(folder: Path, size: int, runs: int) -> str:
    model, out = folder / "model", folder / "out"
    make_model(model, size)
    archives = {"ours": folder / "model.tar.gz", "notebook": folder / "notebook.tar.gz"}
    run([sys.executable, "-m", "benchmarks.archive", "full", str(model), str(folder)])
    notebook_archive(model, archives["notebook"])
    programs = {
        "GNU tar xzf": ["tar", "xzf", "{0}", "-C", "{1}"],
        "Python tarfile": [sys.executable, "-c", _TARFILE, "{0}", "{1}"],
    }
    commands = {
        f"{program}, {name}": [word.format(archive, out) for word in words]
        for program, words in programs.items()
        for name, archive in archives.items()
    }

    def empty(_name: str) -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        os.sync()

    found = side_by_side(commands, runs, empty)
    rows = [["", "archive MiB", "seconds", "of ours", "cpu s", "of ours"]]
    for program in programs:
        ours = found[f"{program}, ours"]
        for name, archive in archives.items():
            timing = found[f"{program}, {name}"]
            cells = [
                f"{archive.stat().st_size / MIB:.0f}",
                f"{timing.median:.2f}",
                f"{timing.median / ours.median:.1f}",
            ]
            rows.append(
                [f"{program}, {name}", *cells, f"{min(timing.cpu):.2f}", f"{min(timing.cpu) / min(ours.cpu):.1f}"]
            )
    shutil.rmtree(folder)
    return f"### {size // MIB} MiB\n\n{table(rows)}"
