"""A run with nothing to do beside `invoke --list`, which only reads tasks.py and prints."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
TURNS = 10  # of each in a run: both take tenths of a second, so single readings scatter


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the model's size has no part in it
    """Package the sandbox's miniature once, then time `invoke package` and `invoke --list` in turns."""
    project = folder / "noop"
    project.mkdir()
    for name in ("config", "inference_code", "schemas"):
        shutil.copytree(REPOSITORY / name, project / name)
    shutil.copyfile(REPOSITORY / "tasks.py", project / "tasks.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def run(*words: str) -> float:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "invoke", *words]
        subprocess.run(command, cwd=project, env=environment, capture_output=True, check=True)
        return time.perf_counter() - begun

    run("package")
    try:
        times = [(run("package"), run("--list")) for _ in range(runs * TURNS)]
    finally:
        run("sandbox.stop")
    package, listing = (statistics.median(column) for column in zip(*times, strict=True))
    return (
        "### Nothing to do\n\n"
        "| command | seconds | ratio |\n|---|---|---|\n"
        f"| `invoke package`, nothing to do | {package:.3f} | {package / listing:.2f} |\n"
        f"| `invoke --list` | {listing:.3f} | 1.00 |\n"
    )
