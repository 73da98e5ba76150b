"""What a package requires, beside a stand-in for the serving stack whose pip writes down what it is asked for."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.errors import UserError
from sagepack.serving import environment, overlay

if TYPE_CHECKING:
    from pathlib import Path

PIP = """
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as file:
    file.write(json.dumps(words) + "\\n")
answer = json.loads((here / "answer").read_text())
if "error" in answer:
    sys.exit(answer["error"])
if "--dry-run" in words:
    asked = pathlib.Path(words[words.index("-r") + 1]).read_text()
    if "==" in asked and "pinned" in answer:
        sys.exit(answer["pinned"])
    (here / "asked").write_text(asked)
    print(json.dumps({"install": answer["install"]}))
else:
    pathlib.Path(words[words.index("--target") + 1]).mkdir()
"""


class Pip:
    """The interpreter of a stack whose pip is a program of this test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.python, self.cache = folder, folder / "bin" / "python", folder / "cache"
        self.said: list[str] = []
        (folder / "bin").mkdir()
        (folder / "pip.py").write_text(PIP)
        program = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(folder / "pip.py"))} "$@"\n'
        self.python.write_text(program)
        self.python.chmod(0o755)
        self.answers(install=[])

    def answers(self, **answer: Any) -> None:
        (self.folder / "answer").write_text(json.dumps(answer))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def prepare(self, text: str) -> overlay.Overlay | None:
        (self.folder / "requirements.txt").write_text(text)
        return overlay.prepare(self.folder / "requirements.txt", self.python, self.cache, self.said.append)


@pytest.fixture
def pip(tmp_path: Path) -> Pip:
    return Pip(tmp_path)


def item(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "version": version}, **more}


def test_what_the_stack_lacks_is_installed_once_and_nothing_else(pip: Pip) -> None:
    pip.answers(
        install=[item("imageio", "2.37.0"), item("av", "1.0", is_direct=True, download_info={"url": "file:///a"})]
    )
    found = pip.prepare("imageio==2.37.0\n")
    assert found is not None
    assert found.installed == ("av==1.0", "imageio==2.37.0")
    assert found.folder.is_dir()
    install = pip.calls[-1]
    assert install[-2:] == ["imageio==2.37.0", "av @ file:///a"]
    assert "--no-deps" in install
    assert pip.prepare("imageio==2.37.0  # again\n") == found
    assert len(pip.calls) == 2
    assert len(pip.said) == 1


def test_a_stack_that_has_everything_gets_nothing(pip: Pip) -> None:
    assert pip.prepare("numpy\n") is None
    assert pip.prepare("numpy\n") is None
    assert len(pip.calls) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "--no-index\n"])
def test_pip_is_not_asked_about_nothing(pip: Pip, text: str) -> None:
    assert pip.prepare(text) is None
    assert not (pip.folder / "calls").exists()


def test_a_package_without_requirements_has_no_overlay(pip: Pip) -> None:
    assert overlay.prepare(pip.folder / "none", pip.python, pip.cache, pip.said.append) is None


def test_pips_reason_is_told_and_nothing_is_kept(pip: Pip) -> None:
    pip.answers(
        error="Looking in indexes\nERROR: Could not find nosuch==9\nERROR: No matching distribution found for nosuch==9"
    )
    with pytest.raises(UserError, match="failed to install required packages") as caught:
        pip.prepare("nosuch==9\n")
    assert caught.value.details == ("Could not find nosuch==9", "No matching distribution found for nosuch==9")
    assert list(pip.cache.iterdir()) == []
    pip.answers(install=[])
    assert pip.prepare("nosuch==9\n") is None


OTHER_PYTHON = (
    "ERROR: Ignored the following versions that require a different python version: 19.0.2 Requires-Python >=3.12\n"
    "ERROR: No matching distribution found for av==19.0.2"
)


def test_a_version_that_is_not_made_for_the_python_of_the_stack_is_replaced_by_one_before_it_which_is_said(
    pip: Pip,
) -> None:
    pip.answers(pinned=OTHER_PYTHON, install=[item("av", "18.1.0"), item("imageio", "2.37.0")])
    found = pip.prepare("--no-index\nav==19.0.2 --hash=sha256:00\nimageio==2.37.0\n")
    assert found is not None
    assert found.installed == ("av==18.1.0", "imageio==2.37.0")
    assert (pip.folder / "asked").read_text() == "av<=19.0.2\nimageio<=2.37.0\n"
    (warning,) = [line for line in pip.said if line.startswith("warning")]
    assert "av 18.1.0 takes the place of 19.0.2" in warning


def test_an_index_that_cannot_be_reached_is_told(pip: Pip) -> None:
    pip.answers(
        error="WARNING: Retrying (Retry(total=4))\nWARNING: Retrying (Retry(total=3))\nERROR: No matching distribution"
    )
    with pytest.raises(UserError) as caught:
        pip.prepare("a\n")
    assert caught.value.details == ("WARNING: Retrying (Retry(total=4))", "No matching distribution")


def test_a_stack_without_pip_is_told(pip: Pip) -> None:
    pip.python.unlink()
    with pytest.raises(UserError, match="pip of the serving stack does not run"):
        pip.prepare("a\n")


def test_of_requirements_that_are_locked_for_the_image_names_and_versions_count(pip: Pip) -> None:
    (pip.folder / "wheels").mkdir()
    pip.prepare(
        "--no-index\n--find-links ./wheels\n--require-hashes\n"
        "imageio==2.37.0 \\\n    --hash=sha256:0123 \\\n    --hash=sha256:4567\n"
        "./wheels/av-1.2.3-cp312-cp312-manylinux_2_28_x86_64.whl --hash=sha256:89ab\n"
        "-r more.txt\npackage[extra] >= 1 ; python_version > '3'  # why\n--extra-index-url https://example.com\n"
    )
    assert (pip.folder / "asked").read_text().splitlines() == [
        *("imageio==2.37.0", "av==1.2.3", f"-r {pip.folder / 'more.txt'}"),
        *("package[extra] >= 1 ; python_version > '3'", "--extra-index-url https://example.com"),
    ]
    (call,) = pip.calls
    assert call[call.index("--find-links") + 1] == str(pip.folder / "wheels")
    assert "--no-index" not in call


def test_what_the_image_has_counts_as_installed_and_so_does_every_torch(pip: Pip) -> None:
    (pip.folder / "requirements.txt").write_text("torch==2.6.0\nnvidia_cuda.runtime==12\nNum_Py==1.26.4\nav[a]==1\n")
    wanted = overlay.read(pip.folder / "requirements.txt", {"num-py"})
    assert wanted.lines == ("av[a]==1",)


def test_another_stack_another_line_and_another_wheel_are_asked_about_again(pip: Pip) -> None:
    wheels, stack = pip.folder / "wheels", pip.folder / "lib" / "python3.11" / "site-packages"
    wheels.mkdir()
    text = "-f wheels\na==1\n"
    for number, change in enumerate((stack, wheels / "a.whl", stack / "a-1.dist-info"), 1):
        change.mkdir(parents=True)
        pip.prepare(text)
        pip.prepare(text)
        assert len(pip.calls) == number
    pip.prepare(text + "b==1\n")
    assert len(pip.calls) == 4


def test_a_file_that_is_not_utf8_is_told(pip: Pip) -> None:
    (pip.folder / "requirements.txt").write_bytes(b"caf\xe9==1\n")
    with pytest.raises(UserError, match="not UTF-8"):
        overlay.prepare(pip.folder / "requirements.txt", pip.python, pip.cache, pip.said.append)


def test_pip_gets_its_own_settings_and_no_secret_of_others() -> None:
    given = {"PATH": "/bin", "PIP_INDEX_URL": "https://me:x@example.com", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x"}
    assert environment.for_pip(given) == {name: given[name] for name in ("PATH", "PIP_INDEX_URL", "HOME")}
