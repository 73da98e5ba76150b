"""The plan for people: a table of steps, the changes of the endpoint, where each file comes from, and a summary in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sagepack.api.graph import lanes
from sagepack.api.graph.words import MOVES
from sagepack.cli.layout import Line, Screen, Span, padded, shortened, wrapped
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sagepack.deploy.change import Change
    from sagepack.engine.plan import Action, Content

_GAP = "  "
_READABLE = 36  # columns that a reason needs: amounts get columns of their own only if it has these beside them
_LOOKS = {"run": "bold cyan", "skip": "dim", "blocked": "bold red"}
_GLYPHS = {"run": "run", "skip": "ok", "blocked": "bad"}
_SIGNS = {"+": "green", "-": "red", "-/+": "yellow", "~": "yellow", "": "dim"}
_AMOUNTS = {"fetch": "FETCH", "send": "SEND", "copy": "COPY"}
_PLACES = {"copied": "COPIED", "sent": "SENT", "fetched": "FETCHED", "read": "READ"}
# The sign of a line by the ways that it goes: up, down, left, right.
_LINES = {
    "": " ",
    "ud": "│",
    "lr": "─",
    "udr": "├",
    "udl": "┤",
    "ul": "╯",
    "ur": "╰",
    "ulr": "┴",
    "udlr": "┼",
}
_ASCII_LINES = {ways: "|" if ways == "ud" else "-" if ways == "lr" else "+" if ways else " " for ways in _LINES}
_FILES = 40  # files that are listed one by one


def graph(actions: Sequence[Action], needs: Mapping[str, Sequence[str]], screen: Screen) -> list[Line]:
    """The table with lines from each step to those that need it."""
    rows = lanes.rows(needs)
    signs = _LINES if screen.glyphs == "unicode" else _ASCII_LINES
    width = lanes.width(rows)
    margins = []
    for action, row in zip(actions, rows, strict=True):
        drawn = [_lane(row, lane, signs) for lane in range(width)]
        before, after = "".join(drawn[: row.lane]), "".join(drawn[row.lane :])[1:]
        sign = Span(screen.glyph(_GLYPHS[action.status]) or "o", _LOOKS[action.status])
        below = "".join(signs["ud" if lane in row.below else ""] + " " for lane in range(width))
        margins.append(_Margin((Span(before, "dim"), sign, Span(after, "dim")), Span(below, "dim")))
    return _table(actions, margins, screen)


def _lane(row: lanes.Row, lane: int, signs: Mapping[str, str]) -> str:
    """A lane beside a step, and what is between it and the next one; in the lane of the step is room for its sign."""
    met = row.across
    ways = ("u" if lane in row.above else "") + ("d" if lane in row.below else "")
    if lane in met:
        ways += ("l" if lane > met[0] else "") + ("r" if lane < met[-1] else "")
    return signs["" if lane == row.lane else ways] + signs["lr" if lane in met and lane + 1 in met else ""]


def table(actions: Sequence[Action], screen: Screen) -> list[Line]:
    """Step, run or skip, bytes where there are any, and why; the reasons of a row stay in their column."""
    glyph = 2 if screen.glyphs != "none" else 0
    signs = [Span(padded(screen.glyph(_GLYPHS[each.status]), glyph), _LOOKS[each.status]) for each in actions]
    return _table(actions, [_Margin((sign,), Span(" " * glyph)) for sign in signs], screen)


class _Margin(NamedTuple):
    """What is left of a step, and of the further lines of its reasons."""

    beside: tuple[Span, ...]
    below: Span


def _table(actions: Sequence[Action], margins: Sequence[_Margin], screen: Screen) -> list[Line]:
    glyph = max((len(margin.below.text) for margin in margins), default=0)
    step, status = (max(map(len, names)) + 2 for names in _names(actions))
    amounts = _columns(actions, _AMOUNTS)
    left = glyph + step + status
    if screen.width - left - sum(amounts.values()) < _READABLE:
        amounts = {}  # the reasons say them as well
    left += sum(amounts.values())
    header = " " * glyph + padded("STEP", step) + " " * status
    header += "".join(f"{_AMOUNTS[key]:>{width - 2}}{_GAP}" for key, width in amounts.items()) + "WHY"
    lines: list[Line] = [(Span(header, "dim"),)]
    for action, margin in zip(actions, margins, strict=True):
        look = _LOOKS[action.status]
        head = (
            *margin.beside,
            Span(padded(action.step, step), "dim" if action.status == "skip" else "bold"),
            Span(padded(action.status, status), look),
            Span("".join(_amount(action, key, width) for key, width in amounts.items())),
        )
        first, *rest = _why(action, screen.width - left, detailed=screen.detailed)
        lines.append((*head, *first))
        lines += [(margin.below, Span(" " * (left - glyph)), *line) for line in rest]
    return lines


def summary(actions: Sequence[Action], screen: Screen) -> list[Line]:
    """What a plan comes to, in a line."""
    blocked = [action.step for action in actions if action.status == "blocked"]
    running = [action for action in actions if action.runs]
    if blocked:
        return [(Span(f"blocked: {', '.join(blocked)}", "bold red"), Span("; nothing would be changed"))]
    if not running:
        return [(Span("nothing to do", "green"),)]
    head = f"{len(running)} to run"
    parts = [
        f"{format_bytes(total)} {words}"
        for key, words in MOVES
        if (total := sum(getattr(action, key) for action in running))
    ]
    changes = [change for action in running for change in action.changes if change.sign]
    if len(changes) == 1:
        sign, text = _effect(changes[0])
        parts.append(f"{sign.text}{text}")
    elif changes:
        parts.append(f"{len(changes)} changes of the endpoint")
    first, *rest = wrapped(", ".join((head, *parts)), screen.width)
    return [(Span(head, "bold"), Span(first[len(head) :])), *rest]


def contents_table(contents: Sequence[Content], screen: Screen) -> list[Line]:
    """Where each file comes from when it is published; of many the largest are listed."""
    columns = _columns(contents, _PLACES)
    left = sum(columns.values())
    header = "".join(f"{_PLACES[key]:>{width - 2}}{_GAP}" for key, width in columns.items())
    lines: list[Line] = [(Span(f"{header}FILE", "dim"),)]
    sources: dict[tuple[str, str | None], int] = {}
    listed = sorted(sorted(contents, key=lambda content: -content.size)[:_FILES], key=contents.index)
    for content in listed:
        amounts = "".join(_amount(content, key, width) for key, width in columns.items())
        after = f" ({format_bytes(content.size)})"
        if content.source:
            after += f" [{sources.setdefault((content.source, content.binding), len(sources) + 1)}]"
        path = shortened(content.path, max(12, screen.width - left - len(after)), screen.ellipsis)
        lines.append((Span(f"{amounts}{path}"), Span(after, "dim")))
    if len(contents) > len(listed):
        size = sum(content.size for content in contents) - sum(content.size for content in listed)
        lines.append(
            (Span(f"{' ' * left}and {len(contents) - len(listed)} smaller files ({format_bytes(size)})", "dim"),)
        )
    for (source, binding), number in sources.items():
        first, *rest = wrapped(f"copied from {source}: {binding}", screen.width - 4)
        lines.append(f"[{number}] {first}")
        lines += [f"    {line}" for line in rest]
    return lines


def _change_lines(changes: Iterable[Change], width: int, *, detailed: bool) -> list[tuple[Span, ...]]:
    """What is done to resources of AWS, a line for each, with `+`, `-` or `~` before it."""
    lines: list[tuple[Span, ...]] = []
    for change in changes:
        sign, text = _effect(change)
        indent = len(sign.text)
        first, *rest = wrapped(f"{text} ({change.path})" if detailed and change.path else text, width - indent)
        lines.append((sign, Span(first)))
        lines += [(Span(" " * indent + line),) for line in rest]
    return lines


def _effect(change: Change) -> tuple[Span, str]:
    return Span(f"{change.sign} " if change.sign else "", _SIGNS[change.sign]), change.effect


def _why(action: Action, width: int, *, detailed: bool) -> list[tuple[Span, ...]]:
    if action.changes and action.runs:
        return _change_lines(action.changes, width, detailed=detailed)
    look = {"skip": "dim", "blocked": "red", "run": ""}[action.status]
    return [(Span(line, look),) for line in wrapped("; ".join(action.reasons), width)]


def _names(actions: Sequence[Action]) -> tuple[list[str], list[str]]:
    return ["STEP", *(action.step for action in actions)], [action.status for action in actions] or [""]


def _columns(rows: Sequence[Action] | Sequence[Content], names: dict[str, str]) -> dict[str, int]:
    """Those amounts that any row has, with the width of their columns."""
    texts = {key: [format_bytes(amount) for row in rows if (amount := getattr(row, key))] for key in names}
    return {key: max(map(len, [names[key], *found])) + 2 for key, found in texts.items() if found}


def _amount(row: Action | Content, key: str, width: int) -> str:
    amount = getattr(row, key)
    return f"{format_bytes(amount) if amount else '-':>{width - 2}}{_GAP}"
