"""The entries of a lock for the files of a repository.

The Hub's listing has the SHA-256 of LFS files. The other files are small, and are read here to compute it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.hub import CONNECTIONS
from sagepack.package.lock import LockedFile
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.hub.client import Hub
    from sagepack.hub.responses import RepoFile
    from sagepack.package.revision import Revision


def resolve_files(
    hub: Hub, revision: Revision, files: Iterable[RepoFile], *, connections: int = CONNECTIONS
) -> list[LockedFile]:
    """The entries of a lock for `files`, sorted by path.

    Raises:
        UserError, RemoteError, IntegrityError: as for `Hub.digest`.
    """

    def lock(file: RepoFile) -> LockedFile:
        return LockedFile(file.path, file.size, file.sha256 or hub.digest(revision, file), file.etag)

    with worker_pool(connections, "lock") as pool:
        return sorted(pool.map(lock, files), key=lambda file: file.path)
