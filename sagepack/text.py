"""Wording shared by messages: amounts and durations, guesses at typos, text and values fit to be shown."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = 60
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
# Control characters (C1 included), format characters (bidirectional and zero-width ones), halves of characters, and the
# two that only separate lines: what changes how a terminal shows the text around it, or cannot be seen.
_UNFIT = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_LISTED = 12
_CENT = 0.01
_KINDS = {dict: "a map", list: "a list", str: "text", bool: "true or false", int: "an integer", float: "a number"}


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant, or None if nothing is close."""
    by_fold = {name.casefold(): name for name in known}
    meant = word.casefold()
    close = difflib.get_close_matches(meant, by_fold, n=3, cutoff=0.6)

    def likeness(name: str) -> tuple[float, int]:
        return difflib.SequenceMatcher(None, name, meant).ratio(), -abs(len(name) - len(meant))

    return by_fold[max(close, key=likeness)] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A question that names the closest of `known`, or None if nothing is close."""
    close = closest(word, known)
    return f"did you mean {close!r}?" if close else None


def one_of(known: Iterable[str]) -> str:
    """`known` in words; a long list is cut."""
    names = list(known)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def printable(text: str) -> str:
    r"""`text` on one line, with the characters escaped that a terminal would obey or hide: `\x1b`, `\u202e`, `\n`.

    Everything else stays, private and unassigned characters too: a font or a later Unicode may know them. Applied twice it
    changes nothing more.
    """
    if text.isprintable():
        return text
    import unicodedata  # noqa: PLC0415 - hardly any text needs it

    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNFIT else char for char in text
    )


def shown(value: Any) -> str:
    """`value` as a message shows it: as JSON, on one line, short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} characters)"


def kind(value: Any) -> str:
    """What sort of value this is, in the words of the schema."""
    return _KINDS.get(type(value), "nothing")


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 change`, `3 changes`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def format_bytes(count: float) -> str:
    """Bytes as people read them, in powers of 1024: `4.2 GiB`."""
    value, unit = float(count), 0
    while abs(value) >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def format_usd(amount: float) -> str:
    """US dollars as people read them: `$1,234.50`, `$0`, `less than $0.01`."""
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if amount >= _CENT else "less than $0.01"


def format_duration(seconds: float) -> str:
    """A duration as people read it: `850 ms`, `12.3 s`, `4 min 05 s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
