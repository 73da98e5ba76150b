from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.decoding import MalformedError
from sagepack.json_schema import Schema

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string", "minLength": 1}}}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"answer": "yes"}, []),
        ({"answer": ""}, [("answer", '"" is out of range: at least 1 characters')]),
        ({}, [("answer", "it is missing")]),
        ([], [("", "it is a list, expected a map")]),
    ],
)
def test_a_problem_says_where_it_is(tmp_path: Path, value: Any, told: list[tuple[str, str]]) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    for schema in (Schema(SCHEMA), Schema.read(tmp_path / "schema.json")):
        assert [(each.place, each.message) for each in schema.problems(value)] == told


def test_keys_that_a_pattern_allows_are_known() -> None:
    schema = Schema({"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False})
    assert [each.place for each in schema.problems({"x1": 1, "b": 2, "a": 3})] == ["b"]


def test_entries_are_told_in_their_order() -> None:
    found = Schema({"items": {"type": "null"}}).problems([1] * 12)
    assert [each.place for each in found] == [f"[{number}]" for number in range(12)]
    assert found[0].message == "1 is an integer, expected null"


def test_a_schema_that_never_ends_is_told_and_crashes_nothing() -> None:
    (found,) = Schema({"$ref": "#"}).problems({})
    assert "nested too deeply" in found.message


def test_a_schema_of_an_earlier_draft_is_read_as_such() -> None:
    earlier = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]}
    assert Schema(earlier).problems(["a"])[0].place == "[0]"


def test_neither_many_problems_nor_a_large_value_fill_memory_or_screen() -> None:
    found = Schema({"items": {"maxLength": 1}}).problems(["x" * 10_000] * 1000)
    assert len(found) == 100
    assert all(len(each.message) < 250 for each in found)


@pytest.mark.parametrize(
    "reference",
    [
        "https://example.org/x.json",
        "other.json",
        "#/$defs/none",
        "#/allOf/7",
        "#anchor",
        "urn:x:y",
        "file:///etc/passwd",
    ],
)
def test_a_schema_stands_for_itself(reference: str) -> None:
    with pytest.raises(MalformedError, match="names nothing in the schema"):
        Schema({"allOf": [{"items": {"$ref": reference}}]})


@pytest.mark.parametrize("reference", ["#", "#/$defs/a~1b%20c", "#/allOf/0/properties/x"])
def test_a_schema_may_refer_to_its_own_parts(reference: str) -> None:
    schema = {"$defs": {"a/b c": {}}, "allOf": [{"properties": {"x": {}, "y": {"$ref": reference}}}]}
    assert Schema(schema).problems({}) == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"type": "text"}', "[" * 100_000, " " * (2 << 20)])
def test_a_file_that_is_no_schema_is_malformed(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(MalformedError):
        Schema.read(tmp_path / "schema.json")


def test_a_file_that_is_not_there_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="No such file"):
        Schema.read(tmp_path / "schema.json")
