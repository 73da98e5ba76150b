"""What the screens of all results are made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import TYPE_CHECKING

from sagepack.cli.layout import Block, Screen, Span, padded, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api import results
    from sagepack.cli.layout import Line


_DIGEST_AT = 9  # the column that lets a digest with its algorithm fit 80 columns


@singledispatch
def lines(result: object) -> list[Block]:
    """The lines of a result, for stdout."""
    raise TypeError(type(result))


def readable_time(moment: str | None) -> str:
    """A time of a result, for people: `2026-01-02 03:04:05 UTC`."""
    return (moment or "an unknown time").replace("T", " ").replace("Z", " UTC")


def commit_of(deployed: results.Deployed) -> str:
    """The commit that was deployed, and what is known of it."""
    commit = deployed.commit or "not known: the project is in no git repository"
    return f"{commit} and changes that were not committed" if deployed.clean is False else commit


def done_line(text: str) -> Block:
    """Something that is as it should be."""

    def block(screen: Screen) -> list[Line]:
        sign = screen.glyph("ok")
        if not sign:
            return [text]
        first, *rest = wrapped(text, screen.width - 2, divide=False)
        return [(Span(f"{sign} ", "green"), Span(first)), *(f"  {line}" for line in rest)]

    return block


def fact_lines(facts: Mapping[str, str] | Sequence[tuple[str, str]], *, wrap: bool = False) -> Block:
    """Names and values, one under the other; values that are sentences wrap, those that are copied stay whole."""
    rows = list(facts.items()) if isinstance(facts, Mapping) else facts
    longest = max((len(name) for name, _ in rows), default=0)
    width = max(longest + 1, min(longest + 2, _DIGEST_AT))

    def block(screen: Screen) -> list[Line]:
        shown: list[Line] = []
        for name, value in rows:
            first, *rest = wrapped(value, screen.width - width, divide=False) if wrap else [value]
            shown += [(Span(padded(name, width), "dim"), Span(first)), *(" " * width + line for line in rest)]
        return shown

    return block


def itemized(text: str, screen: Screen, bullet: str = "") -> list[Line]:
    """A sentence, wrapped, each further line as far in as the first."""
    first, *rest = wrapped(text, screen.width - len(bullet), divide=False)
    return [bullet + first, *(" " * len(bullet) + line for line in rest)]
