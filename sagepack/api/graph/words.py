"""What a picture says of a step, in the words of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.text import format_bytes, printable

if TYPE_CHECKING:
    from sagepack.engine.plan import Action

MOVES = (("fetch", "to fetch"), ("send", "to send"), ("copy", "copied inside S3"))
"""The attributes of an action that are bytes, and what they are called after the amount."""


def amounts(action: Action) -> str:
    """The bytes that a step would move, such as `10.4 MiB to fetch`; empty for one that moves none."""
    moved = ((getattr(action, key), words) for key, words in MOVES)
    return ", ".join(f"{format_bytes(amount)} {words}" for amount, words in moved if amount)


def why(action: Action) -> tuple[str, ...]:
    """What a step would do to resources of AWS, or why it runs, is skipped or blocked: printable texts of one line each."""
    if action.changes and action.runs:
        return tuple(printable(f"{change.sign} {change.effect}".strip()) for change in action.changes)
    return tuple(map(printable, action.reasons))
