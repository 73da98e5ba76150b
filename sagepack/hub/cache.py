"""Where huggingface_hub keeps a repository's files, so that other programs find ours and we find theirs.

<cache>/models--<owner>--<name>/
    blobs/<etag>                     the content: an LFS file's SHA-256, the git SHA-1 of others
    blobs/<etag>.sagepack-partial    ours while it arrives, with its journal beside it
    blobs/<etag>.sagepack-mismatch   ours: bytes that were not what the lock says, set aside
    snapshots/<commit>/<path>        a relative link to the blob
    refs/<branch>                    the commit a branch had
<cache>/.locks/models--<owner>--<name>/sagepack.package.lock
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.errors import IntegrityError
from sagepack.package.manifest import check_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.package.revision import Revision

_HEX_NAME = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def default_cache(environment: Mapping[str, str]) -> Path:
    """The folder of all repositories, as huggingface_hub's `constants.py` finds it, without the price of importing it."""
    home = environment.get("XDG_CACHE_HOME", str(Path("~/.cache")))
    hub = Path(environment.get("HF_HOME", str(Path(home) / "huggingface"))) / "hub"
    chosen = environment.get("HF_HUB_CACHE", environment.get("HUGGINGFACE_HUB_CACHE", str(hub)))
    return Path(os.path.expandvars(chosen)).expanduser()


@dataclass(frozen=True)
class RepoCache:
    """The paths of one model repository in a cache, seen from one commit. No name that a lock or the Hub gives leads out of it.

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
    def lock(self) -> Path:
        """Held by the one process that writes our partial files of this repository."""
        return self.cache / ".locks" / self.name / "sagepack.package.lock"

    def blob(self, etag: str) -> Path:
        """The content of that name.

        Raises:
            IntegrityError: here and below, the name is not 40 or 64 hex digits.
        """
        return self.folder / "blobs" / _checked(etag)

    def partial(self, etag: str) -> Path:
        """What has arrived of a content so far."""
        return self.blob(etag).with_name(f"{etag}.sagepack-partial")

    def mismatch(self, etag: str) -> Path:
        """Where bytes are set aside that are not what the lock says."""
        return self.blob(etag).with_name(f"{etag}.sagepack-mismatch")

    def snapshot(self, path: str) -> Path:
        """The file of that path in the commit's snapshot folder.

        Raises:
            UserError: the path is absolute or climbs.
            IntegrityError: the commit is not hex digits.
        """
        check_paths([path])
        return self.folder / "snapshots" / _checked(self.revision.commit) / path

    def link(self, path: str, etag: str) -> Path:
        """Make the snapshot's file point at the blob, whatever was there; a copy where links cannot be made."""
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
        """Remove what interrupted downloads of this blob left behind: ours, and the client's if it is not at work."""
        folder = self.blob(etag).parent
        for orphan in folder.glob(f"{etag}.sagepack-*"):
            orphan.unlink(missing_ok=True)
        orphans = list(folder.glob(f"{etag}.*incomplete"))
        if not orphans:
            return
        from filelock import FileLock, Timeout  # takes 90 ms, for what is rarely there

        with suppress(Timeout), FileLock(self.lock.with_name(f"{etag}.lock"), timeout=0):
            for orphan in orphans:
                orphan.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """The name of a content or of a commit, which becomes part of a path."""
    if not _HEX_NAME.fullmatch(name):
        fix = "the lock, or the Hub, is damaged or hostile: look at where it came from, then `invoke lock --update`"
        raise IntegrityError("the name of a content or commit is not 40 or 64 hex digits", where=repr(name), fix=fix)
    return name
