"""The Python API as its page shows it: a program of a user, typed and run."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import sagepack
from sagepack import Project
from sagepack.sandbox.aws.invocations import ScriptedResult
from tests.helpers.deployments import RecordedProgress
from tests.helpers.paths import ROOT
from tests.integration.test_golden import Toy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

PAGE = ROOT / "docs" / "how-to" / "python.md"


def program() -> str:
    """The program of the page."""
    (found,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def toy(sandbox: Servers, tmp_path: Path) -> Iterator[Toy]:
    """A project whose environment is the sandbox of the tests."""
    with mock.patch("sagepack.api.connect.running", return_value=sandbox), mock.patch.dict(os.environ):
        yield Toy(tmp_path / "toy", sandbox)


@pytest.fixture
def bring_up_to_date() -> Callable[[str, str, str], int]:
    """The function of the page's program."""
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(program(), str(PAGE), "exec"), names)  # noqa: S102 - a page of this repository
    found: Callable[[str, str, str], int] = names["bring_up_to_date"]
    return found


@pytest.mark.slow
def test_the_program_of_the_page_deploys_and_logs_what_it_does(
    toy: Toy, bring_up_to_date: Callable[[str, str, str], int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "models")
    assert bring_up_to_date(str(toy.root), "config/toy.yaml", "local") == 0
    lines = caplog.messages
    assert [line.split()[0] for line in lines if " begins: " in line] == [
        *("lock", "download", "assemble", "checksum", "tar"),
        *("upload", "deploy"),
    ]
    assert "run upload: " in "\n".join(lines)
    assert re.search(r"^dist/toy/local/model\.tar\.gz has \d+ bytes$", "\n".join(lines), re.MULTILINE)
    assert lines[-1].startswith("arn:aws:sagemaker:us-east-1:123456789012:endpoint/toy serves toy-")


def test_the_program_of_the_page_says_what_is_wrong_with_a_spec(
    toy: Toy, bring_up_to_date: Callable[[str, str, str], int], caplog: pytest.LogCaptureFixture
) -> None:
    path = toy.root / "config" / "toy.yaml"
    path.write_text(path.read_text().replace("max_capacity: 2", "max_capacity: none"))
    assert bring_up_to_date(str(toy.root), "config/toy.yaml", "local") == 1
    assert "endpoint.scaling.max_capacity" in caplog.messages[-1]
    assert "config/toy.yaml:15:" in caplog.messages[-1]


def test_a_warning_about_the_code_is_told_by_each_command_that_looks_at_it_and_kept_once(toy: Toy) -> None:
    toy.write_code("def model_fn(model_dir): ...\n\ndef predit_fn(data, model): ...\n")
    told = [
        "warning: code_of_toy/inference.py:3:1: predit_fn is not a hook, so the container does not call it",
        "warning:   did you mean 'predict_fn'?",
    ]
    for goal in ("package", "package", "upload"):  # without a lock, with nothing to do, and with other work
        progress = RecordedProgress()
        project = Project(toy.root, progress=progress)
        project.build(goal)
        assert [note for note in progress.notes if note.startswith("warning: ")] == told
        assert len(project.warnings) == 1
    planned = Project(toy.root)
    for _ in range(2):
        planned.plan("deploy")
    assert len(planned.warnings) == 1


def test_a_missing_spec_is_an_error_with_a_place_and_a_way_out(toy: Toy) -> None:
    with pytest.raises(sagepack.UserError) as caught:
        Project(toy.root, "config/none.yaml").plan()
    assert caught.value.where
    assert caught.value.fix


def test_what_a_caller_may_mistake_is_told(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(sagepack.UserError, match=r"no project here: no folder from .* upward has config/env/"):
        Project(tmp_path, "config/toy.yaml").plan()
    with pytest.raises(sagepack.UserError, match=r"unknown step 'depoly'\s+did you mean 'deploy'\?"):
        Project(toy.root).build("depoly")
    with pytest.raises(sagepack.SpecError, match=r"--set endpoint\.instance_type: "):
        Project(toy.root, sets="endpoint.instance_type=ml.g5").validate()


def test_the_project_and_its_only_spec_are_found_from_a_folder_in_it(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root / "code_of_toy")
    project = Project()
    assert project.validate() == sagepack.api.results.Validated("config/toy.yaml", "toy", "local")
    assert project.root == toy.root


def test_a_request_may_be_an_object_and_a_short_answer_is_in_the_result(toy: Toy, sandbox: Servers) -> None:
    project = Project(toy.root)
    project.deploy()
    sandbox.aws.invocations.script(ScriptedResult(b'{"label": "good"}'))
    answer = project.predict({"inputs": "größer"})
    assert json.loads(answer.text or "") == {"label": "good"}
    assert json.loads((toy.root / answer.files[0]).read_text()) == {"label": "good"}
    ((endpoint, request),) = sandbox.aws.invocations.received
    assert (endpoint, json.loads(request)) == ("toy", {"inputs": "größer"})


def test_paths_may_be_texts_and_relative_to_the_working_folder(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root)
    project = Project(".", "config/toy.yaml")
    assert project.spec is None
    assert project.plan().actions[0].step == "lock"
    assert project.spec == sagepack.api.results.SpecReference("config/toy.yaml", "toy", "local")


@pytest.mark.slow
def test_the_program_of_the_page_is_typed_as_strictly_as_a_user_may_wish(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"{program()}\nreveal_type(Project('.').deploy().endpoint)\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    run = subprocess.run(
        [*command, "program.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert 'Revealed type is "sagepack.engine.outputs.LiveEndpoint | None"' in run.stdout
    assert "Success: no issues found" in run.stdout, run.stdout
