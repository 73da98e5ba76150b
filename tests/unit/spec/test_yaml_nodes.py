"""The YAML reader: plain data with places, and a plain sentence for everything else."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sagepack.spec.yaml_nodes import MAX_NODES, Place, Reader, scalar


def read(text: str) -> tuple[Any, list[str]]:
    reader = Reader(lambda line, column: Place(0, line + 1, column + 1, "f"))
    node = reader.read(text)
    return (node.plain() if node else None), [str(problem) for problem in reader.diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("0x10", 16),
        ("0o17", 15),
        ("012", 12),
        ("1.5", 1.5),
        ("1234e56", 1234e56),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("9" * 5000, "9" * 5000),
        ("0b11", "0b11"),
        ("\u0663", "\u0663"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "f:3:1: duplicate key 'a', first at f:1:1"),
        ("x:\n  - {a: 1, a: 2}\n", "f:2:12: duplicate key 'a', first at f:2:6"),
        ("a: !!python/object/apply:os.system [ls]\n", "f:1:4: the tag !!python/object/apply:os.system is not allowed"),
        ("a: !!binary aGk=\n", "f:1:4: the tag !!binary is not allowed"),
        ("a: !!set {b}\n", "f:1:4: the tag !!set is not allowed"),
        ("a: !mine b\n", "f:1:4: the tag !mine is not allowed"),
        ("a: *b\n", "f:1:4: unknown alias *b: no anchor before it has this name"),
        ("a: &a [*a]\n", "f:1:8: unknown alias *a: no anchor before it has this name"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "f:3:3: merge keys are not supported"),
        ("? [a]\n: b\n", "f:1:3: this key is a map or a list"),
        ("? {a: b}\n: c\n", "f:1:3: this key is a map or a list"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here"),
        ("a: 1\n\tb: 2\n", "f:2:1: invalid YAML: "),
        ("a:\n\t- 1\n", "f:2:1: invalid YAML: "),
        ("a: [1, 2\n", "f:1:4: the list that opens here is not closed, or misses a comma before line 2"),
        ("a: 1\nb: {c: [1, 2]\nd: 1\ne: 2", "f:2:4: the map that opens here is not closed, or misses a comma"),
        ("a: 'open\nb: it's closed by another\n", "f:1:4: the quote that opens here is not closed"),
        ('a: {b: "open}\nc: "closed"\n', "f:1:8: the quote that opens here is not closed"),
        ("a: [*.json]\n", "f:1:5: *.json would be an alias of YAML"),
        ("a: 'open\n", "f:1:4: the quote that opens here is not closed"),
        ('a: 1\nb: "open\nc: 2\n', "f:2:4: the quote that opens here is not closed"),
        ("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> other\n", "f:2:1: a merge conflict"),
        ("a: b: c\n", "f:1:5: invalid YAML: mapping values are not allowed"),
        ("a: 1\nb: \x01\n", "f:2:4: the character '\\x01' is not allowed in YAML"),
        ("- " * 40 + "x", "f:1:67: nested deeper than 32 levels"),
        ("[" * 40 + "]" * 40, "f:1:34: nested deeper than 32 levels"),
        ("%YAML 9.9\n---\na: 1\n", "invalid YAML: "),
        ("a: @b\n", "f:1:4: invalid YAML: "),
    ],
)
def test_what_is_not_plain_data_is_reported_at_its_place(text: str, expected: str) -> None:
    value, problems = read(text)
    assert len(problems) == 1, (value, problems)
    assert expected in problems[0]


def test_a_tab_is_called_a_tab() -> None:
    assert "YAML forbids tabs" in read("a:\n\tb: 2\n")[1][0]


def test_a_pattern_without_quotes_is_shown_with_them() -> None:
    for text in ("a: [*.json]\n", "a: *.json\n", "a: *json\n"):
        (problem,) = read(text)[1]
        pattern = text[text.index("*") :].strip("]\n")
        assert f'["{pattern}"] for a list' in problem


def test_all_mistakes_that_do_not_end_the_reading_are_reported() -> None:
    _, problems = read("a: 1\na: 2\nb: !x 1\nc: *d\n<<: {}\n")
    assert [problem[:5] for problem in problems] == ["f:2:1", "f:3:4", "f:4:4", "f:5:1"]


@pytest.mark.parametrize("fan", [2, 9, 60])
def test_an_alias_bomb_ends_early(fan: int) -> None:
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * fan)}]" for n in range(1, 25)]
    _, problems = read("\n".join(lines))
    assert len(problems) == 1
    assert "more than" in problems[0] or "nested deeper" in problems[0]


def test_few_aliases_are_fine() -> None:
    assert read("a: &t {x: 1}\nb: *t\n") == ({"a": {"x": 1}, "b": {"x": 1}}, [])


def test_the_number_of_values_is_bounded() -> None:
    assert "more than" in read("[" + "1," * MAX_NODES + "]")[1][0]


@pytest.mark.parametrize("text", ["[" * 200_000, "{" * 200_000, "- " * 200_000, "a: " * 200_000, "? " * 200_000])
def test_deep_nesting_neither_crashes_nor_hangs(text: str) -> None:
    assert len(read(text)[1]) == 1


def test_keys_are_the_text_that_was_written() -> None:
    assert read("1: a\ntrue: b\n~: c\n0x1: d\n")[0] == {"1": "a", "true": "b", "~": "c", "0x1": "d"}


def test_quotes_and_str_make_text() -> None:
    assert read("a: '1'\nb: \"true\"\nc: !!str 2\nd: ! 3\ne: |\n  4\n")[0] == {
        "a": "1",
        "b": "true",
        "c": "2",
        "d": "3",
        "e": "4\n",
    }


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    # PyYAML writes by YAML 1.1, where `1e5` and `0o7` are words and need no quotes.
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"])).filter(
        lambda text: isinstance(scalar(text), str) or not set(text) & set("eEo")
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz<", min_size=1).filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@given(_json)
def test_what_an_independent_writer_writes_is_read_back(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, sort_keys=False)
    assert read(text) == (_without_nulls(value), [])


@given(st.text(st.sampled_from("ab:-[]{}&*!?|>'\"#\n\t ,~1<%@`\x00\u00e9"), max_size=60))
def test_no_text_raises(text: str) -> None:
    read(text)
