"""Who may ask the sandbox's servers: programs of this machine, never a web page.

A web page that the user has open can send requests to any port of 127.0.0.1. Its browser says so in `Origin` or
`Sec-Fetch-Site`, and asks with OPTIONS before it sends what no HTML form could send. A page whose own host name resolves to
127.0.0.1 (DNS rebinding) sends neither, but it sends that name as `Host`. Who has the credentials is asked later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def loopback(port: int) -> set[str]:
    """The values of `Host` by which a server on a port of 127.0.0.1 is addressed."""
    return {f"127.0.0.1:{port}", f"localhost:{port}"}


def refusal(method: str, target: str, headers: Mapping[str, str], hosts: Collection[str]) -> str | None:
    """Why a request is not answered; None if it may be.

    Args:
        method: HTTP method.
        target: the request target, as it came.
        headers: names in lower case -> values; values of a header that came twice are joined by commas.
        hosts: the values of `Host` that are this server's.
    """
    host = headers.get("host", "")
    if host.lower() not in hosts or not target.startswith("/"):
        return f"the sandbox answers at {' and '.join(sorted(hosts))} only, not at {host[:100]!r}"
    if method == "OPTIONS" or "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
        return "the sandbox does not answer web pages"
    return None
