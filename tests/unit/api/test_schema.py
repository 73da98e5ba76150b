"""The schema of results is made from the values, and kept in a file for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagepack.api import results
from sagepack.api.schema import event_schema, result_schema
from tests.helpers.golden import Golden
from tests.helpers.paths import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_schema_of_results_is_the_one_of_their_values(golden: Golden) -> None:
    text = json.dumps(result_schema(), indent=1) + "\n"
    Golden(golden.update, SCHEMAS).check({"result.schema.json": text})


def test_every_attribute_of_every_result_is_explained() -> None:
    schema = result_schema()
    assert [name for name, component in schema["$defs"].items() if not component.get("description")] == []
    fields = [(name, field, part) for name, one in schema["$defs"].items() for field, part in one["properties"].items()]
    assert [(name, field) for name, field, part in fields if not part.get("description")] == []
    assert len(schema["properties"]["result"]["anyOf"]) == len(set(kinds(results.Result)))


def test_the_schema_of_events_is_the_one_of_their_values(golden: Golden) -> None:
    text = json.dumps(event_schema(), indent=1) + "\n"
    Golden(golden.update, SCHEMAS).check({"event.schema.json": text})


def test_every_attribute_of_every_event_is_explained() -> None:
    schema = event_schema()
    assert [name for name, component in schema["$defs"].items() if not component.get("description")] == []
    fields = [(name, field, part) for name, one in schema["$defs"].items() for field, part in one["properties"].items()]
    assert [(name, field) for name, field, part in fields if not part.get("description")] == []


def kinds(base: type[results.Result]) -> Iterator[Any]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)
