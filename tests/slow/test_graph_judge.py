"""Mermaid itself, with which GitHub and GitLab draw flowcharts, reads those of `graph` as they are meant."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api.graph import mermaid
from sagepack.engine.plan import Action
from sagepack.text import printable
from tests.helpers.environments import node_modules
from tests.helpers.paths import ROOT
from tests.unit.api.graph.test_documents import ACTIONS, ARROWS, HOSTILE, NEEDS, squeezed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node.js here")]
VERSIONS = {"mermaid": "11.12.1", "jsdom": "26.1.0"}
# What means something to Mermaid, to Markdown or to a page, and letters around it.
SYNTAX = [*"#;:\"'`<>[](){}|&%$@\\/-=~*_^!?.,0aé漢 ", "-->", "%%", "end", "click", "style", "subgraph", "<br>", "&lt;"]
Read = list[dict[str, Any]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[list[str]], Read]:
    """What Mermaid takes documents for."""
    package = tmp_path / "package.json"
    package.write_text(json.dumps({"dependencies": VERSIONS}))
    modules = node_modules("mermaid", package)

    def judged(documents: list[str]) -> Read:
        command = ["node", str(ROOT / "tests/slow/judges/mermaid.mjs"), str(modules)]
        done = subprocess.run(
            command, input=json.dumps(documents), check=False, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return judged


def test_mermaid_reads_every_step_its_state_and_every_arrow(read: Callable[[list[str]], Read]) -> None:
    (found,) = read([mermaid.document(ACTIONS, NEEDS)])
    assert {step: node["classes"] for step, node in found["nodes"].items()} == {
        f"step_{action.step}": [action.status] for action in ACTIONS
    }
    assert found["nodes"]["step_upload"]["label"] == "upload<br>blocked<br>the bucket is of another account"
    assert sorted(found["arrows"]) == sorted([f"step_{one}", f"step_{other}"] for one, other in ARROWS)


def test_mermaid_takes_no_text_of_others_for_more_than_text(read: Callable[[list[str]], Read]) -> None:
    chosen = random.Random(0)
    reasons = [*HOSTILE, *("".join(chosen.choices(SYNTAX, k=chosen.randrange(1, 40))) for _ in range(300))]
    found = read([mermaid.document([Action("lock", "run", (reason,))], {"lock": ()}) for reason in reasons])
    for reason, each in zip(reasons, found, strict=True):
        assert "error" not in each, (reason, each)
        assert list(each["nodes"]) == ["step_lock"], reason
        *_, said = each["nodes"]["step_lock"]["label"].split("<br>", 2)
        if "<br>" not in reason:
            assert squeezed(said.split("<br>")) == squeezed([printable(reason)]), reason
    (broken,) = read(['flowchart TD\n  a["x"y"]\n'])
    assert "Parse error" in broken["error"]
