"""Digests that need not be computed again: a file is as it was while its stamp is (`files.FileStamp`).

The exception is what git calls *racily clean*: a file changed so shortly before it was hashed that a later change could
carry the same time. It is not remembered.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from sagepack.decoding import Crc32, PathText, Sha256Hex, seal, unseal
from sagepack.digest import Digest
from sagepack.files import GRANULARITY_NS, FileStamp, boot, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

VERSION = 2
_CHUNK = 1 << 20
_Key = tuple[int, int]  # device and inode: a link shares the entry of its file


class Content(NamedTuple):
    """What a file holds: SHA-256, and CRC-32 where whoever hashed it computed that too."""

    digest: Digest
    crc32: int | None


class _Entry(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    stamp: FileStamp
    sha256: Sha256Hex
    crc32: Crc32 | None
    path: PathText


class _Document(Struct, forbid_unknown_fields=True):
    files: list[_Entry]


class HashCache:
    """What is known about files on this machine; never changes one of them.

    One sealed JSON file `{"files": [[stamp, sha256, crc32, path], ...]}`; one that is damaged or of another version counts
    as empty, and an entry of another boot as none: after a restart of the machine every file is hashed once more. Safe
    between threads, and between processes from `save` to `save`.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: dict[_Key, _Entry] | None = None
        self._fresh: dict[_Key, _Entry] = {}
        self._lock = threading.Lock()

    def known(self, path: Path) -> Content | None:
        """The content of `path` if it is known and the file has not changed since; links are followed."""
        try:
            now = path.stat()
        except OSError:
            return None
        with self._lock:
            entry = self._fresh.get(_key(now)) or self._all().get(_key(now))
        return Content(Digest("sha256", entry.sha256), entry.crc32) if entry and entry.stamp.fits(now) else None

    def get(self, path: Path) -> Digest | None:
        """The digest of `path` if it is known and the file has not changed since; links are followed."""
        content = self.known(path)
        return content.digest if content else None

    def put(
        self,
        path: Path,
        digest: Digest,
        before: os.stat_result,
        hashed_at_ns: int | None = None,
        *,
        crc32: int | None = None,
    ) -> None:
        """Remember what a file holds.

        Args:
            path: the file.
            digest: SHA-256 of its content.
            before: its stat from before it was read; if the file has changed since, nothing is remembered.
            hashed_at_ns: wall clock when reading began; now if the file cannot have been written meanwhile.
            crc32: CRC-32 of its content; with it the file is packaged without being hashed again.
        """
        at = time.time_ns() if hashed_at_ns is None else hashed_at_ns
        stamp = FileStamp.of(before)
        if stamp.fits(path.stat()) and before.st_mtime_ns <= at - GRANULARITY_NS:
            with self._lock:
                # A path that is not UTF-8 becomes another here: its file counts as vanished, and is hashed each time.
                self._fresh[_key(before)] = _Entry(
                    stamp, digest.value, crc32, str(path).encode(errors="replace").decode()
                )

    def digest(self, path: Path) -> Digest:
        """The digest of a file: remembered, else computed and remembered."""
        if known := self.get(path):
            return known
        at, before = time.time_ns(), path.stat()
        digest, crc = _read_whole(path)
        self.put(path, digest, before, at, crc32=crc)
        return digest

    def forget(self, paths: Iterable[Path]) -> None:
        """Drop what is remembered of files, at once and for later processes too: one of them was found wrong."""
        keys = {_key(path.stat()) for path in paths if path.exists()}
        with self._lock:
            self._fresh = {key: entry for key, entry in self._fresh.items() if key not in keys}
        self._update({}, keys)

    def save(self) -> None:
        """Write what is new, merged with what other processes wrote meanwhile; entries of vanished files go."""
        with self._lock:
            fresh, self._fresh = self._fresh, {}
        if fresh:
            self._update(fresh, set())

    def _update(self, fresh: dict[_Key, _Entry], gone: set[_Key]) -> None:
        from filelock import FileLock  # takes 90 ms, which a run with nothing to save does not pay

        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_name(self.file.name + ".lock")):
            merged = {**_read(self.file), **fresh}
            kept = {key: entry for key, entry in merged.items() if key not in gone and _is_of_use(entry)}
            write_atomically(self.file, seal(_Document(list(kept.values())), VERSION))
        with self._lock:
            self._entries = kept

    def _all(self) -> dict[_Key, _Entry]:
        if self._entries is None:
            self._entries = _read(self.file)
        return self._entries


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino


def _is_of_use(entry: _Entry) -> bool:
    return entry.stamp.boot == boot() and os.path.exists(entry.path)  # noqa: PTH110 - entries hold text


def _read(file: Path) -> dict[_Key, _Entry]:
    try:
        document = unseal(file.read_bytes(), VERSION, _Document)
    except OSError:
        return {}
    return {(entry.stamp.device, entry.stamp.inode): entry for entry in document.files} if document else {}


def _read_whole(path: Path) -> tuple[Digest, int]:
    """SHA-256 and CRC-32 of a file's content, in one pass."""
    from sagepack.package.archive.crc32 import crc32  # a run with nothing to hash does not load it

    digest, crc, buffer = hashlib.sha256(), 0, memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            crc = crc32(buffer[:count], crc)
    return Digest("sha256", digest.hexdigest()), crc
