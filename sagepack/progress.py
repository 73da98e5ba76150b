"""What a run reports while it works; `cli.terminal` decides how it looks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """Where work reports to. Every method may be called from any thread."""

    def note(self, text: str) -> None:
        """Say one line now."""

    def bar(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show progress towards `total` bytes; the function that is yielded adds bytes (negative after a retry)."""


class Silent:
    """Progress that nobody watches."""

    def note(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Count nothing."""
        yield lambda _count: None
