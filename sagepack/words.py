"""Small wording shared by the messages of the spec: guesses at typos, and values fit to be shown."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 60
_LISTED = 12
_KINDS = {dict: "a map", list: "a list", str: "text", bool: "true or false", int: "an integer", float: "a number"}


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A question that names the closest of `known`, or None if nothing is close."""
    by_fold = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return f"did you mean {by_fold[close[0]]!r}?" if close else None


def one_of(known: Iterable[str]) -> str:
    """`known` in words; a long list is cut."""
    names = list(known)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def shown(value: Any) -> str:
    """`value` as a message shows it: as JSON, on one line, short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def kind(value: Any) -> str:
    """What sort of value this is, in the words of the schema."""
    return _KINDS.get(type(value), "nothing")
