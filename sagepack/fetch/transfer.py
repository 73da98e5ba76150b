"""Contents on their way from the Hub to the cache: what is to be had, and all of it at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.fetch.flight import Crew, Flight
from sagepack.text import format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.fetch.cachelayout import RepoCache
    from sagepack.fetch.trust import Trust
    from sagepack.lock import LockedFile
    from sagepack.progress import Progress
    from sagepack.remote.hub import Hub


@dataclass(frozen=True)
class Job:
    """One content to be had.

    Attributes:
        cache: where it goes.
        commit: the commit that holds it.
        file: what the lock says of it.
        paths: the paths that have this content.
    """

    cache: RepoCache
    commit: str
    file: LockedFile
    paths: tuple[str, ...]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.cache.repo}@{self.commit[:12]}: {self.file.path}"

    def need(self) -> int:
        """Bytes of disk that it still takes."""
        try:
            return max(0, self.file.size - self.cache.partial(self.file.blob).stat().st_blocks * 512)
        except OSError:
            return self.file.size

    def adopt(self, trust: Trust) -> bool:
        """Use what is here, if its digest is right; set it aside if it is not."""
        blob = self.cache.blob(self.file.blob)
        pointers = [self.cache.snapshot(self.commit, path) for path in self.paths]
        # A snapshot holds files of its own where links cannot be made.
        for candidate in (blob, *(pointer for pointer in pointers if not pointer.is_symlink())):
            if not candidate.is_file():
                continue
            if trust.digest(candidate) == self.file.digest:
                if candidate != blob:
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    candidate.replace(blob)
                self.finish()
                return True
            self.set_aside(candidate)
        return False

    def set_aside(self, file: Path) -> Path:
        """Keep bytes that are not what the lock says where nobody takes them for it; only the last such are kept."""
        aside = self.cache.mismatch(self.file.blob)
        aside.parent.mkdir(parents=True, exist_ok=True)
        return file.replace(aside)

    def finish(self) -> None:
        """Make every path point at the blob, and tidy up."""
        for path in self.paths:
            self.cache.link(self.commit, path, self.file.blob)
        self.cache.sweep(self.file.blob)


def transfer(jobs: Sequence[Job], hub: Hub, trust: Trust, progress: Progress, connections: int) -> None:
    """Fetch contents with at most `connections` connections; memory does not grow with their sizes.

    After the first failure, or an interrupt, the others stop in a state that can be resumed.

    Raises:
        UserError, RemoteError, IntegrityError: see `download`.
    """
    stop = threading.Event()
    # A core hashes 1.4 GB/s: more than two hashers only help where the network is faster still.
    with worker_pool(min(4, os.cpu_count() or 1), "hash") as hashers, worker_pool(connections, "fetch") as pool:
        crew = Crew(hub, trust, progress, connections, pool, hashers, stop)
        flights = [Flight(job, crew) for job in jobs]
        try:
            resumed = sum(pool.map(Flight.prepare, flights))
            if resumed:
                progress.note(f"{format_bytes(resumed)} are here from a download that was interrupted")
            with progress.bar("download", sum(job.file.size for job in jobs) - resumed) as add:
                for flight in flights:
                    flight.start(add)
                done, _ = wait([flight.landed for flight in flights], return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()
