"""The entries of a lock for the files of a repository.

The Hub's listing has the SHA-256 of LFS files. The other files are small, and are read here to compute it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.hub import CONNECTIONS
from sagepack.package.lock import LockedFile
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sagepack.digest import Digest
    from sagepack.hub.client import Hub
    from sagepack.hub.responses import RepoFile
    from sagepack.package.revision import Revision


def resolve_files(
    hub: Hub,
    revision: Revision,
    files: Iterable[RepoFile],
    digest: Callable[[RepoFile], Digest] | None = None,
    *,
    connections: int = CONNECTIONS,
) -> list[LockedFile]:
    """The entries of a lock for `files`, sorted by path.

    Args:
        hub: where the files are.
        revision: the commit.
        files: those to lock.
        digest: reads a file whose SHA-256 the listing does not have; `Hub.digest` by default.
        connections: most connections at once.

    Raises:
        UserError, RemoteError, IntegrityError: as for `Hub.digest`.
    """
    read = digest or partial(hub.digest, revision)

    def lock(file: RepoFile) -> LockedFile:
        # That a configuration is safe need not be said.
        scan = file.hub_scan if file.sha256 or file.hub_scan != "safe" else None
        return LockedFile(file.path, file.size, file.sha256 or read(file), file.etag, scan)

    with worker_pool(connections, "lock") as pool:
        return sorted(pool.map(lock, files), key=lambda file: file.path)
