from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.decoding import MalformedError
from sagepack.spec.answer_schema import AnswerSchema

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "string", "minLength": 1}}}


@pytest.mark.parametrize(
    ("answer", "problems"),
    [
        ({"answer": "yes"}, []),
        ({"answer": ""}, ["$.answer: '' should be non-empty"]),
        ({}, ["$: 'answer' is a required property"]),
        ([], ["$: [] is not of type 'object'"]),
    ],
)
def test_a_problem_says_where_in_the_answer_it_is(tmp_path: Path, answer: Any, problems: list[str]) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    for declared in (SCHEMA, "schema.json"):
        assert AnswerSchema(declared, tmp_path).problems(answer) == problems


def test_a_schema_of_an_earlier_draft_is_read_as_such(tmp_path: Path) -> None:
    earlier = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}]}
    assert AnswerSchema(earlier, tmp_path).problems(["a"]) == ["$[0]: 'a' is not of type 'integer'"]


def test_neither_many_problems_nor_a_large_answer_fill_the_screen(tmp_path: Path) -> None:
    found = AnswerSchema({"items": {"maxLength": 1}}, tmp_path).problems(["x" * 10_000] * 100)
    assert len(found) == 5
    assert all(len(line) < 250 for line in found)


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
def test_a_schema_stands_for_itself(tmp_path: Path, reference: str) -> None:
    with pytest.raises(MalformedError, match="names nothing in the schema"):
        AnswerSchema({"allOf": [{"items": {"$ref": reference}}]}, tmp_path)


@pytest.mark.parametrize("reference", ["#", "#/$defs/a~1b%20c", "#/allOf/0/properties/x"])
def test_a_schema_may_refer_to_its_own_parts(tmp_path: Path, reference: str) -> None:
    schema = {"$defs": {"a/b c": {}}, "allOf": [{"properties": {"x": {}, "y": {"$ref": reference}}}]}
    assert AnswerSchema(schema, tmp_path).problems({}) == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"type": "text"}', "[" * 100_000, " " * (2 << 20)])
def test_a_file_that_is_no_schema_is_malformed(tmp_path: Path, text: str) -> None:
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(MalformedError):
        AnswerSchema("schema.json", tmp_path)


def test_a_file_that_is_not_there_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="No such file"):
        AnswerSchema("schema.json", tmp_path)
