"""Merges layers of a spec as JSON Merge Patch (RFC 7386) does: maps merge deeply, other values replace, null removes.

A removed entry stays in the tree as a null, so that a later layer can set it again and a message can say where it was
removed. `Node.plain` leaves nulls out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagepack.spec.yaml_nodes import Node


def merge(base: Node, over: Node) -> Node:
    """`base` with the changes of `over`. Every value keeps the place where it was written.

    A map that is in both keeps its place in `base`, where most of it was written.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    entries: dict[str, Node] = dict(base.value)
    for name, node in over.value.items():
        entries[name] = merge(entries[name], node) if name in entries else node
    return base._replace(value=entries)
