"""Reads files of the Hub from its Xet storage, by the range streams of hf_xet.

hf_xet compares no hash with the content, and sometimes a stream that failed ends as if it were whole: here the bytes are
counted, and whoever reads them hashes them. Its own retries take minutes; here a stream gets two short ones, the rest is
done as for every other request. Streams of one session wait for readers of others while its buffer is full; here it never is,
since streams are short. So all readers share a session, with its threads (one for each processor) and its connections.
"""

from __future__ import annotations

import ctypes
import re
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from sagepack import workers
from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import SagepackError
from sagepack.hub.http import CHUNK, CONNECT_SECONDS
from sagepack.hub.ranges import Range
from sagepack.hub.responses import RESPONSE_BYTES, absolute
from sagepack.hub.sockets import READ_SECONDS
from sagepack.retry import CancelledError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagepack.hub.http import HttpPool
    from sagepack.hub.ranges import RangeQueue
    from sagepack.hub.refusals import HubRequest
    from sagepack.retry import RetryPolicy

# Less than this is read from the CDN: it needs one request, the storage needs two.
SMALLEST = 4 << 20
# Of a stream, all of which is in memory when it has arrived: hf_xet gives nothing of a term before that, and fetches a term
# only as far as somebody asks for it.
_STREAM = 4 << 20
_AHEAD = 2  # streams of a reader: one arrives, the next is on its way to it; asking takes two round trips
# After so many failures in a row everything else is read from the CDN; after the first, if no byte has come from the storage
# yet and it has not answered: a firewall that drops everything costs half a minute each time.
_ATTEMPTS = 3
_SPARE_SECONDS = 60  # that a token must still be good for
_NEVER = 1 << 40  # hf_xet would refuse a token in its last seconds
_POLL = 0.05  # seconds
# To wait for a piece: hf_xet itself is content with a byte now and then.
_PIECE_SECONDS = 300.0
_CONFIG = {
    "client.retry_max_attempts": 2,
    "client.retry_base_delay": "500ms",
    "client.read_timeout": f"{READ_SECONDS:.0f}s",
    "client.connect_timeout": f"{CONNECT_SECONDS:.0f}s",
    # There are never more streams than their readers want: let all of them go on.
    "client.ac_initial_download_concurrency": 64,
    "client.ac_max_download_concurrency": 64,
    "reconstruction.download_buffer_size": "1gb",
    "telemetry.enabled": False,
}
_M_ARENA_MAX = -8  # of malloc.h
_HASH = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,19}")
_STATUS = re.compile(r"\(([45][0-9]{2}) ")


class XetUnavailableError(Exception):
    """The storage cannot be used: the CDN has to be asked."""


@dataclass(frozen=True)
class XetFile:
    """The name of a content in Xet storage, and its size in bytes."""

    hash: str
    size: int

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> XetFile | None:
        """What the address of a file in the repository says about it; None if it is not in Xet storage."""
        name, size = headers.get("X-Xet-Hash", ""), headers.get("X-Linked-Size", "")
        return cls(name, int(size)) if _HASH.fullmatch(name) and _SIZE.fullmatch(size) else None


class _Answer(msgspec.Struct, rename="camel"):
    access_token: str
    exp: int
    cas_url: str


@dataclass(frozen=True, eq=False)
class _Store:
    """What a token gives access to, until `expires` (Unix seconds)."""

    group: Any
    expires: int

    @classmethod
    def open(cls, url: str, answer: _Answer) -> _Store:
        """A session of hf_xet.

        Raises:
            RetryableError: hf_xet refuses.
        """
        import hf_xet

        session = hf_xet.XetSession(hf_xet.XetConfig().with_config(_CONFIG))
        try:
            group = session.new_download_stream_group(
                endpoint=url, token=answer.access_token, token_expiry_unix_secs=_NEVER
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise _failure(error) from None
        return cls(group, answer.exp)


class XetReader:
    """Reads from the storage of one Hub. Threads may share it.

    Args:
        pool: connections to the Hub.
        retry: how often a stream is opened again; its `notify` is told once that the storage is not used any more.
    """

    def __init__(self, pool: HttpPool, retry: RetryPolicy) -> None:
        _share_arenas()
        self._pool, self._retry = pool, retry
        self._lock, self._asking = threading.Lock(), threading.Lock()
        self._stores: dict[tuple[str, str], _Store] = {}
        self._is_usable, self._has_worked = True, False

    @property
    def is_usable(self) -> bool:
        """Whether the storage may be asked: hf_xet is here, `HF_HUB_DISABLE_XET` is not set, and nothing has failed for good."""
        from huggingface_hub import constants

        # There is no hf_xet for some processors, so that huggingface_hub does without.
        return self._is_usable and not constants.HF_HUB_DISABLE_XET and find_spec("hf_xet") is not None

    def read(
        self, request: HubRequest, file: XetFile, queue: RangeQueue, stop: threading.Event | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """The bytes of ranges of a file with their offsets, in chunks of at most 256 KiB.

        Raises:
            XetUnavailableError: the storage has refused, failed several times in a row, or has a shorter file. What was not
                read is in the queue.
            CancelledError: `stop` was set.
        """
        retries, failures = self._retry.begin(request.where, stop), 0
        while True:
            with retries:
                try:
                    for offset, chunk in self._attempt(request, file, queue, stop):
                        failures, self._has_worked = 0, True
                        retries.progressed(len(chunk))
                        yield offset, chunk
                except RetryableError as error:
                    failures += 1
                    if failures == _ATTEMPTS or (isinstance(error, _BrokenError) and not self._has_worked):
                        raise self._give_up(request, str(error)) from None
                    raise
                return

    def _give_up(self, request: HubRequest, reason: str) -> XetUnavailableError:
        with self._lock:
            is_first, self._is_usable = self._is_usable, False
        if is_first and self._retry.notify:
            self._retry.notify(f"{request.where}: {reason}; reading from the Hub's CDN instead of its Xet storage")
        return XetUnavailableError(reason)

    def _attempt(
        self, request: HubRequest, file: XetFile, queue: RangeQueue, stop: threading.Event | None
    ) -> Iterator[tuple[int, bytes]]:
        """The bytes of all ranges, by one stream after the other, until one fails."""
        if not self._is_usable:
            raise XetUnavailableError
        store, begun = self._store(request), deque[_Stream]()
        try:
            while True:
                while len(begun) < _AHEAD and (span := queue.take(_STREAM)):
                    if span.end > file.size:
                        queue.give_back([span])
                        raise XetUnavailableError
                    begun.append(_Stream(store, file, span))
                if not begun:
                    return
                yield from begun[0].chunks(stop)
                begun.popleft()
        except RetryableError:
            # It may have been the token, which a stream that failed does not always say.
            with self._lock:
                if self._stores.get(_scope(request)) is store:
                    del self._stores[_scope(request)]
            raise
        finally:
            queue.give_back([stream.left for stream in begun])

    def _store(self, request: HubRequest) -> _Store:
        """The storage, by a token for the files of a commit; it is asked for at the endpoint, wherever else the Hub may send us.

        Raises:
            XetUnavailableError: there is no such route, or its response is not valid.
            RetryableError: a failure that may not occur again.
        """
        with self._asking:
            store = self._stores.get(_scope(request))
            if store is None or store.expires - time.time() < _SPARE_SECONDS:
                repo, commit = _scope(request)
                route = f"{quote(repo)}/xet-read-token/{quote(commit, safe='')}"
                store = self._ask(f"{self._pool.endpoint}/api/models/{route}", request)
                with self._lock:
                    self._stores[_scope(request)] = store
            return store

    def _ask(self, url: str, request: HubRequest) -> _Store:
        try:
            with self._pool.get(url, request) as (_, response):
                answer = decode_json(response.read(RESPONSE_BYTES, decode_content=False), _Answer)
            return _Store.open(absolute(answer.cas_url, url), answer)
        except (SagepackError, MalformedError) as error:
            reason = error.args[0] if error.args else "no reason"
            raise self._give_up(request, f"the Hub gave no token for its Xet storage ({reason})") from error


def _share_arenas() -> None:
    """Let all threads allocate from two arenas of glibc, if it is here.

    Otherwise each thread has one of its own, up to 8 for each processor, which keeps some megabytes of what was freed: 30 to
    40 MiB with the threads that read streams on 2 processors.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _scope(request: HubRequest) -> tuple[str, str]:
    return request.repo, request.revision or "main"


class _BrokenError(RetryableError):
    """A stream that ended for no reason that is known: hf_xet does not always say that there was no connection."""


def _failure(error: BaseException) -> RetryableError:
    """What hf_xet has raised, without its text, which has signed URLs."""
    if status := _STATUS.search(str(error)):
        return RetryableError(f"the Xet storage returned status {status[1]}")
    return _BrokenError("the connection to the Xet storage failed")


class _Stream:
    """A range of a file on its way.

    It is read in a thread of its own, since nothing ends the wait for a piece.

    Attributes:
        left: what nobody has read yet.
    """

    def __init__(self, store: _Store, file: XetFile, span: Range) -> None:
        self.left = span
        self._arrived: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
        threading.Thread(target=_read, args=(store, file, span, self._arrived), name="xet", daemon=True).start()

    def chunks(self, stop: threading.Event | None) -> Iterator[tuple[int, bytes]]:
        """What arrives, with its offsets, in chunks of at most 256 KiB.

        Raises:
            RetryableError: it failed, or ended early.
            CancelledError: `stop` was set, or the pool of this thread has given up.
        """
        while piece := self._next(stop):
            for at in range(0, len(piece), CHUNK):
                start, end = self.left
                chunk = piece[at : min(at + CHUNK, at + end - start)]
                self.left = Range(start + len(chunk), end)
                yield start, chunk
            del piece
        if self.left.length:
            raise _BrokenError(f"the stream of the Xet storage ended {self.left.length} bytes early")

    def _next(self, stop: threading.Event | None) -> bytes | None:
        until = time.monotonic() + _PIECE_SECONDS
        while True:
            with suppress(Empty):
                item = self._arrived.get(timeout=_POLL)
                if isinstance(item, BaseException):
                    raise _failure(item)
                return item
            if workers.has_given_up() or (stop and stop.is_set()):
                raise CancelledError
            if time.monotonic() > until:
                raise _BrokenError(f"the Xet storage sent too little in {_PIECE_SECONDS:.0f} s")


def _read(store: _Store, file: XetFile, span: Range, arrived: SimpleQueue[bytes | BaseException | None]) -> None:
    import hf_xet

    try:
        for piece in store.group.download_stream(hf_xet.XetFileInfo(file.hash, file.size), span.start, span.end):
            arrived.put(piece)
            del piece  # it is in the memory as long as anybody names it
    except BaseException as error:  # noqa: BLE001 - whatever hf_xet raises is for who reads
        arrived.put(error)
    else:
        arrived.put(None)
