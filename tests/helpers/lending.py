"""Clients of the sandbox's AWS that one test after the other borrows.

A session of boto3 takes 5 ms of CPU time, each of its clients 3 ms, and the first requests of a client another few. A project makes
about eight clients for every call of it, and what is left of them keeps the garbage collector busy for as long again.

A client is lent to one session at a time, and comes back as it was made: without what was registered with it, with its whole
quota of retries, and without what it has learned about the regions of buckets.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from sagepack.aws.session import Aws, AwsConnection

if TYPE_CHECKING:
    from collections.abc import Hashable

_MOST = 6  # clients that are kept for one purpose: those of a test that makes many would only fill the memory
_ATTRIBUTES = ("retries", "connect_timeout", "read_timeout")  # of the configuration of a client, where sessions differ

_idle: defaultdict[Hashable, list[_Client]] = defaultdict(list)
_lent: list[_Client] = []


def lend(aws: Aws) -> Aws:
    """Let a session for the sandbox borrow its clients, until the test ends."""
    aws._session = type(aws._session)(aws.connection)  # none that other commands of this process share
    aws._session.__dict__["boto"] = _Borrower(aws.connection)
    return aws


def take_back() -> None:
    """Take back what was lent: the test has ended."""
    while _lent:
        _lent.pop().end()


@cache
def _maker(connection: AwsConnection) -> Any:
    return Aws(connection)._session.boto


class _Borrower:
    """Stands for a boto3 session; `events` is for what is registered with clients that are made from then on."""

    def __init__(self, connection: AwsConnection) -> None:
        self.events = _Events()
        self._connection = connection

    def client(self, service: str, **how: Any) -> Any:
        settings = {name: getattr(how["config"], name) for name in _ATTRIBUTES}
        variables = sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
        purpose = (self._connection, service, repr(settings), *variables)
        idle = _idle[purpose]
        lent = idle.pop() if idle else _Client(_maker(self._connection).client(service, **how), purpose)
        _lent.append(lent)
        for event, handler in self.events.registered:
            lent.client.meta.events.register(event, handler)
        return lent.client

    def __getattr__(self, name: str) -> Any:
        return getattr(_maker(self._connection), name)


class _Events:
    """The events of a session."""

    def __init__(self) -> None:
        self.registered: list[tuple[str, Any]] = []

    def register(self, event: str, handler: Any) -> None:
        self.registered.append((event, handler))


class _Client:
    """A client that is lent and comes back."""

    def __init__(self, client: Any, purpose: Hashable) -> None:
        from botocore.retries.quota import RetryQuota  # noqa: PLC0415 - unit tests do not wait for it

        self.client, self._purpose = client, purpose
        self._events, self._register = client.meta.events, client.meta.events.register
        self._registered: list[tuple[Any, ...]] = []
        self._events.register = self._note
        service = client.meta.service_model.service_id.hyphenize()
        owners = [owner for event in ("after-call", "needs-retry") for owner in self._owners(f"{event}.{service}")]
        (self._quota,) = {quota for each in owners if isinstance(quota := getattr(each, "_quota", None), RetryQuota)}
        self._regions = [each._cache for each in owners if type(each).__name__ == "S3RegionRedirectorv2"]

    def _owners(self, event: str) -> list[Any]:
        """The objects whose methods handle an event."""
        handlers = self._events._emitter._handlers.prefix_search(event)
        return [owner for each in handlers if (owner := getattr(each, "__self__", None)) is not None]

    def _note(self, event: str, handler: Any, unique_id: str | None = None) -> None:
        self._registered.append((event, handler, unique_id))
        self._register(event, handler, unique_id)

    def end(self) -> None:
        """Come back."""
        while self._registered:
            self._events.unregister(*self._registered.pop())
        self._quota.release(self._quota.INITIAL_CAPACITY)
        for known in self._regions:
            known.clear()
        idle = _idle[self._purpose]
        if len(idle) < _MOST:
            idle.append(self)
