"""The containers of the sandbox's endpoints: packages that run under the image's serving stack, kept for the next request."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.sandbox.serving.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_KEPT = 2
"""How many run at once: each takes a gigabyte with the miniature. The least recently used ends for another."""


class StartError(Exception):
    """A container did not come up; the message has the end of its log."""


@dataclass
class _Container:
    """One package, extracted and served.

    Attributes:
        users: requests that are under way.
        used: a count that grows with every use of any container.
        ended: it was ended to make room or with the sandbox, and does not start again.
        starting: held while it starts.
    """

    server: ModelServer | None = None
    users: int = 0
    used: int = 0
    ended: bool = False
    starting: threading.Lock = field(default_factory=threading.Lock)


class Containers:
    """Running packages by what they were made of. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, _Container] = {}
        self._uses = 0

    def answer(
        self,
        definition: Mapping[str, object],
        unpack: Callable[[Path], None],
        environment: Mapping[str, str],
        request: tuple[bytes, str, str, float],
    ) -> tuple[int, bytes]:
        """Status and body that a package answers with; it is extracted and started if it is not running.

        Args:
            definition: what tells one package and its settings from another; JSON.
            unpack: puts the package into an empty folder.
            environment: of the container.
            request: content, media type, accepted media type, seconds it may take.

        Raises:
            StartError: the container did not come up.
            OSError: the connection broke, or (TimeoutError) nothing came in time; or `unpack` raised it.
        """
        container = self._take(hashlib.sha256(json.dumps(definition, sort_keys=True, default=str).encode()).hexdigest())
        try:
            with container.starting:
                server = container.server
                if server is None or not server.alive():
                    server = _start(container, unpack, environment)
            return server.post(*request)
        finally:
            with self._lock:
                container.users -= 1

    def _take(self, key: str) -> _Container:
        """The container of a key, made if need be, with one user more; others are ended to make room."""
        with self._lock:
            container = self._held.get(key)
            if container is None:
                container = self._held[key] = _Container()
            container.users += 1
            self._uses += 1
            container.used = self._uses
            idle = sorted((k for k, c in self._held.items() if c.users == 0), key=lambda k: self._held[k].used)
            surplus = [self._held.pop(k) for k in idle[: max(0, len(self._held) - _KEPT)]]
        for other in surplus:
            _end(other)
        return container

    def stop(self) -> None:
        """End them all; requests under way fail."""
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
        for container in held:
            _end(container)


def _start(container: _Container, unpack: Callable[[Path], None], environment: Mapping[str, str]) -> ModelServer:
    if container.server is not None:
        container.server.stop()
    server = container.server = ModelServer(environment)  # from here on, `_end` ends it
    if container.ended:
        server.stop()
        raise StartError("the container was ended")
    try:
        unpack(server.package)
        problem = server.start()
    except BaseException:
        server.stop()
        raise
    if problem:
        server.stop()
        raise StartError(problem)
    return server


def _end(container: _Container) -> None:
    container.ended = True
    if container.server is not None:
        container.server.stop()
