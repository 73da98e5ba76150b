"""A report of real runs over the sandbox says what they did, and is written whatever cannot be found out."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from sagepack.api.recording import LastRunFile
from sagepack.api.report.page import MARK
from tests.integration.test_whole_way import Project, edit


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.invoke("deploy")
    yield project
    project.invoke("sandbox.stop")


@pytest.fixture
def last_run(project: Project) -> Iterator[Path]:
    """The events of the last run, which are put back."""
    path = project.root / "build" / "svd-local" / "last-run.jsonl"
    before = path.read_bytes()
    yield path
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(before)


def text_of(project: Project, path: str = "build/svd-local/report.html") -> str:
    return (project.root / path).read_text(encoding="utf-8")


def test_a_report_says_what_was_built_what_the_run_did_and_what_serves(project: Project) -> None:
    result = project.json("report")
    text = text_of(project)
    assert (result["path"], result["size"]) == ("build/svd-local/report.html", len(text.encode()))
    assert (result["specs"], result["unknown"]) == (1, [])
    assert result["headline"].startswith("The last run (deploy) took ")
    assert "10 files, 10.4 MiB fetched" in text
    assert "fetched from the Hub, and sent on" in text
    assert "+ endpoint svd" in text
    assert "have changed since" not in text
    assert project.json("verify", "--remote")["manifest"] in text
    assert "InService" in text
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in text
    assert "skipped: " in text  # the smoke test of the release
    assert text.startswith("<!doctype html>")
    assert MARK in text


@pytest.mark.slow
def test_a_report_changes_nothing_but_its_file_and_is_written_over(project: Project) -> None:
    first = project.json("report", "--output", "first.html")
    assert project.json("report", "--output", "first.html")["path"] == first["path"]
    assert project.runs("plan", "--to", "deploy") == []


@pytest.mark.slow
def test_a_run_with_nothing_to_do_leaves_the_report_of_the_one_before(project: Project) -> None:
    before = project.json("report")["headline"]
    project.invoke("deploy")
    assert project.json("rollback", "--to", "1", "--yes")["changes"] == []
    assert project.json("report")["headline"] == before


def test_a_change_since_the_last_run_is_said(project: Project) -> None:
    path = project.root / "inference_code" / "svd" / "inference.py"
    before = path.read_bytes()
    edit(project)
    project.invoke("report")
    assert "have changed since" in text_of(project)
    assert "<dd>not yet</dd>" in text_of(project)
    path.write_bytes(before)


def test_without_a_run_the_report_says_what_would_run(project: Project, last_run: Path) -> None:
    last_run.unlink()
    assert project.json("report")["headline"].startswith("no run is known")
    assert "What would run now, and why" in text_of(project)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "was killed; its last event came after"),
        (lambda lines: lines[:3], "its last event came after"),
        (lambda lines: [*lines[:2], lines[2][:20], *lines[3:]], "1 of the lines in build/svd-local/last-run.jsonl"),
        (lambda lines: [lines[0].replace(b'"version": 1', b'"version": 99'), *lines[1:]], "does not know"),
        (lambda _lines: [b"\x00\xff"], "is damaged"),
        (lambda _lines: [], "is damaged"),
    ],
)
def test_events_that_are_cut_off_damaged_or_newer_are_said(
    project: Project, last_run: Path, damage: object, said: str
) -> None:
    assert callable(damage)
    last_run.write_bytes(b"\n".join(damage(last_run.read_bytes().splitlines())))
    project.json("report")
    assert said in text_of(project)


@pytest.mark.slow
def test_a_run_that_goes_on_is_told_from_one_that_was_killed(project: Project, last_run: Path) -> None:
    last_run.write_bytes(b"".join(last_run.read_bytes().splitlines(keepends=True)[:-1])[:-10])
    kept = LastRunFile(lambda: None)
    begun = datetime.fromisoformat(json.loads(last_run.read_bytes().split(b"\n")[0])["time"].replace("Z", "+00:00"))
    assert kept.go_on(last_run, begun)
    assert project.json("report")["headline"].startswith("The last run (deploy) goes on in the step deploy: ")
    kept.close()
    assert project.json("report")["headline"].startswith("The last run (deploy) was killed")
    assert "damaged" not in text_of(project)


def test_events_that_cannot_be_read_are_said(project: Project, last_run: Path) -> None:
    last_run.unlink()
    last_run.mkdir()
    project.json("report")
    assert "cannot be read: Is a directory" in text_of(project)


def test_a_run_that_failed_has_its_error_in_the_report(project: Project) -> None:
    error = project.json("package", "--set", "model.include=[nothing.*]", "--set", "name=failing", code=1)
    failure = project.json("report", "--set", "name=failing")["failure"]
    assert failure == (f"{error['where']}: {error['message']}" if error["where"] else error["message"])
    text = text_of(project, "build/failing-local/report.html")
    assert 'failing in local <span class="badge bad">failed</span>' in text
    assert "What to do: " in text


def test_a_file_that_is_no_report_is_left_alone(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<p>mine")
    error = project.json("report", "--output", str(path), code=1)
    assert (error["where"], error["message"]) == (str(path), "there is a file of that name which is no report")
    assert path.read_text() == "<p>mine"


@pytest.mark.parametrize(
    ("name", "message"), [("", "there is a folder of that name"), ("file/report.html", "File exists")]
)
def test_a_place_that_cannot_be_written_is_an_error(project: Project, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    error = project.json("report", "--output", str(tmp_path / name), code=1)
    assert error["message"] == message


def test_without_the_libraries_the_report_says_how_to_install_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sagepack.api.report.page", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    error = project.json("report", code=1)
    assert (error["message"], error["fix"]) == (
        "a report needs jinja2, which is not installed",
        "pip install 'sagepack[report]'",
    )


def test_without_credentials_that_is_said_and_the_rest_is_written(project: Project) -> None:
    result = project.json("report", "--env", "dev")
    assert "what AWS has of it: AWS account: there are no AWS credentials" in result["unknown"]
    text = text_of(project, "build/svd-dev/report.html")
    assert "What it does is not known" in text
    assert "there are no AWS credentials" in text


def test_an_endpoint_that_is_not_there_is_said_to_be_not_there(project: Project) -> None:
    project.invoke("report", "--set", "endpoint.name=another")
    assert "There is no endpoint <code>another</code>" in text_of(project)


def test_the_report_of_a_fleet_has_a_row_for_each_spec(project: Project) -> None:
    result = project.json("report", "--select", "config/*.yaml", "--envs", "local,dev")
    assert result["path"] == "build/report.html"
    assert result["specs"] == 4
    text = text_of(project, "build/report.html")
    assert text.count('<th scope="row">') == 4
    assert "no run" in text
    assert result["headline"].startswith("2 specs in 2 environments: ")


def test_a_spec_of_a_fleet_that_is_wrong_has_its_mistakes_in_its_place(project: Project) -> None:
    path = project.root / "config" / "wrong.yaml"
    path.write_text("name: wrong\nmodle: {}\n")
    project.invoke("report", "--select", "config/wrong.yaml", "--select", "config/svd.yaml")
    path.unlink()
    text = text_of(project, "build/report.html")
    assert "problems in the spec" in text
    assert "config/wrong.yaml in local</a>: not valid" in text
    assert "did you mean &#39;model&#39;?" in text
    assert "\\n" not in text


def test_a_fleet_without_such_a_spec_is_an_error(project: Project) -> None:
    assert "no spec matches" in project.json("report", "--select", "nothing/*.yaml", code=1)["message"]
