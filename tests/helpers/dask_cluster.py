"""A Dask cluster of real processes on 127.0.0.1, whose members can be killed, frozen and woken one by one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DASK = (sys.executable, "-m", "dask")
_START = 90.0  # seconds


@dataclass
class DaskCluster:
    """A scheduler and its workers, in processes of their own; whatever is left of them ends with the block.

    Attributes:
        folder: for logs and what workers write.
        environment: of all members.
        workers: the processes that were started, whether or not they live.
    """

    folder: Path
    environment: Mapping[str, str]
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_scheduler(self, *options: str) -> None:
        """Start the scheduler, and wait until it has an address."""
        file = self.folder / f"scheduler-{len(self._processes)}.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0",
            "--scheduler-file", str(file), *options,
        )  # fmt: skip
        end = time.monotonic() + _START
        while not self.address:
            with suppress(OSError, ValueError, KeyError):
                self.address = json.loads(file.read_text())["address"]
            assert time.monotonic() < end, self.logs()
            time.sleep(0.02)

    def start_workers(self, count: int, environment: Mapping[str, str] | None = None, *, nanny: bool = False) -> None:
        """Start workers of one thread; they need not be there yet. With a nanny each is a process of that, which starts another one."""
        for _ in range(count):
            self.workers.append(
                self._start(
                    "worker", self.address, "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0",
                    "--nthreads", "1", "--memory-limit", "0", "--nanny" if nanny else "--no-nanny", "--death-timeout", "20",
                    "--local-directory", str(self.folder), environment=environment,
                )
            )  # fmt: skip

    def kill_scheduler(self) -> None:
        """`kill -9` of the scheduler."""
        assert self.scheduler
        self.scheduler.kill()
        self.scheduler.wait()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until the members have written a text so often."""
        end = time.monotonic() + _START
        while self.logs().count(text) < count:
            assert time.monotonic() < end, self.logs()
            time.sleep(0.05)

    def logs(self) -> str:
        """What the members wrote."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """Kill all members, frozen ones too."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(60)

    def _start(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        log = self.folder / f"{words[0]}-{len(self._processes)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*_DASK, *words], cwd=self.folder, env=environment or self.environment, stdout=out, stderr=out
            )
        self._processes.append(process)
        return process
