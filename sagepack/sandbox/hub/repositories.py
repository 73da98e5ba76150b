"""The model repositories that the sandbox's Hub serves: folders on disk, seen as commits of files with digests."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".pt", ".ckpt", ".onnx", ".h5", ".msgpack", ".gif", ".mp4", ".webp")
_LFS_SIZE = 10 << 20
"""The real Hub takes no larger file into plain git."""


@dataclass(frozen=True)
class Entry:
    """One file of a commit.

    Attributes:
        path: path within the repository, with slashes.
        size: bytes.
        oid: git's blob id: of the content, or of the pointer file for LFS.
        sha256: digest of the content of an LFS file; None for plain git files.
        pointer_size: size of the LFS pointer file; 0 for plain git files.
        file: where the bytes are.
    """

    path: str
    size: int
    oid: str
    sha256: str | None
    pointer_size: int
    file: Path

    def tree_item(self) -> dict[str, Any]:
        """The entry as the Hub's `tree` and `paths-info` show it."""
        item: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            item["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        return item

    def sibling(self, *, blobs: bool) -> dict[str, Any]:
        """The entry as `model_info` shows it; sizes and digests only with `blobs`."""
        item: dict[str, Any] = {"rfilename": self.path}
        if blobs:
            item |= {"size": self.size, "blobId": self.oid}
            if self.sha256:
                item["lfs"] = {"sha256": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        return item


@dataclass
class Repository:
    """One model repository.

    Attributes:
        name: `owner/name`.
        commits: 40-hex commit -> folder of its files.
        branches: branch -> commit.
        gated: files need a token that was granted access.
    """

    name: str
    commits: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, revision: str) -> str | None:
        """The commit that `revision` (a branch or a 40-hex commit) names, None if there is none."""
        if revision in self.commits:
            return revision
        return self.branches.get(revision.removeprefix("refs/heads/"))


class Content:
    """Repositories by name. Digests are computed when first asked for, and again when a file changes on disk."""

    def __init__(self) -> None:
        self._repositories: dict[str, Repository] = {}
        self._entries: dict[tuple[str, int, int, int], Entry] = {}
        self._lock = threading.Lock()

    def add(
        self, name: str, folder: Path, *, commit: str | None = None, branch: str = "main", gated: bool = False
    ) -> str:
        """Serve `folder` as the commit that `branch` of repository `name` points to.

        Adding another commit to a repository keeps the earlier ones.

        Args:
            name: `owner/name`.
            folder: files of the commit.
            commit: 40 hex digits; None derives them from paths and contents.
            branch: the branch to move.
            gated: whether the whole repository is gated from now on.

        Returns:
            The commit.
        """
        folder = folder.resolve()
        if commit is None:
            listing = [[entry.path, entry.oid] for entry in self._listing(folder)]
            commit = hashlib.sha1(json.dumps([name, listing]).encode(), usedforsecurity=False).hexdigest()
        with self._lock:
            repository = self._repositories.setdefault(name, Repository(name))
            repository.commits[commit] = folder
            repository.branches[branch] = commit
            repository.gated = gated
        return commit

    def remove(self, name: str) -> None:
        """Forget a repository; its files stay on disk."""
        with self._lock:
            self._repositories.pop(name, None)

    def names(self) -> list[str]:
        """The names of all repositories."""
        return sorted(self._repositories)

    def branches(self, name: str) -> dict[str, str]:
        """Branch -> commit of a repository."""
        return dict(self._repositories[name].branches)

    def repository(self, name: str) -> Repository | None:
        """The repository of that name, or None."""
        return self._repositories.get(name)

    def tree(self, repository: Repository, commit: str) -> list[Entry]:
        """All files of a commit, sorted by path."""
        return self._listing(repository.commits[commit])

    def entry(self, repository: Repository, commit: str, path: str) -> Entry | None:
        """One file of a commit, or None. Paths that leave the folder name nothing."""
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return None
        file = repository.commits[commit] / path
        return self._entry(file, path) if file.is_file() else None

    def _listing(self, folder: Path) -> list[Entry]:
        files = [Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            entries = pool.map(lambda file: self._entry(file, file.relative_to(folder).as_posix()), files)
            return sorted(entries, key=lambda entry: entry.path)

    def _entry(self, file: Path, path: str) -> Entry:
        stat = file.stat()
        key = (f"{file}\0{path}", stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if key not in self._entries:
            self._entries[key] = _describe(file, path, stat.st_size)
        return self._entries[key]


def _describe(file: Path, path: str, size: int) -> Entry:
    if not path.endswith(_LFS_SUFFIXES) and size < _LFS_SIZE:
        return Entry(path, size, git_blob(file.read_bytes()), None, 0, file)
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    sha256 = digest.hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return Entry(path, size, git_blob(pointer), sha256, len(pointer), file)


def git_blob(data: bytes) -> str:
    """The id git gives a blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
