"""Running things next to each other: in a process of their own, several times, medians, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Timing:
    """What several runs of one thing took.

    Attributes:
        seconds: of each run, wall clock.
        cpu: processor seconds of each run, user and system, with all threads and children.
        memory: largest peak of resident memory of one process, in bytes.
    """

    seconds: tuple[float, ...]
    cpu: tuple[float, ...]
    memory: int

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The slowest run over the fastest: how much the machine was disturbed."""
        return max(self.seconds) / min(self.seconds)


def run(command: Sequence[str]) -> tuple[float, float, int]:
    """Run a command to its end; seconds (its own, if it prints `seconds N`), processor seconds, peak memory in bytes.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(list(command), stdout=subprocess.PIPE, stderr=messages, text=True)
        printed = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)  # with its usage, which `wait` does not tell
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            messages.seek(0)
            raise RuntimeError(f"exit {process.returncode} of {' '.join(command)[:500]}\n{messages.read()[-2000:]}")
    if printed.startswith("seconds "):
        seconds = float(printed.split()[1])
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def side_by_side(
    commands: Mapping[str, Sequence[str]], runs: int, before: Callable[[str], None] = lambda _name: None
) -> dict[str, Timing]:
    """Run each command `runs` times, in turns, so that a disturbance meets all of them.

    Args:
        commands: by name.
        runs: how often.
        before: called with the name before each run, not measured: removes what the last one wrote.
    """
    found: dict[str, list[tuple[float, float, int]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            before(name)
            found[name].append(run(command))
    return {
        name: Timing(tuple(f[0] for f in results), tuple(f[1] for f in results), max(f[2] for f in results))
        for name, results in found.items()
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; the first is its head, the first column is text, the rest are numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f"{'-' * widths[0]}", *(f"{'-' * (w - 1)}:" for w in widths[1:])]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])
