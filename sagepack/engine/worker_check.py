"""What a worker of a cluster must have before anything is sent, and the check of it, which runs on the worker.

The check is a function from text to text of an importable module, as the work is: no code and no secret travels. The worker
uses the credentials of its own environment.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import Aws, CredentialsError
from sagepack.deploy.preflight.questions import PATIENCE
from sagepack.engine.unit import own_connections
from sagepack.errors import SagepackError
from sagepack.hub.client import Hub
from sagepack.package.archive.layout import FORMAT
from sagepack.package.revision import Revision
from sagepack.publish.keys import PackageFormat
from sagepack.publish.upload.unit_text import Services
from sagepack.text import format_bytes, printable
from sagepack.version import __version__
from sagepack.workers import memory_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.engine.clients import Clients
    from sagepack.publish.keys import Package

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_POLICY_TASK = "sagepack policy --for worker"
_POLICY = f"`{_POLICY_TASK}` prints the policy that it needs"
_OWN_MEMORY = 100 << 20  # bytes of a worker that holds no part: measured 48 MiB, and what its requests take


class Demand(Struct, frozen=True):
    """What a worker must have.

    Attributes:
        services: how it reaches S3 and the Hub, with credentials of its own.
        target: `s3://bucket/key` of the object whose parts it sends.
        file: path of a file of the model that it must be able to read; None if it has to read none.
        memory: bytes of the parts that it holds at a time.
        sagepack, format, python: versions of this program, of its archives, and of Python (`3.12`).
    """

    services: Services
    target: str
    file: str | None = None
    memory: int = 0
    sagepack: str = __version__
    format: int = FORMAT
    python: str = _PYTHON


class Problem(Struct, frozen=True):
    """What a worker lacks, and what to do about it."""

    message: str
    fix: str | None = None


class Report(Struct, frozen=True):
    """What a worker says: the name of its machine, and what it lacks."""

    host: str
    problems: tuple[Problem, ...]


async def check(text: str) -> str:
    """Check this worker: a `Demand` in, a `Report` out. The loop of the worker, which tells the scheduler that it lives, goes on."""
    return await asyncio.to_thread(check_here, text)


def check_here(text: str) -> str:
    """As `check`, for an engine without a loop."""
    demand = msgspec.json.decode(text, type=Demand)
    # With another version nothing else is as it should be.
    problems = tuple(_versions(demand)) or tuple(_services(demand))
    return msgspec.json.encode(Report(socket.gethostname(), problems)).decode()


def services_of(clients: Clients, region: str, revision: Revision | None) -> Services:
    """How workers reach the services that this machine reaches by `clients`.

    Args:
        clients: of this machine.
        region: of the bucket.
        revision: of the model; None if it is not on the Hub.
    """
    options, connections = clients.s3.options, clients.connections
    return Services(
        region=region,
        bucket=options.bucket,
        owner=options.owner,
        sse=options.sse,
        kms_key_id=options.kms_key_id,
        storage_class=options.storage_class,
        tags=dict(options.tags),
        hub=connections.hub_url,
        hub_source=connections.hub_source,
        repo=revision.repo if revision else "",
        commit=revision.commit if revision else None,
    )


def demand_of(services: Services, package: Package, file: str | None, memory: int = 0) -> Demand:
    """What whoever makes units of a package must have; the other arguments are those of `Demand`."""
    model = package.model_uri
    target = model if package.format is PackageFormat.ARCHIVE else model.child(file or "config.json")
    return Demand(services, str(target), file, memory)


def installation(sagepack: str = __version__, python: str = _PYTHON) -> str:
    """What makes a worker fit; by default for this machine."""
    return f"`pip install 'sagepack[cluster]=={sagepack}'` in its image, under Python {python}"


def _versions(demand: Demand) -> Iterator[Problem]:
    install = installation(demand.sagepack, demand.python)
    if demand.sagepack != __version__:
        yield Problem(f"it has sagepack {__version__}, this machine {demand.sagepack}", install)
    elif demand.format != FORMAT:
        yield Problem(f"it makes archives of format {FORMAT}, this machine of {demand.format}", install)
    if demand.python != _PYTHON:
        yield Problem(f"it runs Python {_PYTHON}, this machine {demand.python}", install)


def _services(demand: Demand) -> Iterator[Problem]:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_problem_of, (_bucket, _hub), (demand, demand)))
    yield from (problem for problem in found if problem)
    own = 4 * memory_share()
    if own < demand.memory + _OWN_MEMORY:
        message = f"it has {format_bytes(own)} of memory, and its parts take {format_bytes(demand.memory)}"
        yield Problem(message, "give it more, or lower cluster.connections")


def _problem_of(ask: Callable[[Demand], None], demand: Demand) -> Problem | None:
    """What an error of this program says; any other is one too, or the other checks of this worker would be lost."""
    try:
        ask(demand)
    except CredentialsError as error:
        return Problem(error.message, f"give the worker a role, or AWS_* variables of its own; {_POLICY}")
    except SagepackError as error:
        where = f"{error.where}: " if error.where else ""
        return Problem(
            f"{where}{error.message}", error.fix and error.fix.replace("invoke policy --for publish", _POLICY_TASK)
        )
    except Exception as error:  # noqa: BLE001
        return Problem(printable(f"unexpected {type(error).__name__}: {error}"))
    return None


def _bucket(demand: Demand) -> None:
    """Parts can be sent to the key, and listed."""
    aws = Aws(own_connections(demand.services).aws).with_patience(PATIENCE)
    S3(aws.client("s3"), demand.services.options).try_upload(S3Uri.parse(demand.target))


def _hub(demand: Demand) -> None:
    """The repository is open for the worker's token, and a byte comes from the storage behind the Hub."""
    services = demand.services
    if demand.file is not None and services.commit is not None:
        hub = Hub(services.hub, source=services.hub_source)
        hub.check_access(services.repo)
        next(iter(hub.open(Revision(services.repo, services.commit), demand.file, 0, 1)), b"")
