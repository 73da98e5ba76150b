"""How things look: the plan's table, progress on a terminal or in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sagepack.units import amount, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sagepack.plan import Action

_QUIET_SECONDS = 10.0


def table(actions: Sequence[Action]) -> str:
    """The plan for people: step, run or skip, bytes, why."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 36)
    lines = [f"{'STEP':<10}{'':<6}{'FETCH':>10}{'SEND':>10}  WHY"]
    for action in actions:
        fetch = amount(action.fetch) if action.fetch else "-"
        send = amount(action.send) if action.send else "-"
        first, *rest = _wrapped("; ".join(action.reasons), width)
        lines.append(f"{action.step:<10}{'run' if action.run else 'skip':<6}{fetch:>10}{send:>10}  {first}")
        lines.extend(" " * 38 + line for line in rest)
    return "\n".join(lines)


def contents_table(contents: Sequence[dict[str, Any]]) -> str:
    """Where each content comes from when it is published."""
    lines = [f"{'COPIED':>10}{'SENT':>10}{'FETCHED':>10}  CONTENT"]
    for content in contents:
        columns = "".join(
            f"{amount(content[key]) if content[key] else '-':>10}" for key in ("copied", "sent", "fetched")
        )
        lines.append(f"{columns}  {content['path']} ({amount(content['size'])})")
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


class Terminal:
    """Progress on stderr: bars where a person watches, plain lines at most every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._watched = sys.stderr.isatty()
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar, or lines."""
        with (self._bar if self._watched else self._lines)(label, total) as add:
            yield add

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        import tqdm  # noqa: PLC0415 - slow to import, and only a terminal needs it

        with tqdm.tqdm(total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024, leave=False) as shown:

            def add(count: int) -> None:
                with self._lock:
                    shown.update(count)

            yield add

    @contextmanager
    def _lines(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        begun = said = time.monotonic()
        done = 0

        def add(count: int) -> None:
            nonlocal done, said
            with self._lock:
                done += count
                now = time.monotonic()
                if now - said < _QUIET_SECONDS:
                    return
                said = now
                text = f"{label}: {amount(done)} of {amount(total)}, {amount(done / (now - begun))}/s\n"
            sys.stderr.write(text)

        yield add
        seconds = time.monotonic() - begun
        self.note(f"{label}: {amount(done)} in {duration(seconds)}")
