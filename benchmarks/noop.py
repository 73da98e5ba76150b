"""A run with nothing to do beside `invoke --list`, which only reads tasks.py and prints.

tasks.py imports what a run with nothing to do needs, so its `--list` pays for that too; the one of an empty tasks.py shows
what invoke itself takes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from benchmarks.projects import REPOSITORY, Project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TURNS = 10  # of each in a run: both take tenths of a second, so single readings scatter


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the model's size has no part in it
    """Package the sandbox's miniature once, then time `invoke package` and `invoke --list` in turns."""
    project = Project.make(folder / "noop").folder
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    empty = folder / "empty"
    empty.mkdir()
    (empty / "tasks.py").write_text("from invoke import task\n\n\n@task\ndef nothing(context):\n    pass\n")

    def run(*words: str, where: Path = project) -> float:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "invoke", *words]
        subprocess.run(command, cwd=where, env=environment, capture_output=True, check=True)
        return time.perf_counter() - begun

    run("package")
    try:
        times = [(run("package"), run("--list"), run("--list", where=empty)) for _ in range(runs * TURNS)]
    finally:
        run("sandbox.stop")
    package, listing, bare = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        "### Nothing to do\n\n"
        "| command | seconds | ratio |\n|---|---|---|\n"
        f"| `invoke package`, nothing to do | {package:.3f} | {package / listing:.2f} |\n"
        f"| `invoke --list` | {listing:.3f} | 1.00 |\n"
        f"| `invoke --list`, empty tasks.py | {bare:.3f} | {bare / listing:.2f} |\n"
    )
