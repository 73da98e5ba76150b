"""The checks of `doctor` for people: each with its verdict and what to do, and how many came out which way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.cli.layout import Line, Screen, Span, cells, plain, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.deploy.preflight.check import Check

# The glyph and the look of each.
_VERDICTS = {
    "ok": ("ok", "green"),
    "warning": ("run", "yellow"),
    "unknown": ("run", "yellow"),
    "failed": ("bad", "bold red"),
}
_TITLE = 20
_ROOM = 44  # columns that a detail needs beside the title; else it stands below


def check_lines(check: Check, screen: Screen) -> list[Line]:
    """A check: verdict, title and detail, and below them what to do."""
    glyph, look = _VERDICTS[check.verdict]
    head = (
        Span(f"{screen.glyph(glyph)} ".lstrip() + f"{check.verdict:<9}", look),
        Span(f"{check.title:<{_TITLE}} ", "bold"),
    )
    column = cells(plain(head))
    beside = column if screen.width - column >= _ROOM else 4
    details = [(Span(line),) for line in wrapped(check.detail, screen.width - beside)]
    fixes = [(Span(line, "cyan"),) for line in wrapped(f"-> {check.fix}", screen.width - beside)] if check.fix else []
    if beside != column:
        return [(head[0], Span(check.title, "bold")), *((Span(" " * beside), *line) for line in (*details, *fixes))]
    first, *rest = details
    return [(*head, *first), *((Span(" " * beside), *line) for line in (*rest, *fixes))]


def summary(checks: Sequence[Check]) -> Line:
    """How many checks have which verdict."""
    counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in _VERDICTS}
    shown: list[Span] = []
    for verdict, count in counts.items():
        if count:
            shown += [Span(", ")] * bool(shown) + [Span(f"{count} {verdict}", _VERDICTS[verdict][1])]
    return tuple(shown)
