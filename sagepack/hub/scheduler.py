"""Runs the downloads of several files at once, with one limit on the number of connections."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING

from sagepack.hub.file_download import DownloadContext, FileDownload
from sagepack.text import counted, format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.hub.task import DownloadTask
    from sagepack.progress import Progress


def run_all(
    tasks: Sequence[DownloadTask], hub: Hub, hash_cache: HashCache, progress: Progress, connections: int
) -> None:
    """Download files over at most `connections` connections; memory does not grow with their sizes.

    After the first failure, or an interrupt, the other downloads stop, and can be resumed later.

    Raises:
        UserError, RemoteError, IntegrityError: as for `download`.
    """
    stop = threading.Event()
    # A core hashes 1.4 GB/s: more than two threads help only where the network is faster than that.
    with worker_pool(min(4, os.cpu_count() or 1), "hash") as hashers, worker_pool(connections, "fetch") as pool:
        context = DownloadContext(hub, hash_cache, progress, connections, pool, hashers, stop)
        downloads = [FileDownload(task, context) for task in tasks]
        try:
            resumed = sum(pool.map(FileDownload.prepare, downloads))
            if resumed:
                progress.note(f"{format_bytes(resumed)} are here from a download that was interrupted")
            total = sum(task.file.size for task in tasks) - resumed
            with progress.bar("fetching", total) as advance:
                for download in downloads:
                    download.start(advance)
                done, _ = wait([download.done for download in downloads], return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            progress.moved(fetched=total)
            progress.done(f"{counted(len(tasks), 'file')}, {format_bytes(total)} fetched")
        finally:
            stop.set()
