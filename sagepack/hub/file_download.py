"""One content on its way: its ranges over several connections, hashed in order behind the front."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.files import backdate_mtime
from sagepack.hub.partial import PIECE, Partial
from sagepack.package.archive.crc32 import crc32
from sagepack.retry import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.hub.partial import Range
    from sagepack.hub.task import DownloadTask
    from sagepack.progress import Progress

# 32 MiB a request: at 100 ms of latency and 100 Mbit/s a connection, asking costs 4 %. Hashing lags behind the network by
# this much for each connection at most.
_PIECES_A_REQUEST = 8
_BUFFER = 1 << 20


class SequentialHasher:
    """The digest of a partial file, computed in order as its pieces become whole, in any order.

    It reads back what has just been written, from the page cache: 0.1 s for each GiB, which buys that ranges may arrive in
    any order and that nothing is held in memory.

    Args:
        partial: the file.
        submit: runs a function in a thread of its own, and cares for what goes wrong there.
        stop: ends the work.
        done: called once with SHA-256 and CRC-32 of the whole file, in such a thread.
    """

    def __init__(
        self,
        partial: Partial,
        submit: Callable[[Callable[[], None]], object],
        stop: threading.Event,
        done: Callable[[Digest, int], None],
    ) -> None:
        self._partial, self._submit, self._stop, self._done = partial, submit, stop, done
        self._digest, self._crc = hashlib.sha256(), 0
        self._position = 0
        self._busy = False
        self._lock = threading.Lock()

    def advance(self) -> None:
        """Go on if the next piece is whole and nobody is at it; call it whenever a piece became whole."""
        with self._lock:
            if self._busy or not self._ready():
                return
            self._busy = True
        self._submit(self._work)

    def _ready(self) -> bool:
        return self._position == self._partial.size or self._partial.has(self._position // PIECE)

    def _work(self) -> None:
        size, buffer = self._partial.size, memoryview(bytearray(_BUFFER))
        with self._partial.file.open("rb", buffering=0) as file:
            file.seek(self._position)
            while self._position < size:
                if not self._more():
                    return  # from here on another thread may be at it
                end = min(self._position + PIECE, size)
                while self._position < end and not self._stop.is_set():
                    count = file.readinto(buffer[: end - self._position])
                    if not count:
                        raise OSError(0, "another program has shortened the file", str(self._partial.file))
                    self._digest.update(buffer[:count])
                    self._crc = crc32(buffer[:count], self._crc)
                    self._position += count
        # It stays busy: `done` is called once.
        self._done(Digest("sha256", self._digest.hexdigest()), self._crc)

    def _more(self) -> bool:
        with self._lock:
            self._busy = self._ready() and not self._stop.is_set()
            return self._busy


@dataclass(frozen=True)
class DownloadContext:
    """What the flights of one download share.

    Attributes:
        hub: where from.
        hash_cache: learns the digests.
        progress: told of what goes wrong.
        connections: most connections at once, and the number of threads of `pool`.
        pool: threads to fetch in.
        hashers: threads to compute digests in.
        stop: ends all work.
    """

    hub: Hub
    hash_cache: HashCache
    progress: Progress
    connections: int
    pool: ThreadPoolExecutor
    hashers: ThreadPoolExecutor
    stop: threading.Event


class FileDownload:
    """One job from its first request to its link in the snapshot.

    Attributes:
        done: done when the content is in its place; holds what went wrong otherwise.
    """

    def __init__(self, job: DownloadTask, crew: DownloadContext) -> None:
        self.done: Future[None] = Future()
        self._job, self._crew, self._hub = job, crew, crew.hub
        self._add: Callable[[int], None] = lambda _count: None
        self._source = (job.cache.revision, job.file.path)
        self._again = False
        self._begin()

    def _begin(self) -> None:
        self._partial = Partial(self._job.cache.partial(self._job.file.etag), self._job.file.size)
        self._front = SequentialHasher(
            self._partial, lambda work: self._crew.hashers.submit(self._guard, work), self._crew.stop, self._judge
        )

    def prepare(self) -> int:
        """Find out what of the content is here; returns it in bytes."""
        return self._partial.resume()

    def start(self, add: Callable[[int], None]) -> None:
        """Begin to fetch what is missing, telling `add` of bytes."""
        self._add = add
        self._front.advance()
        self._crew.pool.submit(self._guard, self._fetch_ranges, True)

    def _guard(self, step: Callable[..., None], *arguments: object) -> None:
        """Run a step in a thread; what goes wrong ends the flight."""
        try:
            step(*arguments)
        except CancelledError:
            pass
        except OSError as error:
            self._fail(files.disk_error(error))
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def _fetch_ranges(self, probe: bool) -> None:
        """Fetch runs of missing pieces until none is left; the probe calls the others once ranges are seen to work."""
        partial = self._partial
        limit: int | None = max(1, min(_PIECES_A_REQUEST, partial.missing // self._crew.connections))
        while run := partial.take(limit):
            if not self._fill(partial, run, probe, limit):
                limit = None
            probe = False

    def _fill(self, partial: Partial, run: Range, probe: bool, limit: int | None) -> bool:
        """Fetch a run; False if the server ignores ranges, so that one request should take all that is missing."""
        first = True
        with partial.writer(run, self._front.advance) as write:
            for chunk in self._hub.open(*self._source, run.start, run.length, stop=self._crew.stop):
                if first and limit and not self._hub.ranged(*self._source):
                    return False
                if first and probe and limit:
                    self._call_others(partial.missing, limit)
                first = False
                write(chunk)
                self._add(len(chunk))
        return True

    def _call_others(self, missing: int, limit: int) -> None:
        for _ in range(min(self._crew.connections, -(-missing // limit)) - 1):
            self._crew.pool.submit(self._guard, self._fetch_ranges, False)

    def _judge(self, digest: Digest, crc: int) -> None:
        file = self._partial.file
        if digest != self._job.file.digest:
            self._set_aside(file, digest)
            return
        blob = self._job.cache.blob(self._job.file.etag)
        backdate_mtime(file)
        file.replace(blob)
        self._crew.hash_cache.put(blob, digest, blob.stat(), crc32=crc)
        self._job.finish()
        self.done.set_result(None)

    def _set_aside(self, file: Path, digest: Digest) -> None:
        """Keep the wrong bytes for people to look at, and fetch once more.

        Raises:
            IntegrityError: that was once more.
        """
        aside = self._job.set_aside(file)
        self._partial.forget()
        if self._again:
            raise IntegrityError(
                f"the Hub sent content with digest {digest} twice, the lock says {self._job.file.digest}",
                where=self._job.where,
                fix=f"what came is kept in {aside}; if the repository was meant to change, `invoke lock --update`",
            )
        self._crew.progress.note(f"{self._job.where}: {digest} came, the lock says {self._job.file.digest}; once more")
        self._again = True
        self._add(-self._job.file.size)
        self._begin()
        self._partial.resume()
        self.start(self._add)
