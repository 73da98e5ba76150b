"""What `--events` writes of real runs over the sandbox: every line matches the schema, and says what the result says."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sagepack.api.events import VERSION, RunBegun, RunEnded, StepBegun
from sagepack.api.recording import LastRunFile, encoded, now
from sagepack.cli.main import run_command
from sagepack.cli.options import Options
from sagepack.errors import UserError
from tests.helpers.paths import SCHEMAS
from tests.integration.test_whole_way import Project, edit

VALIDATOR = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "event.schema.json").read_text()))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    project.invoke("sandbox.env")
    yield project
    project.invoke("sandbox.stop")


def parsed(text: str) -> list[dict[str, Any]]:
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        VALIDATOR.validate(event)
    assert [event["time"] for event in found] == sorted(event["time"] for event in found)
    assert all(event["time"].endswith("Z") for event in found)
    return found


def of(kind: str, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


@pytest.mark.parametrize(("goal", "step", "moved"), [("package", "download", "fetched"), ("upload", "upload", "sent")])
def test_the_events_of_a_run_say_what_its_result_says(
    project: Project, tmp_path: Path, goal: str, step: str, moved: str
) -> None:
    path = tmp_path / "events.jsonl"
    result = project.json(goal, "--events", str(path))
    events = parsed(path.read_text())
    assert [event["event"] for event in (events[0], events[-1])] == ["run-begun", "run-ended"]
    assert events[0]["task"] == goal
    assert (events[-1]["exit_code"], events[-1]["result"], events[-1]["error"]) == (0, result, None)
    planned = of("planned", events)[-1]["actions"]
    assert [action["step"] for action in planned] == [action["step"] for action in result["actions"]]
    ran = [action for action in result["actions"] if action["status"] == "run"]
    assert [event["step"] for event in of("step-begun", events)] == [action["step"] for action in ran]
    ended = of("step-ended", events)
    assert [(event["step"], event["succeeded"]) for event in ended] == [(each["step"], True) for each in ran]
    for event, action in zip(ended, ran, strict=True):
        for counted, expected in (("fetched", "fetch"), ("sent", "send"), ("copied", "copy")):
            assert event[counted] in {None, action[expected]}, (event, action)
    assert next(event for event in ended if event["step"] == step)[moved]
    bars = {(event["step"], event["label"]): event for event in of("progress", events)}
    assert bars
    assert all(event["done"] == event["total"] for event in bars.values())


def test_a_file_holds_the_events_of_the_last_run_alone(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "note"}\n' * 1000)
    project.invoke("package")
    project.invoke("package", "--events", str(path))
    assert [event["event"] for event in parsed(path.read_text())] == ["run-begun", "planned", "run-ended"]


def test_the_events_of_the_last_run_that_did_something_are_kept(project: Project, tmp_path: Path) -> None:
    kept, path = project.root / "build" / "svd-local" / "last-run.jsonl", tmp_path / "events.jsonl"
    edit(project)
    project.invoke("package", "--events", str(path))
    assert of("step-ended", parsed(kept.read_text()))
    assert kept.read_text() == path.read_text()
    project.invoke("package")
    assert kept.read_text() == path.read_text()
    edit(project)
    project.invoke("package")
    assert parsed(kept.read_text())[-1]["exit_code"] == 0
    assert kept.read_text() != path.read_text()


@pytest.mark.slow
def test_a_run_that_fails_before_its_first_step_is_the_last_run(project: Project) -> None:
    kept = project.root / "build" / "svd-local" / "last-run.jsonl"
    edit(project)
    project.invoke("package")
    error = project.json("package", "--set", "model.include=[nothing.*]", code=1)
    events = parsed(kept.read_text())
    assert [event["event"] for event in events if event["event"].startswith(("run-", "step-"))] == [
        "run-begun",
        "run-ended",
    ]
    assert events[-1]["error"] == error
    project.json("report")
    assert error["message"] in html.unescape((project.root / "build/svd-local/report.html").read_text())


def test_a_run_that_fails_takes_the_events_of_no_run_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "last-run.jsonl"
    one, other = LastRunFile(lambda: path), LastRunFile(lambda: path)
    begun = RunBegun(now(), VERSION, "1", "deploy", "config/a.yaml", "dev")
    failed = RunEnded(now(), 1, 0.1, None, None, {"message": "no"})
    one.write(begun)
    one.write(StepBegun(now(), "tar", ()))
    before = path.read_bytes()
    other.write(begun)
    other.write(failed)
    assert path.read_bytes() == before
    one.close()
    another = LastRunFile(lambda: path)
    another.write(begun)
    another.write(failed)
    assert path.read_bytes() == encoded(begun) + encoded(failed)


def test_a_run_that_fails_ends_its_events_with_the_error(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    error = project.json("package", "--set", "model.id=no/such", "--events", str(path), code=1)
    events = parsed(path.read_text())
    assert (events[-1]["exit_code"], events[-1]["result"], events[-1]["error"]) == (1, None, error)


def test_a_run_that_is_interrupted_ends_its_events_with_what_ended_it(tmp_path: Path) -> None:
    def body(_project: object) -> Any:
        raise KeyboardInterrupt

    path = tmp_path / "events.jsonl"
    assert run_command("package", body, Options(tmp_path, events=str(path))) == 130
    ended = parsed(path.read_text())[-1]
    assert (ended["event"], ended["exit_code"], ended["error"]["type"]) == ("run-ended", 130, "Interrupted")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/no/such/folder/x", "the events cannot be written there: "),
        (".", "there is a folder of that name"),
        ("config/svd.yaml", "there is a file of that name which is no file of events"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_before_anything_runs(project: Project, path: str, why: str) -> None:
    before = {each: each.lstat().st_mtime_ns for each in project.root.rglob("*")}
    ran = project.invoke("package", "--events", path, code=1)
    assert ran.stderr.startswith(f"error: --events {path}: {why}")
    assert {each: each.lstat().st_mtime_ns for each in project.root.rglob("*")} == before


def test_a_file_that_another_run_is_writing_is_refused_and_left_alone(tmp_path: Path) -> None:
    path, codes = tmp_path / "events.jsonl", list[int]()
    options = Options(tmp_path, events=str(path))

    def body(project: Any) -> Any:
        project.progress.note("before")
        codes.append(run_command("package", lambda _project: None, options))  # type: ignore[arg-type, return-value]
        raise UserError("after")

    codes.append(run_command("package", body, options))
    events = parsed(path.read_text())
    assert codes == [1, 1]
    assert [event["event"] for event in events] == ["run-begun", "note", "run-ended"]
    assert events[-1]["error"]["message"] == "after"


def test_events_and_the_document_of_json_do_not_share_stdout(project: Project) -> None:
    error = project.json("package", "--events", "-", code=1)
    assert error["where"] == "--events - --json"


def test_a_fifo_gets_events_and_a_reader_that_leaves_ends_no_run(project: Project, tmp_path: Path) -> None:
    fifo, first = tmp_path / "fifo", list[str]()
    os.mkfifo(fifo)

    def read_one() -> None:
        with fifo.open() as lines:
            first.append(lines.readline())

    reader = threading.Thread(target=read_one)
    reader.start()
    project.invoke("package", "--events", str(fifo))
    reader.join()
    assert parsed(first[0])[0]["event"] == "run-begun"


def test_stdout_gets_the_events_and_nothing_else(project: Project) -> None:
    project.invoke("package")
    command = [sys.executable, "-m", "sagepack", "package", "--events", "-"]
    ran = subprocess.run(
        command, cwd=project.root, env=project.environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert parsed(ran.stdout)[-1]["result"]["goal"] == "package"


def test_a_full_disk_ends_the_events_and_not_the_run(project: Project) -> None:
    ran = project.invoke("package", "--events", "/dev/full")
    assert ran.stderr.count("--events /dev/full: No space left on device; no more events are written") == 1
