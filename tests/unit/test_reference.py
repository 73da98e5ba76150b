"""The reference says what the program does: its pages are made from it, and kept in files for readers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sagepack.api import results
from sagepack.cli import tasks
from sagepack.cli.task import TASKS, Registered
from sagepack.spec.model import KEYS
from tests.helpers.golden import Golden
from tests.helpers.paths import ROOT, SCHEMAS
from tests.helpers.reference.api import api_page
from tests.helpers.reference.documents import documents_page
from tests.helpers.reference.files import files_page
from tests.helpers.reference.spec import limits_and_default, spec_page
from tests.helpers.reference.tasks import results_of, tasks_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.spec.keys import Key

assert tasks  # registers all tasks


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("spec.md", spec_page),
        ("tasks.md", tasks_page),
        ("json.md", documents_page),
        ("api.md", api_page),
        ("files.md", files_page),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_page_of_the_reference_is_what_the_program_says(name: str, page: Callable[[], str], golden: Golden) -> None:
    Golden(golden.update, ROOT / "docs" / "reference").check({name: page()})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_returns_a_result_that_the_schema_describes(task: Registered) -> None:
    described = json.loads((SCHEMAS / "result.schema.json").read_text())["$defs"]
    for name in results_of(task):
        assert issubclass(getattr(results, name), results.Result)
        assert name in described


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join(key.path))
def test_an_editor_shows_limits_default_and_an_example_of_a_key(key: Key) -> None:
    part = json.loads((SCHEMAS / "spec.schema.json").read_text())["$defs"][key.path[0]]
    for step in key.path[1:]:
        part = part["properties"][step]
    assert part["description"].endswith(limits_and_default(part)), limits_and_default(part)
    shows_values = {"enum", "examples", "default", "properties"} & part.keys()
    assert shows_values
