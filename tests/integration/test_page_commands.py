"""The commands of pages, typed in their order in a project whose environments are all the sandbox."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from sagepack.api.results import FOUND_WORK
from tests.helpers.paths import ROOT
from tests.integration.test_whole_way import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # a page is typed whole, which takes as long as it takes a user

HOW_TO = ROOT / "docs" / "how-to"
_COMMAND = re.compile(r"^ *sagepack (.*)$", re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with the environments that the pages name, each of them the sandbox."""
    found = Project(tmp_path)
    environments = tmp_path / "config" / "env"
    for name in ("dev", "staging", "prod"):
        overlay = f"{(environments / 'local.yaml').read_text()}endpoint:\n  name: svd-{name}\n"
        (environments / f"{name}.yaml").write_text(overlay)
    monkeypatch.chdir(tmp_path)
    yield found
    found.invoke("sandbox.stop")


@pytest.mark.parametrize("page", ["environments", "teams", "permissions"])
def test_the_commands_of_a_page_run_as_they_stand_there(page: str, project: Project) -> None:
    text = (HOW_TO / f"{page}.md").read_text()
    commands = [shlex.split(line, comments=True) for line in _COMMAND.findall(text)]
    assert len(commands) > 1 or page == "teams"
    for words in commands:
        before_redirection = words[: words.index(">")] if ">" in words else words
        ran = project.invoke(*before_redirection, code=None)
        shows = words[0] == "plan" or "--dry-run" in words
        assert ran.returncode == 0 or (shows and ran.returncode == FOUND_WORK), (words, ran.stderr)


def test_the_readme_names_the_archive_that_package_makes(project: Project) -> None:
    project.invoke("package")
    assert f"    sha256   {project.sha256()}\n" in (ROOT / "README.md").read_text()
