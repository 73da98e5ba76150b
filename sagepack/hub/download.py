"""Downloads the files of a lock. A file is used only after all of its bytes were hashed and match the lock."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.hub import CONNECTIONS
from sagepack.hub.cache import RepoCache, default_cache, partial_name
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.partial import Partial
from sagepack.hub.scheduler import run_all
from sagepack.hub.task import DownloadTask
from sagepack.text import counted, format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.package.lock import LockedFile
    from sagepack.package.revision import Revision
    from sagepack.progress import Progress


def download(
    hub: Hub,
    revision: Revision,
    files: Sequence[LockedFile],
    *,
    connections: int = CONNECTIONS,
    hash_cache: HashCache,
    progress: Progress,
) -> dict[str, Path]:
    """Make the files of a lock available in huggingface_hub's cache, with the digests of the lock.

    Files in the cache are used if their digest is right; it is computed unless `hash_cache` knows it. The others are
    downloaded, several at once, large ones in several ranges at once. Content that does not match is set aside and
    downloaded again, once. A download that was killed or interrupted is resumed. A second process that downloads the same
    repository waits for the first. Nothing is synced to the disk: after a power failure `verify` finds what was lost.

    Args:
        hub: where from.
        revision: the commit that holds the files.
        files: the entries of the lock.
        connections: most connections at once.
        hash_cache: known digests; new ones are saved to it.
        progress: receives the number of bytes as they arrive.

    Returns:
        Path in the repository -> file, a link in the commit's snapshot folder.

    Raises:
        UserError: the repository is gated or missing, the token is bad, the disk has too little space, or files are missing
            while `HF_HUB_OFFLINE` is set.
        RemoteError: the Hub failed at the last attempt.
        IntegrityError: the Hub sent other content than the lock names, twice.
    """
    cache = RepoCache(hub.cache or default_cache(os.environ), revision)
    status = scan_cache(cache, files, hash_cache)
    if not status.present and not status.missing:
        return status.ready
    with _exclusive(cache, progress):
        try:
            tasks = _tasks(cache, [file for file in files if file.path not in status.ready])
            with _checking(len(status.present), progress), worker_pool(os.cpu_count() or 1, "check") as pool:
                cached = list(pool.map(lambda task: task.use_cached(hash_cache), tasks))
            missing = [task for task, used in zip(tasks, cached, strict=True) if not used]
            if missing:
                _check_disk(cache, missing)
                run_all(missing, hub, hash_cache, progress, connections)
        finally:
            hash_cache.save()
    return {file.path: cache.snapshot(file.path) for file in files}


def resumable_bytes(cache: RepoCache, files: Sequence[LockedFile]) -> int:
    """Bytes of files that an interrupted download has left, and the next one will not fetch again if they are right."""
    there = cache.blob_names()
    contents = {file.etag: file.size for file in files if partial_name(file.etag) in there}
    return sum(Partial(cache.partial(etag), size).noted for etag, size in contents.items())


def _checking(count: int, progress: Progress) -> AbstractContextManager[None]:
    """Tell that files of the cache are hashed, if there are any whose content is not known."""
    return progress.activity(f"hashing {counted(count, 'file')} of the cache") if count else nullcontext()


def _tasks(cache: RepoCache, files: Sequence[LockedFile]) -> list[DownloadTask]:
    """One task for each content, the largest first."""
    by_etag: dict[str, list[LockedFile]] = {}
    for file in files:
        by_etag.setdefault(file.etag, []).append(file)
    tasks = [DownloadTask(cache, group[0], tuple(file.path for file in group)) for group in by_etag.values()]
    return sorted(tasks, key=lambda task: task.file.size, reverse=True)


def _check_disk(cache: RepoCache, tasks: Sequence[DownloadTask]) -> None:
    """Raise an error before the first byte is downloaded if the disk has too little space for all of them."""
    need = sum(task.disk_bytes for task in tasks)
    folder = cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"the download needs {format_bytes(need)}, and {format_bytes(free)} are free",
            where=str(folder),
            fix="free some space (`hf cache rm`, `hf cache prune`), or set HF_HOME to a folder on a larger disk",
        )


@contextmanager
def _exclusive(cache: RepoCache, progress: Progress) -> Iterator[None]:
    """Wait for other processes that download this repository. Unlike `files.exclusive` without a limit: it may take hours."""
    from filelock import FileLock, Timeout  # takes 90 ms, which a run with nothing to do does not pay

    cache.lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        with progress.activity(f"waiting for another process that downloads {cache.revision.repo}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
