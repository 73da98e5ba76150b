"""The steps as a picture in SVG: one file that loads nothing, for a light page and a dark one."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from sagepack.api.graph import lanes
from sagepack.api.graph.words import amounts, why
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.engine.plan import Action

_COLUMNS = 84  # of a line of reasons
_COLUMN = 8  # pixels of a column, more than a character of 13 px takes in any monospaced font
_LINE, _GAP, _MARGIN, _LANE, _RADIUS, _BEND = 18, 14, 24, 24, 7, 20  # pixels
_FORBIDDEN = re.compile("[\ufffe\uffff]")  # XML has no way to write them
# Each rule names the picture, so that a page which has it in its text keeps its own look.
_STYLE = """
#sagepack-graph .page { fill: #ffffff }
#sagepack-graph text { font: 13px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328; white-space: pre }
#sagepack-graph .step { font-weight: bold }
#sagepack-graph .why { fill: #59636e }
#sagepack-graph path { fill: none; stroke: #818b98; stroke-width: 2 }
#sagepack-graph .run { fill: #0969da }
#sagepack-graph .skip { fill: #1a7f37 }
#sagepack-graph .blocked { fill: #d1242f }
@media (prefers-color-scheme: dark) {
#sagepack-graph .page { fill: #0d1117 }
#sagepack-graph text { fill: #f0f6fc }
#sagepack-graph .why { fill: #9198a1 }
#sagepack-graph path { stroke: #656c76 }
#sagepack-graph .run { fill: #4493f8 }
#sagepack-graph .skip { fill: #3fb950 }
#sagepack-graph .blocked { fill: #f85149 }
}
"""


def document(title: str, actions: Sequence[Action], needs: Mapping[str, Sequence[str]]) -> str:
    """The picture, with a line feed at its end.

    Args:
        title: what it shows.
        actions: those of the plan.
        needs: each step, after those that it needs, and these.
    """
    rows = lanes.rows(needs)
    left = _MARGIN + lanes.width(rows) * _LANE
    texts = [[line for text in why(action) for line in textwrap.wrap(text, _COLUMNS)] for action in actions]
    tops, bottom = list[int](), _MARGIN
    for lines in texts:
        tops.append(bottom)
        bottom += _LINE * (1 + len(lines)) + _GAP
    places = {row.step: (_MARGIN + row.lane * _LANE, top) for row, top in zip(rows, tops, strict=True)}
    root = _root(title, actions, needs, left + _COLUMNS * _COLUMN + _MARGIN, bottom)
    for step, needed in needs.items():
        for need in needed:
            ET.SubElement(root, "path", {"d": _arrow(places[need], places[step])})
    for action, lines in zip(actions, texts, strict=True):
        x, y = places[action.step]
        group = ET.SubElement(root, "g", {"id": f"sagepack-step-{action.step}"})
        ET.SubElement(group, "circle", {"class": action.status, "cx": f"{x}", "cy": f"{y}", "r": f"{_RADIUS}"})
        _write(group, "step", left, y, action.step)
        _write(group, action.status, left + 10 * _COLUMN, y, action.status)
        _write(group, "amount", left + 19 * _COLUMN, y, amounts(action))
        for number, line in enumerate(lines, 1):
            _write(group, "why", left, y + number * _LINE, line)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _root(
    title: str, actions: Sequence[Action], needs: Mapping[str, Sequence[str]], width: int, height: int
) -> ET.Element:
    """The picture without its content: what it is in words, for whom cannot see it, its colours and its ground."""
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "id": "sagepack-graph",
            "viewBox": f"0 0 {width} {height}",
            "width": f"{width}",
            "height": f"{height}",
            "role": "img",
            "aria-labelledby": "sagepack-graph-title sagepack-graph-desc",
        },
    )
    ET.SubElement(root, "title", {"id": "sagepack-graph-title"}).text = _fit(printable(title))
    said = [_sentence(action, needs[action.step]) for action in actions]
    ET.SubElement(root, "desc", {"id": "sagepack-graph-desc"}).text = _fit(" ".join(said))
    ET.SubElement(root, "style").text = _STYLE
    ET.SubElement(root, "rect", {"class": "page", "width": "100%", "height": "100%", "rx": "6"})
    return root


def _sentence(action: Action, needed: Sequence[str]) -> str:
    after = f" (after {' and '.join(needed)})" if needed else ""
    return f"{action.step}{after}: {'; '.join(filter(None, (action.status, amounts(action), *why(action))))}."


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """The path down the lane of the one step, and to the side where the other is."""
    (x, y), (to_x, to_y) = start, end
    aside = f"V{to_y - _BEND}Q{x} {to_y} {to_x} {to_y}" if x != to_x else f"V{to_y}"
    return f"M{x} {y}{aside}"


def _write(group: ET.Element, look: str, x: int, y: int, text: str) -> None:
    if text:
        ET.SubElement(group, "text", {"class": look, "x": f"{x}", "y": f"{y + 5}"}).text = _fit(text)


def _fit(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
