"""Which files of a lock are in the cache. Cheap, since every run looks and few download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.hub.cache import RepoCache
    from sagepack.hub.folder import ModelFolder
    from sagepack.hub.hash_cache import HashCache
    from sagepack.package.lock import LockedFile


class CacheStatus(Value, frozen=True):
    """Which files of a lock are in the cache, as far as it is known without reading them.

    Attributes:
        ready: path in the repository -> file, for files whose digest is known and is that of the lock.
        present: files of the right size whose digest is not known.
        missing: files that must be downloaded.
    """

    ready: dict[str, Path]
    present: tuple[LockedFile, ...]
    missing: tuple[LockedFile, ...]

    @property
    def bytes_missing(self) -> int:
        """Bytes to download; a content that has several paths counts once."""
        return sum({file.etag: file.size for file in self.missing}.values())


def scan_cache(cache: RepoCache | ModelFolder, files: Sequence[LockedFile], hash_cache: HashCache) -> CacheStatus:
    """Look for the files of a lock in the cache, or in the folder of the model, by `stat` alone: some microseconds for each, and no request."""
    ready: dict[str, Path] = {}
    present, missing = [], []
    may_be_there = cache.inventory()
    for file in files:
        places = cache.places(file) if may_be_there(file) else ()
        if places and hash_cache.get(places[0]) == file.digest:
            ready[file.path] = places[0]
        elif any(_has_size(place, file.size) for place in places):
            present.append(file)
        else:
            missing.append(file)
    return CacheStatus(ready, tuple(present), tuple(missing))


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
