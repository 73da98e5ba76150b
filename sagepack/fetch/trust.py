"""Digests that need not be computed again: a file is as it was while its stat is.

As git's index does it (`Documentation/technical/racy-git.txt`): a file whose size, times, inode and device are those of the moment it was
hashed still has that digest. The exception is the *racily clean* file, changed so shortly before it was hashed that a
later change could carry the same time: its entry is not believed.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, hash_file

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
# The coarsest clock of a file system in use: FAT keeps even seconds, HFS+ whole ones.
GRANULARITY_NS = 2_000_000_000


class Trust:
    """What is known about files on this machine; never changes one of them, except for `settle`.

    One JSON file `{"version": 1, "files": {"<device>:<inode>": [size, mtime_ns, ctime_ns, hashed_at_ns, sha256, path]}}`. The change time
    is compared too: unlike the modification time nobody can set it back. A file that cannot be read, or of another
    version, counts as empty. Safe between threads, and between processes from `save` to `save`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: dict[str, list[Any]] | None = None
        self._fresh: dict[str, list[Any]] = {}
        self._lock = threading.Lock()

    def get(self, path: Path) -> Digest | None:
        """The digest of `path` if it is known and the file has not changed since; links are followed."""
        try:
            now = path.stat()
        except OSError:
            return None
        with self._lock:
            entry = self._fresh.get(_key(now)) or self._known().get(_key(now))
        try:
            return Digest("sha256", entry[4]) if entry and _unchanged(entry, now) else None
        except (ValueError, TypeError, IndexError):
            return None

    def put(self, path: Path, digest: Digest, before: os.stat_result, hashed_at_ns: int | None = None) -> None:
        """Remember a digest.

        Args:
            path: the file.
            digest: SHA-256 of its content.
            before: its stat from before it was read; if the file has changed since, nothing is remembered.
            hashed_at_ns: wall clock when reading began; now if the file cannot have been written meanwhile.
        """
        after = path.stat()
        if (_key(after), _shape(after)) != (_key(before), _shape(before)):
            return
        at = time.time_ns() if hashed_at_ns is None else hashed_at_ns
        with self._lock:
            self._fresh[_key(before)] = [*_shape(before), at, digest.value, str(path)]

    def digest(self, path: Path) -> Digest:
        """The digest of a file: remembered, else computed and remembered."""
        if known := self.get(path):
            return known
        at, before = time.time_ns(), path.stat()
        digest = hash_file(path)
        self.put(path, digest, before, at)
        return digest

    def save(self) -> None:
        """Write what is new, merged with what other processes wrote meanwhile; entries of vanished files go."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        if not fresh:
            return
        from filelock import FileLock  # noqa: PLC0415 - takes 90 ms, which a run with nothing to save does not pay

        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_name(self.file.name + ".lock")):
            merged = {key: entry for key, entry in {**_read(self.file), **fresh}.items() if _exists(entry)}
            partial = self.file.with_name(f"{self.file.name}.{os.getpid()}.partial")
            partial.write_text(json.dumps({"version": VERSION, "files": merged}, separators=(",", ":")))
            partial.replace(self.file)
        with self._lock:
            self._entries = merged

    def _known(self) -> dict[str, list[Any]]:
        if self._entries is None:
            self._entries = _read(self.file)
        return self._entries


def settle(path: Path) -> None:
    """Set the modification time of a file this program has just written far enough back to be trusted at once.

    Any later write gets the time of that write, so it cannot be mistaken for this one.
    """
    past = time.time_ns() - GRANULARITY_NS - 1_000_000
    os.utime(path, ns=(past, past))


def _key(info: os.stat_result) -> str:
    return f"{info.st_dev}:{info.st_ino}"


def _shape(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _unchanged(entry: list[Any], now: os.stat_result) -> bool:
    racy = now.st_mtime_ns > entry[3] - GRANULARITY_NS
    return tuple(entry[:3]) == _shape(now) and stat.S_ISREG(now.st_mode) and not racy


def _exists(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 6 and os.path.exists(entry[5])  # noqa: PTH110 - entries hold text


def _read(file: Path) -> dict[str, list[Any]]:
    try:
        document = json.loads(file.read_bytes())
        files = document["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return files if document.get("version") == VERSION and isinstance(files, dict) else {}
