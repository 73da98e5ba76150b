"""All tasks of the command line, as the collection that invoke runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.collection import Collection

from sagepack.cli import build, endpoint, maintenance, sandbox
from sagepack.cli.task import TASKS, invoke_task

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["build", "collection", "endpoint", "maintenance", "sandbox"]  # imported for the tasks that they register


def collection(root: Path) -> Collection:
    """The tasks for the project at `root`."""
    whole, groups = Collection(), dict[str, Collection]()
    for registered in TASKS:
        if registered.group and registered.group not in groups:
            groups[registered.group] = Collection(registered.group)
            whole.add_collection(groups[registered.group])
        groups.get(registered.group, whole).add_task(invoke_task(registered, root))
    return whole
