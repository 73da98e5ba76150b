"""Chromium draws the pages of `report`, and axe-core judges them: at the width of a phone and of a desk, light, dark and on paper."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from sagepack.api.report import page
from tests.helpers.environments import environment, node_modules
from tests.helpers.paths import ROOT
from tests.helpers.reports import BEGUN, ERROR, facts, fleet, happened, run
from tests.unit.api.report.test_page import HOSTILE, hostile_facts

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install -y chromium"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node.js here"),
]
JUDGES = ROOT / "tests" / "slow" / "judges"
DRAWN = 100  # milliseconds, for 2,000 files or 200 specs


def texts() -> dict[str, str]:
    """Pages: an ordinary one, one of a run that failed, long ones, one without a run, and one in which every text is hostile."""
    *before, ended = happened()
    failed = run([*before, replace(ended, exit_code=3, result=None, error=ERROR.to_json())])
    members = fleet(200)
    members[7] = replace(members[7], run=failed)
    members[8] = replace(members[8], run=None, no_run="no run is known", lock=None)
    return {
        "spec": page.spec_page(facts(20), BEGUN),
        "failed": page.spec_page(facts(20, run=failed), BEGUN),
        "files": page.spec_page(facts(2000), BEGUN),
        "none": page.spec_page(
            facts(run=None, lock=None, manifest=None, endpoint=None, no_run="no run is known"), BEGUN
        ),
        "fleet": page.fleet_page(members, BEGUN),
        "hostile": page.spec_page(hostile_facts(" ".join(HOSTILE) + "x" * 300), BEGUN),
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What Chromium sees of each page."""
    folder = tmp_path_factory.mktemp("pages")
    paths: dict[str, Path] = {}
    for name, text in texts().items():
        paths[name] = folder / f"{name}.html"
        paths[name].write_text(text, encoding="utf-8")
    modules = node_modules("browser", JUDGES / "browser.json")
    command = ["node", str(JUDGES / "browser.mjs"), str(modules), str(CHROMIUM), str(folder), *map(str, paths.values())]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    return dict(zip(paths, map(json.loads, done.stdout.splitlines()), strict=True))


def looks(judged: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    found = [(name, look) for name, each in judged.items() for look in each["looks"]]
    assert len(found) == 4 * len(judged)
    return found


def test_nothing_is_loaded_and_nothing_complains(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert look["messages"] == [], name
        assert [address.rpartition("/")[2] for address in look["requests"]] == [f"{name}.html"]


def test_no_page_is_wider_than_its_screen(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert look["size"] == [look["width"], look["width"]], name
        assert look["column"] == min(look["width"], 736), name  # 46rem: lines that are easy to read


def test_a_page_is_light_or_dark_as_its_reader_asks(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert look["dark"] == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[look["colorScheme"]], name


def test_every_picture_is_an_image_with_a_name(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert all(role == "img" and label for role, label in look["pictures"]), name
    assert len(judged["spec"]["looks"][2]["pictures"]) == 4


def test_axe_finds_nothing(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert look["violations"] == [], (name, look["width"], look["colorScheme"])


def test_the_keyboard_reaches_everything_and_shows_where_it_is(judged: dict[str, dict[str, Any]]) -> None:
    for name, look in looks(judged):
        assert look["opened"] in {True, None}
        if keyboard := look["keyboard"]:
            assert (keyboard["reached"], keyboard["unseen"]) == (keyboard["wanted"], []), name
    assert judged["fleet"]["looks"][0]["keyboard"]["wanted"] > 200


def test_paper_is_white_and_nothing_is_hidden_on_it(judged: dict[str, dict[str, Any]]) -> None:
    for name, each in judged.items():
        assert each["printed"]["background"] == "rgb(255, 255, 255)", name
        assert each["printed"]["ground"] in {"rgb(255, 255, 255)", None}, (
            name
        )  # of the graph, which has its own colours
        assert each["printed"]["hidden"] == 0, name
        assert each["printed"]["pdf"] > 10_000, name


def test_2000_files_and_200_specs_are_drawn_at_once(judged: dict[str, dict[str, Any]]) -> None:
    for name in ("files", "fleet"):
        times = judged[name]["times"]
        task, paint = (statistics.median(each[kind] for each in times) for kind in ("task", "paint"))
        print(f"{name}: {task:.0f} ms of the main thread, first paint after {paint:.0f} ms")  # noqa: T201
        assert min(each["task"] for each in times) < DRAWN


def test_html5lib_finds_no_error(tmp_path: Path) -> None:
    python = environment("html5lib", ["html5lib==1.1"]) / "python"
    program = "import sys, html5lib as h; p = h.HTMLParser(); p.parse(sys.stdin.read()); print(p.errors)"
    for name, text in texts().items():
        command = [str(python), "-X", "utf8", "-c", program]
        done = subprocess.run(
            command, check=True, cwd=tmp_path, input=text, capture_output=True, text=True, encoding="utf-8"
        )
        assert done.stdout == "[]\n", name
