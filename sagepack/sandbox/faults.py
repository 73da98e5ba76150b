"""Fault injection: what goes wrong at a server of the sandbox, set by tests directly or over HTTP, and its log of requests."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

Kind = Literal[
    "cut",
    "status",
    "corrupt",
    "truncate",
    "ignore_range",
    "latency",
    "rate",
    "expire",
    "link_lifetime",
    "gate",
    "ungate",
    "private",
    "missing_revision",
    "no_xet",
    "unsafe",
    "unscanned",
    "page",
    "drop",
    "expired_login",
]

_LOGGED = 20_000


@dataclass
class Fault:
    """One rule of what goes wrong with which requests.

    Attributes:
        kind: what goes wrong; each kind has a method of `Faults` that describes it.
        path: pattern (`fnmatch`) of the request's path, or of `owner/name` for faults of a repository.
        method: HTTP method, or `*`.
        times: how many more requests it affects; None means no limit.
        value: bytes, bytes per second, seconds, entries or a status, depending on the kind.
        retry_after: seconds, sent as the `Retry-After` header with a status; None sends no header.
        after: how many requests that it would affect it lets through first.
    """

    kind: Kind
    path: str = "*"
    method: str = "*"
    times: int | None = None
    value: float = 0
    retry_after: int | None = None
    after: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown kind of fault {self.kind!r}; known are {', '.join(get_args(Kind))}")


@dataclass(frozen=True)
class LoggedRequest:
    """One request that a server responded to.

    Attributes:
        method: HTTP method.
        path: path, without the query.
        range: value of the `Range` header or of `x-amz-copy-source-range`, if any.
        status: status of the response.
        sent: bytes of the response's body; counted by the Hub only.
        received: bytes of the request's body, before any decoding.
        query: the query, not decoded.
    """

    method: str
    path: str
    range: str | None
    status: int
    sent: int = 0
    received: int = 0
    query: str = ""


class Faults:
    """The faults of a server and its log of requests. Safe to use from several threads.

    An LFS file is served in two steps: `/owner/name/resolve/<commit>/<file>` redirects to
    `/_cdn/owner/name/<commit>/<file>` at another origin; patterns such as `*/unet/*` match both. From Xet storage it comes in
    three: `/api/models/owner/name/xet-read-token/<commit>` gives a token, `/_xet/v2/reconstructions/<hash>` (or `v1`) the
    signed URLs of xorbs, `/_xet/xorbs/owner/name/<commit>/<number>/<file>`, which those patterns match too.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._log: deque[LoggedRequest] = deque(maxlen=_LOGGED)
        self._lock = threading.Lock()

    def cut(self, path: str = "*", *, after: int = 0, times: int | None = 1) -> None:
        """Close the connection after `after` bytes of a body that is longer."""
        self.add(Fault("cut", path, times=times, value=after))

    def status(
        self, path: str, *codes: int, retry_after: int | None = None, times: int | None = 1, method: str = "*"
    ) -> None:
        """Respond with each of `codes` in turn (each `times` times), then without this fault."""
        for code in codes:
            self.add(Fault("status", path, method, times, code, retry_after))

    def corrupt(self, path: str = "*", *, at: int = 0, times: int | None = None) -> None:
        """Flip the bits of the byte at offset `at` of a file, in every body that includes it, xorbs too."""
        self.add(Fault("corrupt", path, times=times, value=at))

    def truncate(self, path: str = "*", *, keep: int, times: int | None = 1) -> None:
        """Send only the first `keep` bytes of a longer body, with headers that fit them: the response looks complete."""
        self.add(Fault("truncate", path, times=times, value=keep))

    def ignore_range(self, path: str = "*", *, times: int | None = None) -> None:
        """Respond to a range request with status 200 and the whole file."""
        self.add(Fault("ignore_range", path, times=times))

    def latency(self, seconds: float, path: str = "*", *, times: int | None = None) -> None:
        """Wait this long before responding."""
        self.add(Fault("latency", path, times=times, value=seconds))

    def rate(self, bytes_per_second: float, path: str = "*") -> None:
        """Send each body at no more than this rate."""
        self.add(Fault("rate", path, value=bytes_per_second))

    def expire(self, path: str = "*", *, times: int | None = 1) -> None:
        """Reject signed URLs as expired when they are used, with the CDN's response (403); tokens of Xet storage with 401."""
        self.add(Fault("expire", path, times=times))

    def link_lifetime(self, seconds: float, path: str = "*") -> None:
        """Make signed URLs and tokens of Xet storage expire this long after they were created, instead of after an hour."""
        self.add(Fault("link_lifetime", path, value=seconds))

    def no_xet(self, repository: str = "*") -> None:
        """Serve a repository as a mirror that knows nothing of Xet storage."""
        self.add(Fault("no_xet", repository))

    def unsafe(self, path: str) -> None:
        """Say that the Hub's own scan found files unsafe: those that a pattern of `owner/name/path` matches."""
        self.add(Fault("unsafe", path))

    def unscanned(self, path: str = "*") -> None:
        """Say that the Hub's own scan has yet to look at files: those that a pattern of `owner/name/path` matches."""
        self.add(Fault("unscanned", path))

    def page(self, entries: int) -> None:
        """List trees in pages of this many entries, instead of 1000, or 50 with `expand`."""
        self.add(Fault("page", value=entries))

    def gate(self, repository: str) -> None:
        """Require a token with access for the files of a repository."""
        self.add(Fault("gate", repository))

    def ungate(self, repository: str) -> None:
        """Serve the files of a gated repository without a token."""
        self.add(Fault("ungate", repository))

    def private(self, repository: str) -> None:
        """Hide a repository from requests without a token with access."""
        self.add(Fault("private", repository))

    def missing_revision(self, repository: str) -> None:
        """Respond as if a repository had no revision."""
        self.add(Fault("missing_revision", repository))

    def drop(self, path: str = "*", *, after: int = 0, times: int | None = None) -> None:
        """Close the connection without a response, as a network that fails; AWS only."""
        self.add(Fault("drop", path, times=times, after=after))

    def expired_login(self, *, after: int = 0, times: int | None = None) -> None:
        """Refuse requests since the credentials have expired; AWS only."""
        self.add(Fault("expired_login", times=times, after=after))

    def add(self, fault: Fault) -> None:
        """Add a fault; of several that match a request, the one that was added first applies."""
        with self._lock:
            self._faults.append(fault)

    def end(self) -> None:
        """Remove all faults; the log stays."""
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Remove all faults and empty the log."""
        with self._lock:
            self._faults.clear()
            self._log = deque(maxlen=_LOGGED)

    def find(self, kind: Kind, path: str, method: str = "*") -> Fault | None:
        """The first fault of a kind for a request; its count stays as it is."""
        with self._lock:
            return self._find(kind, path, method)

    def happen(self, kind: Kind, path: str, method: str = "*") -> Fault | None:
        """The first fault of a kind for a request; if its number of times is limited, it is reduced by one."""
        with self._lock:
            fault = self._find(kind, path, method)
            if fault and fault.after:
                fault.after -= 1
                return None
            if fault and fault.times is not None:
                fault.times -= 1
            return fault

    def _find(self, kind: Kind, path: str, method: str) -> Fault | None:
        for fault in self._faults:
            applies = fault.kind == kind and fault.method in {"*", method} and fnmatchcase(path, fault.path)
            if applies and fault.times != 0:
                return fault
        return None

    def begin(self) -> deque[LoggedRequest]:
        """The log for a request that begins now. `clear` starts a new log, so that earlier requests do not appear in it."""
        return self._log

    def record(self, request: LoggedRequest, log: deque[LoggedRequest]) -> None:
        """Add a request to the log that `begin` returned for it, before the last byte of its response is sent."""
        log.append(request)

    @property
    def log(self) -> list[LoggedRequest]:
        """The requests since the last `clear`, oldest first; at most 20,000."""
        return list(self._log)

    def document(self) -> list[dict[str, Any]]:
        """The faults that can still happen, as a JSON document."""
        with self._lock:
            return [asdict(fault) for fault in self._faults if fault.times != 0]
