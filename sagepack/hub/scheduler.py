"""Contents on their way from the Hub to the cache: what is to be had, and all of it at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING

from sagepack.hub.file_download import DownloadContext, FileDownload
from sagepack.text import format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.hub.task import DownloadTask
    from sagepack.progress import Progress


def transfer(
    jobs: Sequence[DownloadTask], hub: Hub, hash_cache: HashCache, progress: Progress, connections: int
) -> None:
    """Fetch contents with at most `connections` connections; memory does not grow with their sizes.

    After the first failure, or an interrupt, the others stop in a state that can be resumed.

    Raises:
        UserError, RemoteError, IntegrityError: see `download`.
    """
    stop = threading.Event()
    # A core hashes 1.4 GB/s: more than two hashers only help where the network is faster still.
    with worker_pool(min(4, os.cpu_count() or 1), "hash") as hashers, worker_pool(connections, "fetch") as pool:
        crew = DownloadContext(hub, hash_cache, progress, connections, pool, hashers, stop)
        flights = [FileDownload(job, crew) for job in jobs]
        try:
            resumed = sum(pool.map(FileDownload.prepare, flights))
            if resumed:
                progress.note(f"{format_bytes(resumed)} are here from a download that was interrupted")
            with progress.bar("download", sum(job.file.size for job in jobs) - resumed) as add:
                for flight in flights:
                    flight.start(add)
                done, _ = wait([flight.done for flight in flights], return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()
