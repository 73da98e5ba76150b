"""One content that is to be had from the Hub: where it goes, and what is already here of it."""

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
    """One content to be had.

    Attributes:
        cache: where it goes.
        file: what the lock says of it.
        paths: the paths that have this content.
    """

    cache: RepoCache
    file: LockedFile
    paths: tuple[str, ...]

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.cache.revision}: {self.file.path}"

    def need(self) -> int:
        """Bytes of disk that it still takes."""
        try:
            return max(0, self.file.size - self.cache.partial(self.file.etag).stat().st_blocks * 512)
        except OSError:
            return self.file.size

    def adopt(self, hash_cache: HashCache) -> bool:
        """Use what is here, if its digest is right; set it aside if it is not."""
        blob = self.cache.blob(self.file.etag)
        pointers = [self.cache.snapshot(path) for path in self.paths]
        # A snapshot holds files of its own where links cannot be made.
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
        """Keep bytes that are not what the lock says where nobody takes them for it; only the last such are kept."""
        aside = self.cache.mismatch(self.file.etag)
        aside.parent.mkdir(parents=True, exist_ok=True)
        return file.replace(aside)

    def finish(self) -> None:
        """Make every path point at the blob, and tidy up."""
        for path in self.paths:
            self.cache.link(path, self.file.etag)
        self.cache.sweep(self.file.etag)
