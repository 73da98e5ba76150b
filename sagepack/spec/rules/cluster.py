"""Rules about the cluster: an address that can be one, TLS where others could listen, and files that are there."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sagepack.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import SpecView

_SCHEDULER, _TLS = ("cluster", "scheduler"), ("cluster", "tls")
_PORTS = range(1, 1 << 16)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `cluster`: the scheduler's address, the files of TLS, and that workers have anything to do."""
    if address := view.text(*_SCHEDULER):
        yield from _address(view, address)
        yield from _idle(view)
    for key in ("ca", "cert", "key"):
        if name := view.text(*_TLS, key):
            yield from _file(view, key, name)


def _address(view: SpecView, address: str) -> Iterator[Diagnostic]:
    """Whoever reaches a scheduler runs code on its workers, so others must not reach it, nor change what is sent to it."""
    scheme, port = address.partition("://")[0], address.rpartition(":")[2]
    if port.isdecimal() and int(port) not in _PORTS:
        yield Diagnostic(_SCHEDULER, f"{port} is no port", "a port is a number from 1 to 65535; Dask's own is 8786")
    elif scheme == "tcp" and view.get(*_TLS) is not None:
        fix = f"write tls{address.removeprefix('tcp')}, or remove cluster.tls"
        yield Diagnostic(_SCHEDULER, "there are files for TLS, and tcp:// is a connection without it", fix)
    elif scheme == "tcp" and view.get("cluster", "insecure") is not True and not _is_loopback(address):
        message = f"{address} is on another machine, and without TLS whoever reaches it runs code on its workers"
        fix = f"give scheduler and workers certificates and write tls{address.removeprefix('tcp')}; in a network that nobody else reaches, set cluster.insecure: true"
        yield Diagnostic(_SCHEDULER, message, fix)


def _is_loopback(address: str) -> bool:
    """Whether an address is one of this machine's own, which no other machine reaches."""
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name of DNS, or nothing that the schema lets pass
        return False


def _file(view: SpecView, key: str, name: str) -> Iterator[Diagnostic]:
    """A file that is not there is no error: who looks at an endpoint or rolls it back needs no cluster."""
    if name.startswith("~"):
        message = f"{name!r}: ~ is not expanded"
        yield Diagnostic((*_TLS, key), message, "write the path in full, or relative to the project")
    elif not (view.root / name).is_file():
        fix = "put it there before this machine publishes by the cluster"
        yield Diagnostic((*_TLS, key), f"there is no file {name!r} on this machine", fix, severity="warning")


def _idle(view: SpecView) -> Iterator[Diagnostic]:
    if view.text("model", "path"):
        message = "the model is in a folder (model.path), which the workers cannot read: this machine sends it"
        yield Diagnostic(_SCHEDULER, message, "publish the model on a Hub, or remove the cluster", severity="warning")
