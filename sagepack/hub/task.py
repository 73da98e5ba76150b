"""One file content that a download must provide: where it goes, and what of it the cache has already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.hub.cache import RepoCache
    from sagepack.hub.hash_cache import HashCache
    from sagepack.package.lock import LockedFile


@dataclass(frozen=True)
class DownloadTask:
    """A content to download; files of the same content share one task.

    Attributes:
        cache: where it goes, and the revision that holds it.
        file: the lock's entry of the first file that has this content.
        paths: paths in the repository of all files that have it.
    """

    cache: RepoCache
    file: LockedFile
    paths: tuple[str, ...]

    @property
    def where(self) -> str:
        """Revision and path, for messages."""
        return f"{self.cache.revision}: {self.file.path}"

    @property
    def disk_bytes(self) -> int:
        """Bytes of disk that the download still needs."""
        try:
            return max(0, self.file.size - self.cache.partial(self.file.etag).stat().st_blocks * 512)
        except OSError:
            return self.file.size

    def use_cached(self, hash_cache: HashCache) -> bool:
        """Use the content of the cache if its digest is that of the lock, else set it aside; whether it is used."""
        blob = self.cache.blob(self.file.etag)
        pointers = [self.cache.snapshot(path) for path in self.paths]
        # Where a file system has no symbolic links, the snapshot folder holds copies.
        for candidate in (blob, *(pointer for pointer in pointers if not pointer.is_symlink())):
            if not candidate.is_file():
                continue
            if hash_cache.digest(candidate) == self.file.digest:
                if candidate != blob:
                    blob.parent.mkdir(parents=True, exist_ok=True)
                    candidate.replace(blob)
                self.finish()
                return True
            self.set_aside(candidate)
        return False

    def set_aside(self, file: Path) -> Path:
        """Rename a file with wrong content, so that it can be inspected and is not used; the last one is kept."""
        aside = self.cache.mismatch(self.file.etag)
        aside.parent.mkdir(parents=True, exist_ok=True)
        return file.replace(aside)

    def finish(self) -> None:
        """Link every path of the snapshot folder to the blob, and remove partial files."""
        for path in self.paths:
            self.cache.link(path, self.file.etag)
        self.cache.sweep(self.file.etag)
