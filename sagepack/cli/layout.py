"""How lines fit a terminal: their width, colours and glyphs. Pure but for `Screen.of`, which looks at a stream.

A line is a text, or spans of text with a look. Colour is added after the text was made printable (`Screen.painted`), so
that no text can bring its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO, TypeAlias

from sagepack.decoding import Value
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WIDTH = 120  # columns where nobody says how many there are, as in a log
_NARROWEST = 40
# The eight basic colours, which every palette keeps readable, light or dark.
_LOOKS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_GLYPHS = {
    "unicode": {"ok": "✓", "run": "→", "bad": "✗", "bar": "━", "cut": "…", "spin": "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"},
    "ascii": {"ok": "*", "run": ">", "bad": "x", "bar": "#", "cut": "...", "spin": "|/-\\"},
}


class Span(NamedTuple):
    """A part of a line.

    Attributes:
        text: what it says.
        look: words such as `bold red`; empty for the terminal's own.
    """

    text: str
    look: str = ""


Line: TypeAlias = str | tuple[Span, ...]


class Screen(Value, frozen=True):
    """What is known of where lines are shown.

    Attributes:
        width: columns.
        colour: whether it shows colours.
        glyphs: which signs it shows; none where the words have to do, as in a log.
        is_terminal: whether a person reads it; a log is read by programs, too, which search its lines.
        detailed: whether a person looks for the cause of something: names of APIs are shown, too.
    """

    width: int = _WIDTH
    colour: bool = False
    glyphs: Literal["unicode", "ascii", "none"] = "none"
    is_terminal: bool = False
    detailed: bool = False

    @classmethod
    def of(cls, stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> Screen:
        """The screen behind a stream, as NO_COLOR (no-color.org), FORCE_COLOR, TERM and COLUMNS want it."""
        is_terminal = is_watched(stream, environ)
        is_shown = is_terminal or bool(environ.get("FORCE_COLOR"))
        is_utf8 = (getattr(stream, "encoding", None) or "").lower().replace("-", "") == "utf8"
        glyphs: Literal["unicode", "ascii"] = "unicode" if is_utf8 and environ.get("TERM") != "linux" else "ascii"
        return cls(
            width=max(_NARROWEST, _columns(stream, environ)),
            colour=is_shown and not environ.get("NO_COLOR"),
            glyphs=glyphs if is_shown else "none",
            is_terminal=is_terminal,
        )

    def glyph(self, name: str) -> str:
        """A sign; empty where the screen shows none."""
        return "" if self.glyphs == "none" else _GLYPHS[self.glyphs][name]

    @property
    def ellipsis(self) -> str:
        """Stands for what is left out."""
        return self.glyph("cut") or "..."

    def painted(self, line: Line) -> str:
        """A line as it is written: printable, with its colours."""
        spans = (Span(line),) if isinstance(line, str) else line
        return "".join(self._painted(printable(span.text), span.look) for span in spans)

    def lines(self, blocks: Iterable[Block]) -> list[Line]:
        """The lines of blocks at this width."""
        found: list[Line] = []
        for block in blocks:
            if callable(block):
                found += block(self)
            else:
                found.append(block)
        return found

    def _painted(self, text: str, look: str) -> str:
        if not (self.colour and look and text):
            return text
        codes = ";".join(_LOOKS[word] for word in look.split())
        return f"\x1b[{codes}m{text}\x1b[0m"


# What a result says: lines, and what becomes lines once the width is known.
Block: TypeAlias = Line | Callable[[Screen], list[Line]]


def is_watched(stream: TextIO | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal that understands more than text."""
    try:
        return stream is not None and stream.isatty() and environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def plain(line: Line) -> str:
    """The text of a line."""
    return line if isinstance(line, str) else "".join(span.text for span in line)


def cells(text: str) -> int:
    """How many columns a text takes: characters of East Asia take two, combining ones none."""
    if text.isascii():
        return len(text)
    import unicodedata  # noqa: PLC0415 - hardly any text needs it

    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def padded(text: str, width: int) -> str:
    """`text` with spaces after it, up to a width."""
    return text + " " * (width - cells(text))


def shortened(text: str, width: int, ellipsis: str = "...") -> str:
    """`text` in at most `width` columns: what is too much is left out in the middle, since the end of a path tells most."""
    if cells(text) <= width:
        return text
    room = max(0, width - cells(ellipsis))
    head = _taken(text, room // 3)
    tail = _taken(text[::-1], room - cells(head))[::-1]
    return head + ellipsis + tail


def wrapped(text: str, width: int, *, divide: bool = True) -> list[str]:
    """`text` in lines of at most `width` columns.

    Args:
        text: words with spaces between them.
        width: columns.
        divide: divide a word that is longer, after a `/` if there is one; else it is a longer line, fit to be copied.
    """
    lines, line = list[str](), ""
    for each in printable(text).split():
        word = each
        if line and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line = ""
        while divide and not line and cells(word) > width:
            taken = _taken(word, width)
            taken = taken[: taken.rfind("/") + 1] or taken or word[0]
            lines.append(taken)
            word = word[len(taken) :]
        line = f"{line} {word}" if line else word
    return [*lines, line] if line or not lines else lines


def _taken(text: str, width: int) -> str:
    """The beginning of `text` that fits."""
    if text.isascii():
        return text[:width]
    taken = len(text)
    while cells(text[:taken]) > width:
        taken -= 1
    return text[:taken]


def _columns(stream: TextIO | None, environ: Mapping[str, str]) -> int:
    wanted = environ.get("COLUMNS", "")
    if wanted.isascii() and wanted.isdigit() and int(wanted[:6]) > 0:
        return int(wanted[:6])
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH if stream is not None else _WIDTH
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or no file
        return _WIDTH
