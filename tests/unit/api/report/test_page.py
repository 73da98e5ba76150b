"""A page has what is known and nothing else: every text from outside is text, and it loads nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagepack.api.report import charts, last_run, page
from sagepack.api.report.facts import Facts
from sagepack.files import HEAD_BYTES
from sagepack.package.manifest import Manifest, Member
from tests.helpers.reports import BEGUN, facts, fleet, run

if TYPE_CHECKING:
    from collections.abc import Sequence

HOSTILE = [
    "</title></style></script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "--><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% include 'base.html' %}",
    "`<b>`code`",
    "\u202e\x1b[31m\x00\uffff\ud800",
    "]]>&lt;&#60;",
    "javascript:alert(1)",
]
# Of a text that is blank a picture draws nothing.
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=1, max_size=40).filter(str.strip))


class Seen(HTMLParser):
    """The elements of a page with their attributes, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The elements without the values of their attributes."""
        return [(tag, tuple(attributes)) for tag, attributes in self.elements]


def hostile_facts(text: str) -> Facts:
    """Facts with a text in every place; without files and times, which are drawn."""
    found = run()
    error = last_run.Failure(text, text, text, (text,), (last_run.Problem(text, text, text, text),))
    steps = tuple(replace(step, name=text, reasons=(text,), outcome=(text,)) for step in found.steps)
    warnings = tuple(replace(each, where=text, message=text, fix=text) for each in found.warnings)
    notes = tuple(replace(each, text=text) for each in found.notes)
    shown = replace(found, seconds=0.0, task=text, steps=steps, warnings=warnings, notes=notes, error=error)
    actions = tuple(replace(each, reasons=(text,)) for each in found.actions if each.step != "upload")
    without = replace(shown, actions=actions)
    return facts(1, text, run=without, manifest=None, name=text, env=text)


@given(TEXTS)
def test_no_text_makes_markup_on_the_page_of_a_spec(text: str) -> None:
    seen = Seen(page.spec_page(hostile_facts(text), BEGUN))
    plain = Seen(page.spec_page(hostile_facts("text"), BEGUN))
    without_code = [each for each in seen.shape if each[0] != "code"]  # what stands between back quotes
    assert without_code == [each for each in plain.shape if each[0] != "code"]


@given(TEXTS)
def test_no_text_makes_markup_on_the_page_of_a_fleet(text: str) -> None:
    def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
        members = [replace(each, name=text, env=text, config=text, run=None, no_run=text) for each in fleet(2, text)]
        return [each for each in Seen(page.fleet_page(members, BEGUN)).shape if each[0] != "code"]

    assert shape(text) == shape("text")


def test_no_label_makes_markup_in_a_picture() -> None:
    rows = tuple(charts.Row(text, (charts.Bar(0, 1, "step"),)) for text in HOSTILE)
    for drawn in charts.draw(charts.Chart("".join(HOSTILE), "seconds", rows, 2)).values():
        root = ET.fromstring(drawn)  # noqa: S314
        assert {element.tag for element in root.iter()} <= {"svg", "g", "path", "line", "text"}
        names = {name for element in root.iter() for name in element.attrib}
        assert not {name for name in names if name.startswith("on") or "href" in name or name == "style"}
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert len(Seen(drawn).elements) == len(list(root.iter()))


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    for text in (page.spec_page(facts(), BEGUN), page.fleet_page(fleet(2), BEGUN)):
        seen = Seen(text)
        assert {tag for tag, _ in seen.elements}.isdisjoint(
            {"script", "img", "iframe", "object", "embed", "base", "form"}
        )
        addresses = [
            value for _, attributes in seen.elements for name in ("href", "src") if (value := attributes.get(name))
        ]
        assert all(address.startswith("#") or address == "data:," for address in addresses)
        assert "url(" not in text
        assert "@import" not in text
        policy = next(each for tag, each in seen.elements if tag == "meta" and each.get("http-equiv"))
        assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_a_page_has_the_mark_at_its_begin() -> None:
    assert page.MARK.encode() in page.fleet_page([], BEGUN).encode()[:HEAD_BYTES]


def test_ids_are_unique_and_links_lead_to_them() -> None:
    for text in (page.spec_page(facts(), BEGUN), page.fleet_page(fleet(3), BEGUN)):
        seen = Seen(text)
        ids = [each["id"] for _, each in seen.elements if "id" in each]
        assert len(ids) == len(set(ids))
        for _, attributes in seen.elements:
            for name in ("href", "aria-labelledby"):
                wanted = (attributes.get(name) or "").replace("#", "").split()
                assert name != "href" or wanted == ["data:,"] or set(wanted) <= set(ids)
                assert name == "href" or set(wanted) <= set(ids)


def test_the_page_of_a_spec_says_what_is_known() -> None:
    text = " ".join("".join(Seen(page.spec_page(facts(), BEGUN)).texts).split())
    for said in (
        "took 12.4 s, of which 9.1 s (73\N{NO-BREAK SPACE}%)".replace("\N{NO-BREAK SPACE}", " "),
        "owner/name",
        "mit",
        "release.pem",
        "no sample",
        "$1.51 an hour",
        "$0.25 a month",
        "InService",
        "from 0 to 2 instances",
        "one instance",
        "it failed",
        "a warning",
    ):
        assert said in text


@pytest.mark.parametrize("missing", [("run",), ("lock", "manifest"), ("run", "lock", "manifest")])
def test_a_page_is_written_whatever_is_not_known(missing: tuple[str, ...]) -> None:
    names = ("endpoint", "releases", "published", "month", "address", *missing)
    text = page.spec_page(replace(facts(), no_run="no run is known", **dict.fromkeys(names)), BEGUN)
    assert "What it does is not known" in text
    assert "something" in text
    assert ("no run is known" in text) == ("run" in missing)


def test_pages_of_many_files_and_specs_are_small() -> None:
    assert len(page.spec_page(facts(2000), BEGUN).encode()) < 300_000
    assert len(page.fleet_page(fleet(200), BEGUN).encode()) < 300_000


def test_a_plan_in_an_unusual_order_is_drawn_with_each_step_once() -> None:
    found = run()
    odd = (*reversed(found.actions), *found.actions, replace(found.actions[0], step="dance"))
    text = page.spec_page(facts(run=replace(found, seconds=0.0, actions=odd), manifest=None), BEGUN)
    assert re.findall(r'id="sagepack-step-(\w+)"', text) == ["lock", "download", "checksum", "upload"]


def test_the_largest_files_are_drawn_and_all_are_listed() -> None:
    members = [Member(f"file-{number}", number, facts().manifest.digest) for number in range(30)]  # type: ignore[union-attr]
    text = page.spec_page(facts(manifest=Manifest.of(members)), BEGUN)
    assert "the 20 other files" in text
    assert len(re.findall(r'<th scope="row">file-\d+', text)) == 30


def sizes(drawn: Sequence[str]) -> list[str]:
    return [re.findall(r'width="(\d+)"', text)[0] for text in drawn]


def test_a_picture_is_drawn_for_a_desk_and_for_a_phone() -> None:
    drawn = charts.draw(charts.Chart("name", "seconds", (charts.stacked("row", [("step", 1.0), ("sent", 0.0)]),), 1))
    assert [int(size) for size in sizes(list(drawn.values()))] == [pytest.approx(width, abs=20) for width in (680, 300)]


def test_a_page_says_whether_what_serves_is_as_it_was_signed() -> None:
    shown = page.spec_page(facts(), BEGUN)
    assert "the package of the endpoint is not signed" in shown
    live = facts().endpoint
    assert live
    unasked = page.spec_page(facts(endpoint=replace(live, signature=None)), BEGUN)
    assert shown.count("<dt>Signature</dt>") == unasked.count("<dt>Signature</dt>") + 1
