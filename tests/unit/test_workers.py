"""What a command may take of the machine."""

from __future__ import annotations

import os
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
