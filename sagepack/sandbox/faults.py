"""What goes wrong on purpose: faults of the sandbox's servers, switched by tests in process or over HTTP."""

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
    "page",
]

_LOGGED = 20_000


@dataclass
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: what; each kind has a method of `Faults` that explains it.
        path: pattern (`fnmatch`) of the request's path, or of `owner/name` for faults of a repository.
        method: HTTP method, or `*`.
        times: how often it still happens; None for ever.
        value: bytes, seconds or a status, by kind.
        retry_after: seconds of a `Retry-After` header with a status; None sends none.
    """

    kind: Kind
    path: str = "*"
    method: str = "*"
    times: int | None = None
    value: float = 0
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(get_args(Kind))}")


@dataclass(frozen=True)
class Request:
    """One request that was answered.

    Attributes:
        method: HTTP method.
        path: path without the query.
        range: value of the `Range` header, or of the range of a copy, if any.
        status: status of the answer.
        sent: bytes of the body that were sent (by the Hub only).
        received: bytes of the request's body, as they came over the wire.
        query: the query, as it came.
    """

    method: str
    path: str
    range: str | None
    status: int
    sent: int = 0
    received: int = 0
    query: str = ""


class Faults:
    """The faults that are on, and the log of requests. Safe to use from several threads.

    A resolved LFS file is answered in two steps: `/owner/name/resolve/<commit>/<file>` redirects to
    `/_cdn/owner/name/<commit>/<file>` on another origin; patterns such as `*/unet/*` match both.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._log: deque[Request] = deque(maxlen=_LOGGED)
        self._lock = threading.Lock()

    def cut(self, path: str = "*", *, after: int = 0, times: int | None = 1) -> None:
        """Close the connection after `after` bytes of a body that is longer."""
        self.add(Fault("cut", path, times=times, value=after))

    def status(
        self, path: str, *codes: int, retry_after: int | None = None, times: int | None = 1, method: str = "*"
    ) -> None:
        """Answer with each of `codes` in turn (each `times` times) before answering properly again."""
        for code in codes:
            self.add(Fault("status", path, method, times, code, retry_after))

    def corrupt(self, path: str = "*", *, at: int = 0, times: int | None = None) -> None:
        """Flip the bits of the byte at offset `at` of a file, in every body that includes it."""
        self.add(Fault("corrupt", path, times=times, value=at))

    def truncate(self, path: str = "*", *, keep: int, times: int | None = 1) -> None:
        """Send only the first `keep` bytes of a longer body, in an answer that claims to be whole."""
        self.add(Fault("truncate", path, times=times, value=keep))

    def ignore_range(self, path: str = "*", *, times: int | None = None) -> None:
        """Answer a range request with status 200 and the whole file."""
        self.add(Fault("ignore_range", path, times=times))

    def latency(self, seconds: float, path: str = "*", *, times: int | None = None) -> None:
        """Wait before answering."""
        self.add(Fault("latency", path, times=times, value=seconds))

    def rate(self, bytes_per_second: float, path: str = "*") -> None:
        """Send each body no faster than this."""
        self.add(Fault("rate", path, value=bytes_per_second))

    def expire(self, path: str = "*", *, times: int | None = 1) -> None:
        """Refuse signed addresses as expired when they are used (403, as the CDN says it)."""
        self.add(Fault("expire", path, times=times))

    def link_lifetime(self, seconds: float, path: str = "*") -> None:
        """Let signed addresses expire this long after they were given out (an hour otherwise)."""
        self.add(Fault("link_lifetime", path, value=seconds))

    def page(self, entries: int) -> None:
        """List trees in pages of this many entries (1000 otherwise)."""
        self.add(Fault("page", value=entries))

    def gate(self, repository: str) -> None:
        """Ask for a token with access before giving out files of a repository."""
        self.add(Fault("gate", repository))

    def ungate(self, repository: str) -> None:
        """Give out files of a gated repository to everybody."""
        self.add(Fault("ungate", repository))

    def private(self, repository: str) -> None:
        """Hide a repository from everybody without a token with access."""
        self.add(Fault("private", repository))

    def missing_revision(self, repository: str) -> None:
        """Know no revision of a repository."""
        self.add(Fault("missing_revision", repository))

    def add(self, fault: Fault) -> None:
        """Switch a fault on, after those that are on already."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Switch all faults off and forget the log."""
        with self._lock:
            self._faults.clear()
            self._log = deque(maxlen=_LOGGED)

    def find(self, kind: Kind, path: str, method: str = "*") -> Fault | None:
        """The first fault of a kind that is on for a path, without counting it as having happened."""
        with self._lock:
            return self._find(kind, path, method)

    def happen(self, kind: Kind, path: str, method: str = "*") -> Fault | None:
        """The first fault of a kind that is on for a path; it happens once less from now on."""
        with self._lock:
            fault = self._find(kind, path, method)
            if fault and fault.times is not None:
                fault.times -= 1
            return fault

    def _find(self, kind: Kind, path: str, method: str) -> Fault | None:
        for fault in self._faults:
            if (
                fault.kind == kind
                and fault.times != 0
                and fault.method in {"*", method}
                and fnmatchcase(path, fault.path)
            ):
                return fault
        return None

    def begin(self) -> deque[Request]:
        """The log that a request which begins now belongs to: after a `clear`, one that nobody reads."""
        return self._log

    def record(self, request: Request, log: deque[Request]) -> None:
        """Add a request to the log that it belongs to; to be called before the last byte of its answer is sent."""
        log.append(request)

    @property
    def log(self) -> list[Request]:
        """The requests since the last `clear`, oldest first; at most 20,000."""
        return list(self._log)

    def document(self) -> list[dict[str, Any]]:
        """The faults that are on, as JSON."""
        with self._lock:
            return [asdict(fault) for fault in self._faults if fault.times != 0]
