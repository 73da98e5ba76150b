"""Digests of files, kept so that a file is not hashed again while its stat is the same (`files.FileStamp`).

Not kept are files that git calls *racily clean*: modified so shortly before they were hashed that a later change could have
the same modification time.
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
_Key = tuple[int, int]  # device and inode, so that a link and its file share an entry


class Content(NamedTuple):
    """SHA-256 of a file, and CRC-32 where that was computed too."""

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
    """The known digests of files on this machine. The files themselves are never changed.

    It is stored as a sealed JSON file `{"files": [[stamp, sha256, crc32, path], ...]}`. A damaged file, or one of another
    version, counts as empty. Entries from before the last boot are not used: after a restart of the machine every file is
    hashed again. Threads may share it; processes see each other's entries after `save`.

    Args:
        file: where it is stored.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._entries: dict[_Key, _Entry] | None = None
        self._unsaved: dict[_Key, _Entry] = {}
        self._lock = threading.Lock()

    def known(self, path: Path) -> Content | None:
        """The digests of a file if they are known and its stat is unchanged; links are followed."""
        try:
            now = path.stat()
        except OSError:
            return None
        with self._lock:
            entry = self._unsaved.get(_key(now)) or self._stored().get(_key(now))
        return Content(Digest("sha256", entry.sha256), entry.crc32) if entry and entry.stamp.fits(now) else None

    def get(self, path: Path) -> Digest | None:
        """SHA-256 of a file if it is known and its stat is unchanged; links are followed."""
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
        """Keep the digests of a file.

        Args:
            path: the file.
            digest: SHA-256 of its content.
            before: its stat from before it was read; if the file has changed since, nothing is kept.
            hashed_at_ns: `time.time_ns()` when reading began; default now, for a file that nobody else can have written.
            crc32: CRC-32 of its content; with it the file is packaged without computing SHA-256 again.
        """
        hashed_at = time.time_ns() if hashed_at_ns is None else hashed_at_ns
        stamp = FileStamp.of(before)
        if stamp.fits(path.stat()) and before.st_mtime_ns <= hashed_at - GRANULARITY_NS:
            with self._lock:
                # A path that is not UTF-8 becomes another one here: its file counts as removed, and is hashed each time.
                self._unsaved[_key(before)] = _Entry(
                    stamp, digest.value, crc32, str(path).encode(errors="replace").decode()
                )

    def digest(self, path: Path) -> Digest:
        """SHA-256 of a file, which is read if its digest is not known."""
        if known := self.get(path):
            return known
        hashed_at, before = time.time_ns(), path.stat()
        digest, crc = _hash(path)
        self.put(path, digest, before, hashed_at, crc32=crc)
        return digest

    def forget(self, paths: Iterable[Path]) -> None:
        """Remove the entries of files, also from the stored file: at least one of them was found to be wrong."""
        keys = {_key(path.stat()) for path in paths if path.exists()}
        with self._lock:
            self._unsaved = {key: entry for key, entry in self._unsaved.items() if key not in keys}
        self._update({}, keys)

    def save(self) -> None:
        """Store new entries, merged with those that other processes have stored; entries of removed files are dropped."""
        with self._lock:
            unsaved, self._unsaved = self._unsaved, {}
        if unsaved:
            self._update(unsaved, set())

    def _update(self, added: dict[_Key, _Entry], removed: set[_Key]) -> None:
        from filelock import FileLock  # takes 90 ms, which a run with nothing to save does not pay

        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_name(self.file.name + ".lock")):
            merged = {**_read(self.file), **added}
            kept = {key: entry for key, entry in merged.items() if key not in removed and _is_usable(entry)}
            write_atomically(self.file, seal(_Document(list(kept.values())), VERSION))
        with self._lock:
            self._entries = kept

    def _stored(self) -> dict[_Key, _Entry]:
        if self._entries is None:
            self._entries = _read(self.file)
        return self._entries


def _key(status: os.stat_result) -> _Key:
    return status.st_dev, status.st_ino


def _is_usable(entry: _Entry) -> bool:
    return entry.stamp.boot == boot() and os.path.exists(entry.path)  # noqa: PTH110 - entries hold texts


def _read(file: Path) -> dict[_Key, _Entry]:
    try:
        document = unseal(file.read_bytes(), VERSION, _Document)
    except OSError:
        return {}
    return {(entry.stamp.device, entry.stamp.inode): entry for entry in document.files} if document else {}


def _hash(path: Path) -> tuple[Digest, int]:
    """SHA-256 and CRC-32 of a file, in one pass."""
    from isal.isal_zlib import crc32  # a run with nothing to hash does not load it

    digest, crc, buffer = hashlib.sha256(), 0, memoryview(bytearray(_CHUNK))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            crc = crc32(buffer[:count], crc)
    return Digest("sha256", digest.hexdigest()), crc
