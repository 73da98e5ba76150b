"""Getting a lock's files onto this machine, every byte hashed against the lock before it counts."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.hub.cache import RepoCache, default_cache
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.scheduler import transfer
from sagepack.hub.task import DownloadTask
from sagepack.text import format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.package.lock import LockedFile
    from sagepack.package.revision import Revision
    from sagepack.progress import Progress

CONNECTIONS = 8


def download(
    hub: Hub,
    revision: Revision,
    files: Sequence[LockedFile],
    *,
    connections: int = CONNECTIONS,
    hash_cache: HashCache,
    progress: Progress,
) -> dict[str, Path]:
    """Make every file of a lock be here, in huggingface_hub's cache, with the digest of the lock.

    What is here is hashed (unless `hash_cache` knows its digest) and used; the rest is fetched, several files and several
    ranges of a large one at once. Content that does not match is set aside and fetched once more. A killed or
    interrupted download goes on where it stopped; two at once wait for one another. Power failures are left to the
    file system: nothing is flushed, so `verify` after one.

    Args:
        hub: where from.
        revision: the commit that holds the files.
        files: what the lock says.
        connections: most connections at once.
        hash_cache: digests that are known; what is learned is saved to it.
        progress: told of bytes.

    Returns:
        Path in the repository -> file, a link in the commit's snapshot folder.

    Raises:
        UserError: gated, missing, bad token, not enough disk, or offline and not here.
        RemoteError: the Hub failed too often.
        IntegrityError: what the Hub sends is not what the lock says.
    """
    cache = RepoCache(hub.cache or default_cache(os.environ), revision)
    state = scan_cache(cache, files, hash_cache)
    if not state.present and not state.missing:
        return state.ready
    with _locked(cache, progress), _saved(hash_cache):
        jobs = _jobs(cache, [file for file in files if file.path not in state.ready])
        with worker_pool(os.cpu_count() or 1, "check") as pool:
            found = list(pool.map(lambda job: job.adopt(hash_cache), jobs))
        wanted = [job for job, here in zip(jobs, found, strict=True) if not here]
        if wanted:
            _check_disk(cache, wanted)
            transfer(wanted, hub, hash_cache, progress, connections)
    return {file.path: cache.snapshot(file.path) for file in files}


def _jobs(cache: RepoCache, files: Sequence[LockedFile]) -> list[DownloadTask]:
    """One job for each content, the largest first."""
    by_etag: dict[str, list[LockedFile]] = {}
    for file in files:
        by_etag.setdefault(file.etag, []).append(file)
    jobs = [DownloadTask(cache, group[0], tuple(file.path for file in group)) for group in by_etag.values()]
    return sorted(jobs, key=lambda job: job.file.size, reverse=True)


def _check_disk(cache: RepoCache, jobs: Sequence[DownloadTask]) -> None:
    need = sum(job.need() for job in jobs)
    folder = cache.folder
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(
            f"the download needs {format_bytes(need)}, and {format_bytes(free)} are free",
            where=str(folder),
            fix="free some space (`hf cache rm`, `hf cache prune`), or set HF_HOME to a larger disk",
        )


@contextmanager
def _saved(hash_cache: HashCache) -> Iterator[None]:
    try:
        yield
    finally:
        hash_cache.save()


@contextmanager
def _locked(cache: RepoCache, progress: Progress) -> Iterator[None]:
    from filelock import FileLock, Timeout  # takes 90 ms, which a run with nothing to do does not pay

    cache.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note(f"another process is downloading {cache.revision.repo}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
