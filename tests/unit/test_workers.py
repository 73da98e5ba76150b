"""What a command may take of the machine."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sagepack import workers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("limit", "share"), [("1073741824\n", 1 << 28), ("max\n", None), ("", None), ("9223372036854771712\n", None)]
)
def test_the_share_of_memory_is_that_of_the_container_where_it_has_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, share: int | None
) -> None:
    path = tmp_path / "memory.max"
    path.write_text(limit)
    monkeypatch.setattr(workers, "_CONTAINER_LIMITS", (tmp_path / "missing", path))
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert workers.memory_share() == (share or machine // 4)


def test_a_thread_of_a_pool_knows_that_the_pool_has_given_up() -> None:
    begun, known = threading.Event(), []

    def watch() -> None:
        begun.set()
        until = time.monotonic() + 10
        while not workers.has_given_up() and time.monotonic() < until:
            time.sleep(0.001)
        known.append(workers.has_given_up())

    def give_up() -> None:
        with workers.worker_pool(1, "test") as pool:
            pool.submit(watch)
            begun.wait()
            raise KeyError

    with pytest.raises(KeyError):
        give_up()
    assert known == [True]
    assert not workers.has_given_up()


def test_threads_that_divide_the_memory_of_a_command_get_a_part_of_it_each() -> None:
    whole = workers.memory_share()
    with workers.worker_pool(2, "test", sharers=4) as pool:
        assert pool.submit(workers.memory_share).result() == whole // 4
    assert workers.memory_share() == whole


def test_after_an_interrupt_threads_get_no_longer_to_end_than_their_grace() -> None:
    held = threading.Event()

    def interrupt() -> None:
        with workers.worker_pool(1, "test", grace=0.01) as pool:
            pool.submit(held.wait, 20)
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    held.set()
    assert time.monotonic() - begun < 10
