"""Parts of a page, as Markdown."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A name (or several, with commas) and what it means, in a section of a docstring in Google's style.
_ENTRY = re.compile(r"^(\w[\w, ]*): (.*(?:\n +.*)*)", re.MULTILINE)
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Yields):\n((?:    .*\n?|\n)+)", re.MULTILINE)


@dataclass(frozen=True)
class Documentation:
    """What a docstring says.

    Attributes:
        text: paragraphs, without the sections.
        sections: name and meaning, by the section's name.
    """

    text: str
    sections: dict[str, dict[str, str]]


def parse(docstring: str | None) -> Documentation:
    """A docstring in Google's style, taken apart."""
    whole = cleandoc(docstring or "")
    sections = {
        title: {
            name: _line(words) for names, words in _ENTRY.findall(textwrap.dedent(body)) for name in names.split(", ")
        }
        for title, body in _SECTION.findall(whole)
    }
    return Documentation(paragraphs(_SECTION.sub("", whole)), sections)


def paragraphs(text: str) -> str:
    """Text with one line for each paragraph; indented blocks stay as they are."""
    blocks = re.split(r"\n{2,}", text.strip())
    return "\n\n".join(block if block.startswith("    ") else _line(block) for block in blocks)


def _line(text: str) -> str:
    return " ".join(text.split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; empty text if it has no rows."""
    lines = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(head), " | ".join("---" for _ in head), *lines))


def code(value: Any) -> str:
    """A value as code, booleans and nothing as JSON has them."""
    return f"`{json.dumps(value) if value is None or isinstance(value, bool) else value}`"


def sentence(text: str) -> str:
    """`text` with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]


def page(*blocks: str) -> str:
    """A page of blocks; empty ones are left out."""
    return "\n\n".join(block for block in blocks if block) + "\n"


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
