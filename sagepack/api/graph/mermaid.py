"""The steps as a flowchart of Mermaid, which GitHub and GitLab show in a README.

https://mermaid.js.org/syntax/flowchart.html says that a label in quotation marks takes any character as an entity: `#35;`.
"""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from sagepack.api.graph.words import amounts, why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.engine.plan import Action

_COLUMNS = 44  # of a line of a label
# What means something in a label: to Mermaid, whose own search for styles a colon starts, or to Markdown, which it reads there too
# (a list, a word between underscores). Full stops and hyphens within words, as in names of files, stay readable.
_SPECIAL = re.compile(r"[^\w ,/.-]|_|[.-](?!\w)|(?<!\w)-")
# Outlines alone, which can be seen on a light page and on a dark one; the state is a word, too.
_CLASSES = {
    "run": "stroke:#218bff,stroke-width:3px",
    "skip": "stroke-dasharray:4 3",
    "blocked": "stroke:#e5534b,stroke-width:3px",
}


def document(actions: Sequence[Action], needs: Mapping[str, Sequence[str]]) -> str:
    """The flowchart, with a line feed at its end.

    Args:
        actions: those of the plan.
        needs: each step, and those that it needs.
    """
    lines = ["flowchart TD"]
    lines += [f'  step_{action.step}["{_label(action)}"]' for action in actions]
    lines += [f"  step_{need} --> step_{step}" for step, needed in needs.items() for need in needed]
    for status, look in _CLASSES.items():
        if having := [f"step_{action.step}" for action in actions if action.status == status]:
            lines += [f"  classDef {status} {look}", f"  class {','.join(having)} {status}"]
    return "\n".join(lines) + "\n"


def _label(action: Action) -> str:
    said = [action.step, ", ".join(filter(None, (action.status, amounts(action)))), *why(action)]
    return "<br>".join(_escaped(line) for text in said for line in textwrap.wrap(text, _COLUMNS))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)
