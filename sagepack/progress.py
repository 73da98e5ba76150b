"""What a run reports while it works; `cli.terminal` decides how it looks."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sagepack.errors import Diagnostic


class Progress(Protocol):
    """Where work reports to. Every method may be called from any thread.

    To watch only some of it, derive from `sagepack.progress.Silent` and override what is of interest.
    """

    def planned(self, actions: Sequence[Any]) -> None:
        """What will be done is known (values of `engine.plan.Action`), or known anew after a step."""

    def note(self, text: str) -> None:
        """Say one line now."""

    def warn(self, warning: Diagnostic) -> None:
        """Say what is wrong with the spec, but not wrong enough to refuse it."""

    def step(self, name: str, reasons: Sequence[str]) -> AbstractContextManager[None]:
        """A step of the build runs, and why."""

    def done(self, text: str) -> None:
        """Say what the running step has done, in a few words: shown when it ends."""

    def moved(self, *, fetched: int | None = None, sent: int | None = None, copied: int | None = None) -> None:
        """The running step has moved so many bytes, as far as it counts them."""

    def came(self, contents: Sequence[Any]) -> None:
        """Where the running step brings each file from (values of `engine.plan.Content`), as it was planned."""

    def activity(self, label: str) -> AbstractContextManager[None]:
        """Something may take a while, nobody knows how long."""

    def asked(self) -> AbstractContextManager[None]:
        """A person is asked, and the run waits for the answer."""

    def bar(self, label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show progress towards `total` bytes; the function that is yielded adds bytes (negative after a retry)."""


class Heard:
    """Progress that passes everything on, and the warnings to somebody else as well.

    Args:
        progress: gets everything.
        hear: gets each warning.
    """

    def __init__(self, progress: Progress, hear: Callable[[Diagnostic], None]) -> None:
        self.planned, self.moved, self.came = progress.planned, progress.moved, progress.came
        self.note, self.step, self.done = progress.note, progress.step, progress.done
        self.activity, self.asked, self.bar = progress.activity, progress.asked, progress.bar
        self._progress, self._hear = progress, hear

    def warn(self, warning: Diagnostic) -> None:
        """Pass it on to both."""
        self._hear(warning)
        self._progress.warn(warning)


class Silent:
    """Progress that nobody watches."""

    def planned(self, actions: Sequence[Any]) -> None:
        """Drop the plan: the result has it."""

    def note(self, text: str) -> None:
        """Drop the line."""

    def warn(self, warning: Diagnostic) -> None:
        """Drop the warning: the project keeps it."""

    def step(self, name: str, reasons: Sequence[str]) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing is shown."""
        return nullcontext()

    def done(self, text: str) -> None:
        """Drop the words."""

    def moved(self, *, fetched: int | None = None, sent: int | None = None, copied: int | None = None) -> None:
        """Drop the numbers."""

    def came(self, contents: Sequence[Any]) -> None:
        """Drop the files."""

    def activity(self, label: str) -> AbstractContextManager[None]:  # noqa: ARG002
        """Nothing is shown."""
        return nullcontext()

    def asked(self) -> AbstractContextManager[None]:
        """Nothing is shown: the question is."""
        return nullcontext()

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Count nothing."""
        yield lambda _count: None
