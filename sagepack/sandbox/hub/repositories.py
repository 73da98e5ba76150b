"""The model repositories of the sandbox's Hub: each commit is a folder on disk, whose files have the digests of git and LFS."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import io

_LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".pt", ".ckpt", ".onnx", ".h5", ".msgpack", ".gif", ".mp4", ".webp")
_LFS_SIZE = 10 << 20
"""The real Hub stores files from this size on with LFS."""
_NOT_IN_REPOSITORIES = (".git", ".cache/huggingface")
"""Folders that `hf upload` leaves out: of git, and of `hf download --local-dir`."""


class ChangedError(Exception):
    """The folder of a commit no longer holds what it held when it was added."""


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
        stamp: its modification time in nanoseconds, and its inode, when it was hashed.
    """

    path: str
    size: int
    oid: str
    sha256: str | None
    pointer_size: int
    content: Path
    stamp: tuple[int, int]

    @property
    def xet_hash(self) -> str | None:
        """Its name in Xet storage, which holds the files that are not in git; not the real one, which no client checks."""
        return sha256_of_text(f"xet {self.sha256}") if self.sha256 else None

    def open(self) -> io.RawIOBase:
        """The bytes."""
        return self.content.open("rb", buffering=0)

    def position(self, offset: int) -> int:
        """Where the byte at `offset` of the file lies in what is sent."""
        return offset

    def tree_item(self, *, xet: bool) -> dict[str, Any]:
        """The file as an item of the Hub's `tree` and `paths-info`; `xet`: whether the Hub has Xet storage."""
        item: dict[str, Any] = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.sha256:
            item["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": self.pointer_size}
        if xet and self.xet_hash:
            item["xetHash"] = self.xet_hash
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
        fixed: commit -> oid by path, for commits that are served only while their folder holds just that.
    """

    name: str
    commits: dict[str, Path] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False
    fixed: dict[str, dict[str, str]] = field(default_factory=dict)

    def resolve(self, revision: str) -> str | None:
        """The commit of `revision`, which is a branch or a commit; None if the repository has neither."""
        if revision in self.commits:
            return revision
        return self.branches.get(revision.removeprefix("refs/heads/"))


class Repositories:
    """Repositories by name. Digests are computed on first use, and again when a file changes on disk."""

    def __init__(self) -> None:
        self._repositories: dict[str, Repository] = {}
        self._files: dict[tuple[Path, str], RepoFile] = {}
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

    def fix(self, name: str, folder: Path) -> tuple[str, list[RepoFile]]:
        """Serve `folder` as `add` does, and its commit only while the folder does not change.

        Returns:
            The commit, and the files of it.
        """
        files = self._list(folder.resolve())
        commit = self.add(name, folder)
        self._repositories[name].fixed[commit] = {file.path: file.oid for file in files}
        return commit, files

    def restore(self, name: str, folder: Path, commit: str, files: list[RepoFile]) -> None:
        """Serve again what `fix` returned, without reading the files."""
        self._files.update({(file.content, file.path): file for file in files})
        self.add(name, folder, commit=commit)
        self._repositories[name].fixed[commit] = {file.path: file.oid for file in files}

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
        """All files of a commit, sorted by path.

        Raises:
            ChangedError: here and below, the folder is not as it was, and has to be.
        """
        files, fixed = self._list(repository.commits[commit]), repository.fixed.get(commit)
        if fixed is not None and fixed != {file.path: file.oid for file in files}:
            raise ChangedError
        return files

    def file(self, repository: Repository, commit: str, path: str) -> RepoFile | None:
        """One file of a commit; None if there is none at `path`, or if `path` could leave the folder."""
        if any(part in {"", ".", ".."} for part in path.split("/")):
            return None
        content, fixed = repository.commits[commit] / path, repository.fixed.get(commit)
        found = self._describe(content, path) if content.is_file() else None
        if fixed is not None and fixed.get(path) != (found.oid if found else None):
            raise ChangedError
        return found

    def _list(self, folder: Path) -> list[RepoFile]:
        paths = []
        for parent, folders, names in os.walk(folder, followlinks=True):
            here = Path(parent)
            folders[:] = [name for name in folders if not _is_left_out((here / name).relative_to(folder))]
            paths += [here / name for name in names]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing releases the interpreter's lock
            described = pool.map(lambda path: self._describe(path, path.relative_to(folder).as_posix()), paths)
            return sorted(described, key=lambda file: file.path)

    def _describe(self, content: Path, path: str) -> RepoFile:
        stat = content.stat()
        known = self._files.get((content, path))
        if known is None or (known.size, *known.stamp) != (stat.st_size, stat.st_mtime_ns, stat.st_ino):
            known = self._files[content, path] = _hash(content, path, stat)
        return known


def _is_left_out(folder: PurePath) -> bool:
    return f"/{folder.as_posix()}".endswith(tuple(f"/{name}" for name in _NOT_IN_REPOSITORIES))


def _hash(content: Path, path: str, stat: os.stat_result) -> RepoFile:
    size, stamp = stat.st_size, (stat.st_mtime_ns, stat.st_ino)
    if not path.endswith(_LFS_SUFFIXES) and size < _LFS_SIZE:
        return RepoFile(path, size, git_blob(content.read_bytes()), None, 0, content, stamp)
    digest = hashlib.sha256()
    with content.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    sha256 = digest.hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    return RepoFile(path, size, git_blob(pointer), sha256, len(pointer), content, stamp)


def sha256_of_text(text: str) -> str:
    """SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def git_blob(data: bytes) -> str:
    """The id (SHA-1, hex) that git gives a blob with this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
