"""Paths of huggingface_hub's cache, so that this program and others that use the cache find each other's files.

<cache>/models--<owner>--<name>/
    blobs/<etag>                     a content; the ETag is the SHA-256 of an LFS file, the git SHA-1 of others
    blobs/<etag>.sagepack-partial    of sagepack: a content that is being downloaded; its journal has the suffix -journal
    blobs/<etag>.sagepack-mismatch   of sagepack: content with another digest than the lock has
    snapshots/<commit>/<path>        a relative link to the blob
    refs/<branch>                    the commit of a branch, when huggingface_hub last looked
<cache>/.locks/models--<owner>--<name>/sagepack.package.lock
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import IntegrityError
from sagepack.package.manifest import check_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sagepack.package.lock import LockedFile
    from sagepack.package.revision import Revision

_HEX_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def default_cache(environment: Mapping[str, str]) -> Path:
    """The folder of all repositories, found as in huggingface_hub's `constants.py`, whose import is slow."""
    home = environment.get("XDG_CACHE_HOME", str(Path("~/.cache")))
    hub = Path(environment.get("HF_HOME", str(Path(home) / "huggingface"))) / "hub"
    chosen = environment.get("HF_HUB_CACHE", environment.get("HUGGINGFACE_HUB_CACHE", str(hub)))
    return Path(os.path.expandvars(chosen)).expanduser()


def partial_name(etag: str) -> str:
    """The name of the file of a content while it is downloaded."""
    return f"{etag}.sagepack-partial"


class RepoCache(Value, frozen=True):
    """The folder of one model repository in a cache, and its paths for one commit.

    Names from a lock or from the Hub are checked, so that no path leads out of the folder.

    Attributes:
        cache: the folder of all repositories, `cache_dir` of huggingface_hub's functions.
        revision: the repository, and the commit whose snapshot folder is meant.
    """

    cache: Path
    revision: Revision

    @property
    def name(self) -> str:
        """The repository's folder name."""
        return "models--" + self.revision.repo.replace("/", "--")

    @property
    def folder(self) -> Path:
        """The repository's folder."""
        return self.cache / self.name

    @property
    def lock_path(self) -> Path:
        """File that is locked by the process which downloads files of this repository."""
        return self.cache / ".locks" / self.name / "sagepack.package.lock"

    def blob(self, etag: str) -> Path:
        """The file of a content.

        Raises:
            IntegrityError: here and below, `etag` is not 40 or 64 hex digits.
        """
        return Path(self.cache, self.name, "blobs", _checked(etag))

    def partial(self, etag: str) -> Path:
        """The file of a content while it is downloaded."""
        return self.blob(etag).with_name(partial_name(etag))

    def mismatch(self, etag: str) -> Path:
        """The file for content whose digest is not that of the lock."""
        return self.blob(etag).with_name(f"{etag}.sagepack-mismatch")

    def snapshot(self, path: str) -> Path:
        """The file of that path in the commit's snapshot folder.

        Raises:
            UserError: the path is absolute, or leads out of the folder.
            IntegrityError: the commit is not hex digits.
        """
        check_paths([path])
        return Path(self.cache, self.name, "snapshots", _checked(self.revision.commit), path)

    def places(self, file: LockedFile) -> tuple[Path, ...]:
        """Where the content of a locked file may lie."""
        return self.snapshot(file.path), self.blob(file.etag)

    def blob_names(self) -> frozenset[str]:
        """The names in the folder of the contents, those of unfinished downloads too."""
        try:
            return frozenset(path.name for path in (self.folder / "blobs").iterdir())
        except OSError:
            return frozenset()

    def inventory(self) -> Callable[[LockedFile], bool]:
        """Whether there may be a file where the content of a locked file lies, by listings alone: asking for each takes longer."""
        blobs, top = self.blob_names(), self.folder / "snapshots" / _checked(self.revision.commit)
        paths: set[str] = set()
        for folder, _, names in os.walk(top):
            inside = Path(folder).relative_to(top)
            paths.update(name if inside == Path() else f"{inside.as_posix()}/{name}" for name in names)
        return lambda file: _checked(file.etag) in blobs or file.path in paths

    def link(self, path: str, etag: str) -> Path:
        """Make a path of the snapshot folder a symbolic link to a blob, or a copy where the file system has no links."""
        pointer = self.snapshot(path)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(self.blob(etag), pointer.parent)
        if pointer.is_symlink() and str(pointer.readlink()) == target:
            return pointer
        staged = pointer.with_name(f".{os.getpid()}-{threading.get_ident()}.sagepack-partial")
        try:
            staged.symlink_to(target)
        except OSError:
            shutil.copyfile(self.blob(etag), staged)
        staged.replace(pointer)
        return pointer

    def sweep(self, etag: str) -> None:
        """Remove files of interrupted downloads of a blob: sagepack's, and huggingface_hub's unless it is downloading it now."""
        folder = self.blob(etag).parent
        for orphan in folder.glob(f"{etag}.sagepack-*"):
            orphan.unlink(missing_ok=True)
        orphans = list(folder.glob(f"{etag}.*incomplete"))
        if not orphans:
            return
        from filelock import FileLock, Timeout  # takes 90 ms, and is rarely needed

        with suppress(Timeout), FileLock(self.lock_path.with_name(f"{etag}.lock"), timeout=0):
            for orphan in orphans:
                orphan.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """An ETag or a commit, checked before it becomes part of a path."""
    if not _HEX_NAME.fullmatch(name):
        fix = "the lock is damaged or was forged: check where it came from, then run `invoke lock --update`"
        raise IntegrityError("an ETag or commit is not 40 or 64 hex digits", where=repr(name), fix=fix)
    return name
