"""A picture has every step and every arrow once, and no text of others means anything in it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from sagepack.api.graph import mermaid, svg
from sagepack.deploy.change import Change
from sagepack.engine.plan import Action

NEEDS = {"lock": (), "download": ("lock",), "assemble": ("lock",), "upload": ("download", "assemble")}
ACTIONS = [
    Action("lock", "skip", ("up to date",)),
    Action("download", "run", ("not in the cache",), fetch=10 << 20),
    Action("assemble", "run", ("first run",)),
    Action("upload", "blocked", ("the bucket is of another account",)),
]
ARROWS = [("lock", "download"), ("lock", "assemble"), ("download", "upload"), ("assemble", "upload")]
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    'style: x#35;"]; click a href "javascript:alert(1)"',
    "</text><script>alert(1)</script>&amp;",
    "`md **b** _c_` $$x$$",
    "a\n--> b",
    "%%{init: {}}%% end",
    "\u202e\x1b[31m\x00\uffff\ud800",
    "- a",
    "1. a",
    "+ a",
]
REASONS = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(), min_size=1, max_size=60))
NODE = re.compile(r'  step_[a-z]+\["((?:[\w ,/.-]|#\d+;|<br>)*)"\]')


def squeezed(texts: list[str]) -> str:
    return "".join("".join(texts).split())


def test_a_flowchart_has_every_step_and_every_arrow_once() -> None:
    assert mermaid.document(ACTIONS, NEEDS) == (
        "flowchart TD\n"
        '  step_lock["lock<br>skip<br>up to date"]\n'
        '  step_download["download<br>run, 10.0 MiB to fetch<br>not in the cache"]\n'
        '  step_assemble["assemble<br>run<br>first run"]\n'
        '  step_upload["upload<br>blocked<br>the bucket is of another account"]\n'
        "  step_lock --> step_download\n"
        "  step_lock --> step_assemble\n"
        "  step_download --> step_upload\n"
        "  step_assemble --> step_upload\n"
        "  classDef run stroke:#218bff,stroke-width:3px\n"
        "  class step_download,step_assemble run\n"
        "  classDef skip stroke-dasharray:4 3\n"
        "  class step_lock skip\n"
        "  classDef blocked stroke:#e5534b,stroke-width:3px\n"
        "  class step_upload blocked\n"
    )


@given(REASONS)
def test_a_label_of_a_flowchart_is_text_and_nothing_else(reason: str) -> None:
    text = mermaid.document([Action("lock", "run", (reason,))], {"lock": ()})
    assert len(text.splitlines()) == 4
    found = NODE.fullmatch(text.splitlines()[1])
    assert found
    lines = found[1].split("<br>")
    assert not any(re.match(r"[-+*]|\d+[.)](\s|$)", line) for line in lines)  # lists, for Markdown
    shown = [re.sub(r"#(\d+);", lambda code: chr(int(code[1])), line) for line in lines]
    said = svg_texts(svg.document("title", [Action("lock", "run", (reason,))], {"lock": ()}), "why")
    assert squeezed(shown[2:]).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd") == squeezed(said)


def svg_texts(text: str, look: str) -> list[str]:
    root = ET.fromstring(text)  # noqa: S314 - of our own making
    return [each.text or "" for each in root.iter(f"{SVG}text") if each.get("class") == look]


def test_a_picture_has_every_step_and_every_arrow_once_and_says_what_it_shows() -> None:
    text = svg.document("The steps of svd", ACTIONS, NEEDS)
    root = ET.fromstring(text)  # noqa: S314 - of our own making
    assert svg_texts(text, "step") == [action.step for action in ACTIONS]
    assert [circle.get("class") for circle in root.iter(f"{SVG}circle")] == [action.status for action in ACTIONS]
    assert len({path.get("d") for path in root.iter(f"{SVG}path")}) == len(ARROWS)
    assert svg_texts(text, "amount") == ["10.0 MiB to fetch"]
    labels = (root.get("aria-labelledby") or "").split()
    assert (root.get("role"), [root[0].get("id"), root[1].get("id")]) == ("img", labels)
    assert root[0].text == "The steps of svd"
    assert (root[1].text or "").startswith(
        "lock: skip; up to date. download (after lock): run; 10.0 MiB to fetch; not in the cache. assemble (after lock)"
    )


def test_a_picture_loads_nothing_and_knows_dark_pages() -> None:
    text = svg.document("The steps of svd", ACTIONS, NEEDS)
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?:[^\"]*|url\(|@import|href|script", text) == ["http://www.w3.org/2000/svg"]


@given(REASONS, REASONS)
def test_a_picture_is_well_formed_whatever_it_says(title: str, reason: str) -> None:
    change = Change("update", "why", reason, "path", "a", reason)
    actions = [Action("lock", "blocked", (reason,)), Action("deploy", "run", ("why",), changes=(change,))]
    root = ET.fromstring(svg.document(title, actions, {"lock": (), "deploy": ("lock",)}))  # noqa: S314 - our own
    kinds = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert kinds <= {"svg", "title", "desc", "style", "rect", "path", "g", "circle", "text"}
    width = int(root.get("width") or 0)
    assert all(int(each.get("x") or 0) < width for each in root.iter(f"{SVG}text"))
