"""The processes that a process has begun."""

from __future__ import annotations

from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The children of a process, whichever of its threads began them. Only Linux tells."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for each in tasks for child in each.read_text().split()]
