"""Which tasks write events, and which keep those of their last run, locked while they go on: all of the first, and those that build of the second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from invoke.context import Context

from sagepack.api.project import Project
from sagepack.api.results import Cleaned, Result, SpecReference
from sagepack.cli import tasks
from sagepack.cli.task import TASKS, Flag, Registered, invoke_task
from sagepack.files import is_locked
from tests.helpers.paths import ROOT

BUILDS = {"download", "assemble", "checksum", "tar", "package", "upload", "deploy", "promote", "rollback"}


def run(task: Registered, root: Path, **given: Any) -> None:
    """Call a task whose body runs a step, and does nothing else."""

    def body(project: Project, **_: Any) -> Result:
        project.spec = SpecReference("config/a.yaml", "a", "dev")
        project.progress.note("before")
        with project.progress.activity("asking AWS"):
            pass
        with project.progress.step("tar", ["first run"]):
            project.progress.note("within")
            assert not task.builds or is_locked(_kept(root))
        return Cleaned(())

    body.__name__ = task.body.__name__
    called = invoke_task(Registered(body, task.flags, task.group, task.scope, task.example, task.builds), root)
    words = {flag.name.replace("-", "_"): flag.shown_default for flag in task.all_flags}
    words = {f"{name}_" if name in {"for", "from"} else name: value for name, value in words.items()}
    called.body(Context(), **{**words, **given})


def _kept(root: Path) -> Path:
    return root / "build" / "a-dev" / "last-run.jsonl"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_writes_its_events_and_those_that_build_keep_them(task: Registered, tmp_path: Path) -> None:
    root, path = tmp_path / "project", tmp_path / "events.jsonl"
    (root / "config" / "env").mkdir(parents=True)
    run(task, root, events=str(path))
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "run-begun",
        "note",
        "activity-begun",
        "activity-ended",
        "step-begun",
        "note",
        "step-ended",
        "run-ended",
    ]
    assert (events[0]["task"], events[0]["env"]) == (task.name, "local" if task.scope == "spec" else "")
    kept = _kept(root)
    assert kept.exists() == task.builds == (task.name in BUILDS)
    if task.builds:
        assert kept.read_bytes() == path.read_bytes()
        assert not is_locked(kept)
        kept.unlink()
        run(task, root)
        assert json.loads(kept.read_text().splitlines()[-1])["event"] == "run-ended"


def test_all_tasks_are_those_of_the_program() -> None:
    assert tasks.collection(ROOT).task_names
    assert {task.name for task in TASKS} >= BUILDS


ENDLESS = [(task, flag) for task in TASKS for flag in task.flags if flag.endless]


@pytest.mark.parametrize("given", [{"json": True}, {"events": "-"}], ids=["--json", "--events -"])
@pytest.mark.parametrize(("task", "flag"), ENDLESS, ids=lambda each: each.name)
def test_what_goes_on_until_the_interrupt_is_refused_where_stdout_is_for_something_else(
    task: Registered, flag: Flag, given: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config" / "env").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        run(task, tmp_path, **{flag.name: True}, **given)
    assert ended.value.code == 1
    assert f"--{flag.name} {'--json' if 'json' in given else '--events -'}: " in capfd.readouterr().err


def test_each_way_to_go_on_until_the_interrupt_is_known() -> None:
    named = {(task.name, flag.name) for task, flag in ENDLESS}
    assert named == {("status", "watch"), ("logs", "follow"), ("serve", "watch"), ("serve", "keep")}
    assert all(flag.endless for task in TASKS for flag in task.flags if "until Ctrl-C" in flag.help)
