"""The function that workers run, by whatever `concurrent.futures.Executor`: from the text of a unit to the text of an answer.

A worker needs this program in the same version, and in its own environment the credentials of AWS and of the Hub
(`AWS_*`, `HF_*`, or a role). Its clients are made once in a process. Nothing in a text is secret, in either direction.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.s3 import S3
from sagepack.aws.session import Aws, AwsConnection
from sagepack.engine.clients import Connections
from sagepack.errors import SagepackError
from sagepack.hub.client import Hub
from sagepack.package.revision import Revision
from sagepack.publish.upload.sources import HubFiles, LocalFiles, StoredContents, Tally
from sagepack.publish.upload.unit_text import Answer, Failure, UnitTask
from sagepack.publish.upload.unit_work import make_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.publish.upload.sources import Source
    from sagepack.publish.upload.unit_text import Services


class _Process:
    """What a worker process keeps: how it reaches the services, if its environment does not say so, and its clients."""

    def __init__(self) -> None:
        self.connections: Connections | None = None
        self.clients: dict[bytes, tuple[S3, Hub]] = {}
        self.lock = threading.Lock()


_process = _Process()


def connect(connections: Connections) -> None:
    """Let this process reach the services as its parent does, rather than by its own environment.

    For processes of this machine: the initializer of their pool hands it over, so that it is in no text.
    """
    _process.connections = connections


def unit(text: str) -> str:
    """Make a unit, and leave a record of it in S3.

    Args:
        text: of a `UnitTask`.

    Returns:
        The text of an `Answer`: the record, or an error of this program.
    """
    worker = f"{socket.gethostname()} (process {os.getpid()})"
    try:
        task = UnitTask.parse(text, worker)
        store, hub = _clients(task.services)
        fetched = Tally()
        record = make_unit(task, store, _sources(task, store, hub, fetched))
        return Answer(record=record, fetched=fetched.total).text()
    except SagepackError as error:
        return Answer(failure=Failure.of(error, worker)).text()


def _clients(services: Services) -> tuple[S3, Hub]:
    key = msgspec.json.encode(services)
    with _process.lock:
        if key not in _process.clients:
            given = _process.connections or own_connections(services)
            store = S3(Aws(given.aws).client("s3"), services.options)
            hub = Hub(given.hub_url, given.hub_token, source=given.hub_source)
            _process.clients[key] = store, hub
        return _process.clients[key]


def own_connections(services: Services) -> Connections:
    """How a worker reaches the services by its own environment."""
    return Connections(AwsConnection(services.region), services.hub, hub_source=services.hub_source)


def _sources(task: UnitTask, store: S3, hub: Hub, fetched: Tally) -> list[Source]:
    """Where the contents of a unit come from: this machine, archives in S3, the Hub, whose bytes are counted."""
    new = [(member, member.value.digest) for member in task.members if member.known is None]
    files = {digest: Path(member.file) for member, digest in new if member.file}
    stored = {digest: member.stored.value for member, digest in new if member.stored}
    sources: list[Source] = [LocalFiles(files), StoredContents(store, stored)]
    services = task.services
    if services.repo and services.commit:
        revision = Revision(services.repo, services.commit)

        def read(path: str, offset: int, length: int) -> Iterator[bytes]:
            return hub.open(revision, path, offset, length)

        sources.append(HubFiles(fetched.counting(read), {digest: member.hub for member, digest in new if member.hub}))
    return sources
