"""Downloads one content: its ranges over several connections in any order, hashed in order while they arrive."""

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

    from sagepack.hub.client import Hub
    from sagepack.hub.hash_cache import HashCache
    from sagepack.hub.task import DownloadTask
    from sagepack.progress import Progress

# 32 MiB a request: at 100 ms of latency and 100 Mbit/s for each connection, sending requests costs 4 % of the time. At most
# so many bytes of each connection are not hashed yet.
_PIECES_PER_REQUEST = 8
_BUFFER = 1 << 20


class SequentialHasher:
    """Computes the digests of a partial file from its first byte to its last, while its pieces arrive in any order.

    It reads back what was just written, from the page cache. That costs 0.1 s for each GiB; in return no bytes are held in
    memory.

    Args:
        partial: the file.
        submit: runs a function in another thread, and handles its errors.
        stop: set it to end the work.
        done: called once, in such a thread, with SHA-256 and CRC-32 of the whole file.
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
        self._running = False
        self._lock = threading.Lock()

    def advance(self) -> None:
        """Hash further if the next piece is complete and no thread does so already; call it after each completed piece."""
        with self._lock:
            if self._running or not self._can_continue():
                return
            self._running = True
        self._submit(self._run)

    def _can_continue(self) -> bool:
        return self._position == self._partial.size or self._partial.has(self._position // PIECE)

    def _run(self) -> None:
        size, buffer = self._partial.size, memoryview(bytearray(_BUFFER))
        with self._partial.file.open("rb", buffering=0) as file:
            file.seek(self._position)
            while self._position < size:
                if not self._keep_running():
                    return  # from here on `advance` may start another thread
                end = min(self._position + PIECE, size)
                while self._position < end and not self._stop.is_set():
                    count = file.readinto(buffer[: end - self._position])
                    if not count:
                        raise OSError(0, "another program has shortened the file", str(self._partial.file))
                    self._digest.update(buffer[:count])
                    self._crc = crc32(buffer[:count], self._crc)
                    self._position += count
        # `_running` stays true, so that `done` is called once.
        self._done(Digest("sha256", self._digest.hexdigest()), self._crc)

    def _keep_running(self) -> bool:
        with self._lock:
            self._running = self._can_continue() and not self._stop.is_set()
            return self._running


@dataclass(frozen=True)
class DownloadContext:
    """What the downloads of several files share.

    Attributes:
        hub: where from.
        hash_cache: gets the digests of files that were downloaded.
        progress: gets messages about wrong content.
        connections: most connections at once, and the number of threads of `pool`.
        pool: threads that download.
        hashers: threads that compute digests.
        stop: set it to end all downloads.
    """

    hub: Hub
    hash_cache: HashCache
    progress: Progress
    connections: int
    pool: ThreadPoolExecutor
    hashers: ThreadPoolExecutor
    stop: threading.Event


class FileDownload:
    """One task, from its first request to the links in the snapshot folder.

    Attributes:
        done: completed when the content is in the cache; holds the error if it failed.
    """

    def __init__(self, task: DownloadTask, context: DownloadContext) -> None:
        self.done: Future[None] = Future()
        self._task, self._context = task, context
        self._advance: Callable[[int], None] = lambda _count: None
        self._had_wrong_content = False
        self._reset()

    def _reset(self) -> None:
        """Begin with the first byte."""
        context = self._context
        self._partial = Partial(self._task.cache.partial(self._task.file.etag), self._task.file.size)
        self._hasher = SequentialHasher(
            self._partial, lambda step: context.hashers.submit(self._run, step), context.stop, self._finish
        )

    def prepare(self) -> int:
        """Find the pieces that an earlier download has left; returns their bytes."""
        return self._partial.resume()

    def start(self, advance: Callable[[int], None]) -> None:
        """Begin to download the missing pieces; `advance` is called with the number of bytes as they arrive."""
        self._advance = advance
        self._hasher.advance()
        self._context.pool.submit(self._run, self._fetch_ranges, True)

    def _run(self, step: Callable[..., None], *arguments: object) -> None:
        """Run a step in a thread; its error ends the download."""
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
        """Download ranges of missing pieces until none is left.

        Args:
            probe: whether this is the first connection, which starts the others as soon as the server is seen to respect
                `Range`.
        """
        partial = self._partial
        source = self._task.cache.revision, self._task.file.path
        if probe and self._context.hub.in_xet(*source, partial.size, stop=self._context.stop):
            probe = self._start_others()
        if not self._fetch(partial, probe, self._limit):
            self._fetch(partial, False, lambda: None)

    def _limit(self) -> int:
        """Pieces of a range: fewer towards the end, so that all connections have enough to do until then."""
        return max(1, min(_PIECES_PER_REQUEST, self._partial.untaken // self._context.connections))

    def _start_others(self) -> bool:
        """Download over the other connections too; False, since no other one needs to start them again."""
        for _ in range(min(self._context.connections, self._partial.missing) - 1):
            self._context.pool.submit(self._run, self._fetch_ranges, False)
        return False

    def _fetch(self, partial: Partial, probe: bool, limit: Callable[[], int | None]) -> bool:
        """Download ranges; False if the server ignores `Range`, so that one request should get all missing pieces."""
        hub, source, stop = self._context.hub, (self._task.cache.revision, self._task.file.path), self._context.stop
        with partial.taken(limit) as spans, partial.writer(self._hasher.advance) as write:
            for offset, chunk in hub.ranges(*source, spans, stop=stop):
                if offset % PIECE == 0 and limit() and not hub.ranged(*source):
                    return False
                if probe:
                    probe = self._start_others()
                write(offset, chunk)
                self._advance(len(chunk))
        return True

    def _finish(self, digest: Digest, crc: int) -> None:
        """Move the complete file into the cache if its digest is that of the lock, else download it again, once.

        Raises:
            IntegrityError: the digest was wrong the second time.
        """
        task, file = self._task, self._partial.file
        if digest == task.file.digest:
            blob = task.cache.blob(task.file.etag)
            backdate_mtime(file)
            file.replace(blob)
            self._context.hash_cache.put(blob, digest, blob.stat(), crc32=crc)
            task.finish()
            self.done.set_result(None)
            return
        aside = task.set_aside(file)
        self._partial.forget()
        if self._had_wrong_content:
            raise IntegrityError(
                f"the Hub sent content with digest {digest} twice, the lock has {task.file.digest}",
                where=task.where,
                fix=f"the content is kept in {aside}; if the repository was changed on purpose, `invoke lock --update`",
            )
        self._context.progress.note(
            f"{task.where}: the content has {digest}, the lock has {task.file.digest}; downloading it again"
        )
        self._had_wrong_content = True
        self._advance(-task.file.size)
        self._reset()
        self._partial.resume()
        self.start(self._advance)
