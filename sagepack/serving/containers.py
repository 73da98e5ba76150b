"""Running containers: packages under the image's serving stack, kept running between requests."""

from __future__ import annotations

import hashlib
import json
import tarfile
import tempfile
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.serving import model_server, overlay
from sagepack.serving.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagepack.serving.model_server import InferenceRequest

_MAX_RUNNING = 2
"""How many containers run at once; each takes a gigabyte of memory with the miniature."""


class StartError(Exception):
    """A container did not start; the message has the end of its log."""


@dataclass(frozen=True)
class Package:
    """What a container is started from.

    Attributes:
        definition: a JSON document that differs from those of all packages with other content or settings.
        environment: environment variables of the container.
        unpack: writes the package into an empty folder; may raise OSError, or what a damaged gzip or tar file causes.
        log: takes the lines that the container writes, from a thread.
    """

    definition: Mapping[str, object]
    environment: Mapping[str, str]
    unpack: Callable[[Path], None]
    log: Callable[[Sequence[str]], None]

    @property
    def key(self) -> str:
        """SHA-256 of the definition."""
        return hashlib.sha256(json.dumps(self.definition, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class _Container:
    """One package, extracted and served.

    Attributes:
        server: its server; None before the first start.
        users: requests in progress.
        last_use: a number that grows with every use of any container.
        stopped: it was stopped, to make room or with the others, and must not be started again.
        starting: held while it starts.
    """

    server: ModelServer | None = None
    users: int = 0
    last_use: int = 0
    stopped: bool = False
    starting: threading.Lock = field(default_factory=threading.Lock)

    def start(self, package: Package, requirements: Path) -> ModelServer:
        """Start the server, and stop the one that ran before.

        Args:
            package: what it serves.
            requirements: the folder for what packages require.

        Raises:
            StartError: the package cannot be extracted, or the server does not start.
        """
        if self.server is not None:
            self.server.stop()
        server = self.server = ModelServer(package.environment, package.log)  # from here on, `stop` stops it
        try:
            # Another thread may have stopped the container while this one waited for `starting`.
            problem = "the container was stopped" if self.stopped else _started(package, server, requirements)
        except BaseException:
            server.stop()
            raise
        if problem:
            server.stop()
            raise StartError(problem)
        return server

    def stop(self) -> None:
        """Stop the server for good."""
        self.stopped = True
        if self.server is not None:
            self.server.stop()


def _started(package: Package, server: ModelServer, requirements: Path) -> str | None:
    """Extract a package, install what it requires and start its server; None if that worked, otherwise what went wrong."""
    if problem := _extract(package, server):
        return problem
    file = server.package / "code" / "requirements.txt"
    try:
        found = overlay.prepare(file, model_server.python(), requirements, lambda text: package.log([text]))
    except UserError as error:
        return "\n".join([error.message, *error.details])
    return server.start(found.folder if found else None)


def _extract(package: Package, server: ModelServer) -> str | None:
    """Extract a package into its server's folder; None if that worked, otherwise the message of the image."""
    try:
        package.unpack(server.package)
    except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
        return f"Failed to extract model data archive: {error}"
    return None


class Containers:
    """The running containers of one owner, who stops them. Safe to use from several threads.

    If too many would run, the least recently used one without requests in progress is stopped.
    """

    def __init__(self, requirements: Path | None = None) -> None:
        """Nothing runs yet.

        Args:
            requirements: the folder for what packages require; None for one of its own, which `stop` removes.
        """
        self._requirements = requirements
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()
        self._running: dict[str, _Container] = {}
        self._uses = 0

    def invoke(self, package: Package, request: InferenceRequest) -> tuple[int, bytes]:
        """Send a request to a package, which is extracted and started if it is not running.

        Returns:
            Status and body of its response.

        Raises:
            StartError: the package could not be extracted or did not start.
            TimeoutError: no response in time.
            OSError: the connection broke.
        """
        container = self._acquire(package.key)
        try:
            with container.starting:
                server = container.server
                if server is None or not server.alive():
                    server = container.start(package, self._folder())
            return server.post(request)
        finally:
            with self._lock:
                container.users -= 1

    def _folder(self) -> Path:
        with self._lock:
            if self._requirements is None and self._own is None:
                self._own = tempfile.TemporaryDirectory(prefix="requirements-")
            return self._requirements or Path(self._own.name if self._own else "")

    def _acquire(self, key: str) -> _Container:
        """The container of a package, with one more user; others are stopped to make room."""
        with self._lock:
            container = self._running.setdefault(key, _Container())
            container.users += 1
            self._uses += 1
            container.last_use = self._uses
            unused = sorted((c.last_use, k) for k, c in self._running.items() if c.users == 0)
            extra = [self._running.pop(k) for _, k in unused[: max(0, len(self._running) - _MAX_RUNNING)]]
        for other in extra:
            other.stop()
        return container

    def drop(self, key: str) -> None:
        """Stop the container of a package, if it runs; the next request for it starts it again."""
        with self._lock:
            container = self._running.pop(key, None)
        if container:
            container.stop()

    def stop(self) -> None:
        """Stop all containers; requests in progress fail, and the next request for a package starts it again."""
        with self._lock:
            running = list(self._running.values())
            self._running.clear()
            own, self._own = self._own, None
        for container in running:
            container.stop()
        if own:
            own.cleanup()
