"""The pools of threads that work is done in: after the first failure nothing new begins, and nothing waits.

And the memory that they may take together.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL = 0.1  # seconds
# The most memory that a container may use (Linux, "Control Group v2", memory.max, and its place in version 1).
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class _Here(threading.local):
    """Of a thread of a pool.

    Attributes:
        stops: what is set when that pool, or one whose thread made it, gives up.
        sharers: how many threads divide the memory of the command among them.
    """

    stops: tuple[threading.Event, ...] = ()
    sharers: int = 1


_here = _Here()


@contextmanager
def worker_pool(count: int, name: str, *, sharers: int = 1, grace: float | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing new once something went wrong, and end what they `pause` for.

    Args:
        count: most threads.
        name: of the threads, for debuggers.
        sharers: how many of them divide the memory of the command among them.
        grace: seconds that the threads get to end once something went wrong; None waits for their end.
    """
    stops, parts = (*_here.stops, threading.Event()), _here.sharers * sharers

    def enter() -> None:
        _here.stops, _here.sharers = stops, parts

    pool = ThreadPoolExecutor(count, name, enter)
    try:
        yield pool
        pool.shutdown(wait=True)
    except BaseException:
        stops[-1].set()
        ending = threading.Thread(target=partial(pool.shutdown, wait=True, cancel_futures=True), daemon=True)
        ending.start()
        ending.join(grace)
        raise


def pause(seconds: float) -> None:
    """Sleep. In a thread of a pool it ends when the pool gives up.

    Raises:
        CancelledError: the pool has given up: nobody needs the result any more.
    """
    if not _here.stops:
        time.sleep(seconds)
        return
    end = time.monotonic() + seconds
    while True:
        if has_given_up():
            raise CancelledError
        left = end - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, _POLL))


def has_given_up() -> bool:
    """Whether this is a thread of a pool that has given up: nobody needs the result any more."""
    return any(stop.is_set() for stop in _here.stops)


def memory_share() -> int:
    """The bytes that a command may hold of what it moves: a quarter of the memory of the machine, or of its container.

    In a thread that divides them with others (`worker_pool`), its part.
    """
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(path.read_text()))
    return min(limits) // 4 // _here.sharers
