"""The help of the command line, which users read first."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from sagepack.cli import help_pages
from sagepack.cli.command_line import read
from sagepack.cli.task import TASKS, Registered
from sagepack.cli.tasks import collection
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from tests.helpers.golden import Golden


def printed(command: str, lines: list[str]) -> str:
    return "\n".join([f"$ invoke {command}", *lines]) + "\n"


def test_the_help_of_every_task_is_as_in_the_golden_file(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    pages = [printed("--list", help_pages.of_all(TASKS, "invoke"))]
    pages += [printed(f"--help {task.name}", help_pages.of_task(task, "invoke")) for task in TASKS]
    golden.check({"help.txt": "\n".join(pages)})


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_of_help_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = [line for task in TASKS for line in help_pages.of_task(task, "sagepack")]
    assert max(len(line) for line in [*lines, *help_pages.of_all(TASKS, "sagepack")]) < max(columns, 80)


def test_the_list_has_one_line_for_each_task_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [line for line in help_pages.of_all(TASKS, "invoke") if line.startswith("  ")]
    assert [line.split()[0] for line in rows] == [task.name for task in TASKS]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_example_of_a_task_can_be_typed(task: Registered) -> None:
    line = help_pages.of_task(task, "invoke")[-1].removeprefix("Example: invoke ")
    assert read(shlex.split(line), {task.name: task.all_flags for task in TASKS}).task == task.name


def test_invoke_knows_the_same_tasks() -> None:
    names = {
        min([name, *aliases], key=len) for name, aliases in collection(ROOT).task_names.items()
    }  # serve.serve is serve
    assert names == {task.name for task in TASKS}
