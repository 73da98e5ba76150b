"""What makes the units of an upload: any `concurrent.futures.Executor`, and processes of this machine as the one that is here."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sagepack.engine.unit import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from sagepack.engine.clients import Connections
    from sagepack.engine.worker_check import Demand


@dataclass(frozen=True)
class UnitPool:
    """An executor of units.

    Attributes:
        executor: opens it, for workers that have what they must have; called only where there is a unit to make.
        name: what the user named it by, for messages.
        count: units that it makes at a time, if that is known.
        reads_files: whether its workers run on this machine, and read the files that are here.
        connections: parts that each of them makes at a time, fewer where they are large.
    """

    executor: Callable[[Demand], AbstractContextManager[Executor]]
    name: str
    count: int | None = None
    reads_files: bool = False
    connections: int = 4


def processes(count: int, connections: Connections) -> UnitPool:
    """Processes of this machine, which pass the limit of one Python process.

    Args:
        count: how many.
        connections: how this process reaches the services; it is handed to each process when that begins.
    """
    return UnitPool(partial(_started, count, connections), f"--workers {count}", count, reads_files=True)


def given(executor: Executor) -> UnitPool:
    """An executor of the caller's, on whatever machines: its workers know the services by their own environment."""
    return UnitPool(lambda _: nullcontext(executor), f"the workers of {type(executor).__name__}")


@contextmanager
def _started(count: int, connections: Connections, _: Demand) -> Iterator[Executor]:
    """A pool of processes that end with the block, at once if that fails: what they have sent is in S3."""
    others = multiprocessing.active_children()
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (connections,))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child not in others:
                child.kill()
        raise
    finally:
        pool.shutdown()


def _begin(connections: Connections) -> None:
    """What a process does before its first unit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connect(connections)


def _end_with_parent() -> None:
    """End this process when its parent is gone: nobody waits for its answers any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
