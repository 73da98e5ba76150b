"""FilterLogEvents gives the events of all streams in the order of their times; moto gives one stream after the other.

A model of AWS, not evidence about it; it needs the pinned version of moto.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def install() -> None:
    """Replace moto's method; once in a process."""
    from moto.logs.models import LogGroup

    original: Callable[..., Any] = LogGroup.filter_log_events
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def in_order(group: LogGroup, *arguments: Any) -> Any:
        return original(group, *arguments[:-1], True)  # the last one is `interleaved`

    setattr(LogGroup, "filter_log_events", in_order)  # noqa: B010 - moto does not declare it
