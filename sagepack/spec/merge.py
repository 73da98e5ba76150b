"""The merge law: maps merge deeply, everything else replaces, null removes.

The law of JSON Merge Patch (RFC 7386). A removed entry stays in the tree as a null, so that a later layer can set it
again and a message can say where it was removed; `Node.plain` leaves nulls out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagepack.spec.yaml_nodes import Node


def merge(base: Node, over: Node) -> Node:
    """`over` laid upon `base`. Places come along: every value keeps the place it was written at.

    A map that both have keeps the place of the base, because that is where most of it stands.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    entries: dict[str, Node] = dict(base.value)
    for name, node in over.value.items():
        entries[name] = merge(entries[name], node) if name in entries else node
    return base._replace(value=entries)
