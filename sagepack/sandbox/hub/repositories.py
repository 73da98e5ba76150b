"""The model repositories of the sandbox's Hub: each commit is a folder on disk, whose files have the digests of git and LFS."""

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
"""The real Hub stores files from this size on with LFS."""


@dataclass(frozen=True)
class RepoFile:
    """One file of a commit.

    Attributes:
        path: path within the repository, with slashes.
        size: bytes.
        oid: git's blob id: of the content, or of the pointer file for LFS.
        sha256: digest of the content of an LFS file; None for plain git files.
        pointer_size: size of the LFS pointer file; 0 for plain git files.
        content: the file on disk.
    """

    path: str
    size: int
    oid: str
    sha256: str | None
    pointer_size: int
    content: Path

    def tree_item(self) -> dict[str, Any]:
        """The file as an item of the Hub's `tree` and `paths-info`."""
        item: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            item["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        return item

    def sibling(self, *, blobs: bool) -> dict[str, Any]:
        """The file as an item of `siblings` in the Hub's model info; size and digests only with `blobs`."""
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
        commits: commit (40 hex digits) -> folder of its files.
        branches: branch -> commit.
        gated: whether files need a token with access.
    """

    name: str
    commits: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def resolve(self, revision: str) -> str | None:
        """The commit of `revision`, which is a branch or a commit; None if the repository has neither."""
        if revision in self.commits:
            return revision
        return self.branches.get(revision.removeprefix("refs/heads/"))


class Repositories:
    """Repositories by name. Digests are computed on first use, and again when a file changes on disk."""

    def __init__(self) -> None:
        self._repositories: dict[str, Repository] = {}
        self._files: dict[tuple[str, int, int, int], RepoFile] = {}
        self._lock = threading.Lock()

    def add(
        self, name: str, folder: Path, *, commit: str | None = None, branch: str = "main", gated: bool = False
    ) -> str:
        """Serve `folder` as the commit that `branch` of repository `name` points to.

        Adding another commit to a repository keeps the earlier ones.

        Args:
            name: `owner/name`.
            folder: files of the commit.
            commit: 40 hex digits; None means a digest of name, paths and contents.
            branch: the branch that points to the commit from now on.
            gated: whether the whole repository is gated from now on.

        Returns:
            The commit.
        """
        folder = folder.resolve()
        if commit is None:
            listing = [[file.path, file.oid] for file in self._list(folder)]
            commit = hashlib.sha1(json.dumps([name, listing]).encode(), usedforsecurity=False).hexdigest()
        with self._lock:
            repository = self._repositories.setdefault(name, Repository(name))
            repository.commits[commit] = folder
            repository.branches[branch] = commit
            repository.gated = gated
        return commit

    def remove(self, name: str) -> None:
        """Stop serving a repository; its files stay on disk."""
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

    def tree(self, repository: Repository, commit: str) -> list[RepoFile]:
        """All files of a commit, sorted by path."""
        return self._list(repository.commits[commit])

    def file(self, repository: Repository, commit: str, path: str) -> RepoFile | None:
        """One file of a commit; None if there is none at `path`, or if `path` could leave the folder."""
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return None
        content = repository.commits[commit] / path
        return self._describe(content, path) if content.is_file() else None

    def _list(self, folder: Path) -> list[RepoFile]:
        paths = [Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing releases the interpreter's lock
            described = pool.map(lambda path: self._describe(path, path.relative_to(folder).as_posix()), paths)
            return sorted(described, key=lambda file: file.path)

    def _describe(self, content: Path, path: str) -> RepoFile:
        stat = content.stat()
        key = (f"{content}\0{path}", stat.st_size, stat.st_mtime_ns, stat.st_ino)
        if key not in self._files:
            self._files[key] = _hash(content, path, stat.st_size)
        return self._files[key]


def _hash(content: Path, path: str, size: int) -> RepoFile:
    if not path.endswith(_LFS_SUFFIXES) and size < _LFS_SIZE:
        return RepoFile(path, size, git_blob(content.read_bytes()), None, 0, content)
    digest = hashlib.sha256()
    with content.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    sha256 = digest.hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return RepoFile(path, size, git_blob(pointer), sha256, len(pointer), content)


def git_blob(data: bytes) -> str:
    """The id (SHA-1, hex) that git gives a blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
