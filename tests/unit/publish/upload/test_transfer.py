"""How many parts are done at a time: copies as many as S3 takes, those that are sent as many as the memory holds."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.publish.upload import transfer
from tests.helpers.fake_s3 import FakeS3
from tests.helpers.publishing import noise
from tests.unit.publish.test_crash import LIMITS, run

if TYPE_CHECKING:
    from pathlib import Path

COPIES = 24
SHARDS = {f"{number:02}.bin": noise(3000, number) for number in range(COPIES)}


class Crowd(FakeS3):
    """An S3 that counts how many of a request are under way at once, and gives the others time to come."""

    def __init__(self) -> None:
        super().__init__(LIMITS.minimum)
        self.under_way = {"send": 0, "send_copy": 0}
        self.most = dict(self.under_way)

    def send(self, *args: Any, **options: Any) -> Any:
        return self._counted("send", super().send, args, options)

    def send_copy(self, *args: Any, **options: Any) -> Any:
        return self._counted("send_copy", super().send_copy, args, options)

    def _counted(self, name: str, method: Any, args: Any, options: Any) -> Any:
        with self.lock:
            self.under_way[name] += 1
            self.most[name] = max(self.most[name], self.under_way[name])
        threading.Event().wait(0.05)
        try:
            return method(*args, **options)
        finally:
            with self.lock:
                self.under_way[name] -= 1


def test_copies_are_not_bounded_by_the_memory_of_what_is_sent(tmp_path: Path) -> None:
    store = Crowd()
    run(store, SHARDS, tmp_path)
    # A new file before each of the old ones: so many copies.
    run(store, {**SHARDS, **{f"{n:02}.a": noise(3000, 100 + n) for n in range(COPIES)}}, tmp_path, workers=2)
    assert store.most["send_copy"] > 8
    assert store.most["send"] <= 2


@pytest.mark.parametrize(("share", "most"), [(3, 3), (0, 1)])
def test_no_more_parts_are_held_than_the_memory_is_meant_to_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: int, most: int
) -> None:
    monkeypatch.setattr(transfer, "memory_share", lambda: share * LIMITS.sent_size)
    store = Crowd()
    run(store, SHARDS, tmp_path, workers=8)
    assert store.most["send"] == most
