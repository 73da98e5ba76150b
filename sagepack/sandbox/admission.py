"""Which requests the sandbox's servers accept at all: those of programs on this machine, never those of a web page.

A web page that is open in the user's browser can send requests to any port of 127.0.0.1. The browser then sets `Origin` or
`Sec-Fetch-Site`, and sends an OPTIONS request before any request that an HTML form could not make. A page whose own host
name resolves to 127.0.0.1 (DNS rebinding) causes neither, but its `Host` header has that name. Credentials are checked
later, by each server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def loopback(port: int) -> set[str]:
    """The accepted values of `Host` for a server that listens on `port` of 127.0.0.1."""
    return {f"127.0.0.1:{port}", f"localhost:{port}"}


def refusal(method: str, target: str, headers: Mapping[str, str], hosts: Collection[str]) -> str | None:
    """Why a request is rejected, as a message for the client; None if it is accepted.

    Args:
        method: HTTP method.
        target: the request target, not decoded.
        headers: names in lower case -> values; the values of a repeated header are joined by commas.
        hosts: the accepted values of `Host`, in lower case.
    """
    host = headers.get("host", "")
    if host.lower() not in hosts or not target.startswith("/"):
        return f"the sandbox accepts requests to {' and '.join(sorted(hosts))} only, not to {host[:100]!r}"
    if method == "OPTIONS" or "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
        return "the sandbox does not accept requests of web pages"
    return None
