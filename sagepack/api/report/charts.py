"""The pictures of a report: rows of bars with their labels above them, drawn by Vega-Lite as SVG.

Each picture is drawn for a desk and for a phone, and the page shows the one that fits: text of a picture that is made
smaller cannot be read. Colours are variables of the page (`--fetched`, ...), so that one picture fits a light page and a dark one.
What a picture shows is in a table of the page, too; to whoever cannot see it, it is one image with a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import vl_convert

from sagepack.decoding import Value
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTHS = {"desk": 680, "phone": 300}
"""Pixels of the bars; the picture itself has a margin beside them."""
_CHARACTER = 7.2  # pixels of one in most fonts
_ROW, _BAR = 44, 14  # pixels
_KEPT = {"d", "transform", "x", "y", "x2", "y2", "width", "height", "fill", "stroke", "stroke-width", "text-anchor"}
_PAINTS = re.compile(r"none|transparent|var\(--[a-z]+\)")
_SVG = "http://www.w3.org/2000/svg"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML has no way to write them


class Bar(Value, frozen=True):
    """A part of a row.

    Attributes:
        begin, end: where it lies on the axis.
        kind: its colour, a variable of the page without the dashes.
    """

    begin: float
    end: float
    kind: str


class Row(Value, frozen=True):
    """A label with bars below it.

    Attributes:
        label: what the bars are.
        bars: its bars.
        more: what a desk has room to say besides.
    """

    label: str
    bars: tuple[Bar, ...]
    more: str = ""

    def said(self, most: int) -> str:
        """The label in at most so many characters, with what else there is room for."""
        whole = f"{self.label}, {self.more}" if self.more else self.label
        return _shortened(fit(whole if len(whole) <= most else self.label), most)


class Chart(Value, frozen=True):
    """A picture.

    Attributes:
        name: what it is called for those who cannot see it.
        unit: of the axis, such as `seconds`.
        rows: from top to bottom.
        most: where the axis ends.
    """

    name: str
    unit: str
    rows: tuple[Row, ...]
    most: float


def stacked(label: str, parts: Sequence[tuple[str, float]]) -> Row:
    """A row of bars one after the other: (kind, length)."""
    bars, at = list[Bar](), 0.0
    for kind, length in parts:
        if length > 0:
            bars.append(Bar(at, at + length, kind))
            at += length
    return Row(label, tuple(bars))


def draw(chart: Chart) -> dict[str, str]:
    """The picture as SVG by `WIDTHS`; its texts are of whoever wrote the labels, and nothing but texts.

    Raises:
        ValueError: Vega-Lite cannot draw it.
    """
    return {
        size: _plain(
            vl_convert.vegalite_to_svg(specification(chart, width), vl_version="5.20", allowed_base_urls=[]), chart.name
        )
        for size, width in WIDTHS.items()
    }


def specification(chart: Chart, width: int) -> dict[str, Any]:
    """What Vega-Lite is told."""
    bars = [
        {"row": number, "begin": bar.begin, "end": bar.end, "kind": bar.kind}
        for number, row in enumerate(chart.rows)
        for bar in row.bars
    ]
    most = int(width / _CHARACTER)
    labels = [{"row": number, "label": row.said(most)} for number, row in enumerate(chart.rows)]
    kinds = sorted({bar.kind for row in chart.rows for bar in row.bars})
    y = {"field": "row", "type": "ordinal", "axis": None, "scale": {"domain": list(range(len(chart.rows)))}}
    ticks = {"tickCount": 5, "grid": True, "domain": False, "ticks": False, "format": ".6~r"}
    scale = {"domain": [0, chart.most or 1], "nice": False}
    x = {"field": "begin", "type": "quantitative", "title": chart.unit, "scale": scale, "axis": ticks}
    colour = {"field": "kind", "type": "nominal", "legend": None}
    colours = {"domain": kinds, "range": [f"var(--{kind})" for kind in kinds]}
    return {
        "width": width,
        "height": {"step": _ROW},
        "background": "transparent",
        "layer": [
            {
                "data": {"values": bars},
                "mark": {"type": "bar", "size": _BAR, "yOffset": 9, "strokeWidth": 1},
                "encoding": {
                    "y": y,
                    "x": x,
                    "x2": {"field": "end"},
                    "color": {**colour, "scale": colours},
                    "stroke": {**colour, "scale": colours},  # so that the shortest is seen
                },
            },
            {
                "data": {"values": labels},
                "mark": {
                    "type": "text",
                    "align": "left",
                    "baseline": "middle",
                    "yOffset": -8,
                    "limit": width * 2,  # the labels are short enough
                    "fontSize": 13,
                },
                "encoding": {"y": y, "x": {"value": 0}, "text": {"field": "label"}, "color": {"value": "var(--ink)"}},
            },
        ],
        "config": {
            "view": {"stroke": None},
            "axis": {
                "gridColor": "var(--line)",
                "labelColor": "var(--soft)",
                "titleColor": "var(--soft)",
                "titleFontWeight": "normal",
                "labelFontSize": 12,
                "titleFontSize": 12,
            },
        },
    }


def fit(text: str) -> str:
    """A text that every XML can hold, on one line."""
    return _FORBIDDEN.sub("\ufffd", printable(text))


def _shortened(text: str, most: int) -> str:
    """A text without its middle: paths differ at their ends."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def _plain(text: str, name: str) -> str:
    """The picture without what a page has no use for, with a name, and with nothing in it but shapes and texts."""
    source = ET.fromstring(text)  # noqa: S314 - Vega wrote it
    width, height = source.get("width", "0"), source.get("height", "0")
    root = ET.Element(
        "svg",
        {"role": "img", "aria-label": fit(name), "viewBox": f"0 0 {width} {height}", "width": width, "height": height},
    )
    root.extend(_shapes(source))
    return ET.tostring(root, encoding="unicode")


def _shapes(source: ET.Element) -> Iterator[ET.Element]:
    for child in source:
        tag = child.tag.removeprefix(f"{{{_SVG}}}")
        if tag not in {"g", "path", "line", "text", "rect"}:
            continue
        kept = {key: value for key, value in child.attrib.items() if key in _KEPT and _is_seen(key, value)}
        element = ET.Element(tag, kept)
        element.text = child.text if tag == "text" else None
        element.extend(_shapes(child))
        if tag == "g" and len(element) and not kept:
            yield from element
        elif (tag == "g" and len(element)) or (tag == "text" and element.text) or _is_drawn(element, tag):
            yield element


def _is_seen(key: str, value: str) -> bool:
    if key == "transform":
        return value != "translate(0,0)"
    return key not in {"fill", "stroke"} or bool(_PAINTS.fullmatch(value))


def _is_drawn(element: ET.Element, tag: str) -> bool:
    painted = {element.get("fill"), element.get("stroke")} - {None, "none", "transparent"}
    return tag in {"path", "line", "rect"} and bool(painted)
