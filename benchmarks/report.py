"""Writing the page of `sagepack report`, for packages of many files and fleets of many specs: seconds, and the size of the page.

The first page of a process also starts what draws its pictures. `tests/slow/test_report_page.py` prints how long a browser works to show them.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.timing import table
from sagepack.api.report import page
from tests.helpers.reports import BEGUN, facts, fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FILES, SPECS = (20, 2000), (10, 200)


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - nothing is written
    """Seconds and KiB of each page."""
    rows = [["", "seconds", "KiB"]]
    begun = time.perf_counter()
    page.spec_page(facts(), BEGUN)
    rows.append(["the first page of a process", f"{time.perf_counter() - begun:.2f}", ""])
    rows += [
        [f"a spec, {count:,} files", *_timed(partial(page.spec_page, facts(count), BEGUN), runs)] for count in FILES
    ]
    rows += [[f"{count} specs", *_timed(partial(page.fleet_page, fleet(count), BEGUN), runs)] for count in SPECS]
    return f"### Report\n\n{table(rows)}\n"


def _timed(write: Callable[[], str], runs: int) -> list[str]:
    seconds, text = [], ""
    for _ in range(runs):
        begun = time.perf_counter()
        text = write()
        seconds.append(time.perf_counter() - begun)
    return [f"{statistics.median(seconds):.2f}", f"{len(text.encode()) / 1024:.0f}"]
