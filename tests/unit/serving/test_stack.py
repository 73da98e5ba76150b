"""Where the serving stack is, and what is checked before gigabytes are installed."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import RemoteError, UserError
from sagepack.serving import stack
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_the_stack_is_that_of_the_project_unless_only_the_program_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(stack.PYTHON, raising=False)
    project, program = tmp_path / "project", tmp_path / "program"
    own, beside = (folder / ".venv-serve" / "bin" / "python" for folder in (project, program))
    monkeypatch.setattr(sys, "prefix", str(program / ".venv"))
    assert stack.interpreter(project) == own
    beside.parent.mkdir(parents=True)
    beside.touch()
    assert stack.interpreter(project) == beside
    own.parent.mkdir(parents=True)
    own.touch()
    assert stack.interpreter(project) == own
    monkeypatch.setenv(stack.PYTHON, str(own))
    assert not stack.is_named(stack.interpreter(project))
    monkeypatch.setenv(stack.PYTHON, "/usr/bin/python3")
    assert str(stack.interpreter(project)) == "/usr/bin/python3"
    assert stack.is_named(stack.interpreter(project))


def test_what_the_stack_needs_is_checked_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(UserError, match=r"needs Python 3\.11"):
        stack.install(tmp_path, said.append)
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UserError, match="needs Java"):
        stack.install(tmp_path, said.append)
    assert list(tmp_path.iterdir()) == []
    java = tmp_path / "java"  # as on macOS, where it says that there is no Java
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    for version, told in (
        ("", "does not run: it ends with status 1"),
        ("1.8.0_392", r"Java 11 or later, and \S+ is 1\.8"),
    ):
        if version:
            java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        with pytest.raises(UserError, match=told):
            stack.install(tmp_path, said.append)
    assert (list(tmp_path.iterdir()), said) == ([java], [])


def test_a_step_of_the_installation_that_fails_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    monkeypatch.setattr("shutil.which", lambda _: "/bin/true")
    said: list[str] = []
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RemoteError, match="ended with status 1"):
        stack.install(tmp_path, said.append)
    assert "1.4 GB" in said[0]


def test_every_package_of_the_stack_is_pinned() -> None:
    lines = (ROOT / "requirements-serve.txt").read_text().splitlines()
    for line in (*(line for line in lines if not line.startswith("#")), *stack.TOOLKIT):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( +#.*)?", line), line
