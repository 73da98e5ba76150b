"""JSON Schema (draft 2020-12) in plain English: what is wrong with a value, where in it, and what to write instead.

Importing jsonschema takes longer than a whole run with nothing to do, so that only what needs it imports it.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.files import unreadable
from sagepack.text import did_you_mean, kind, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.errors import KeyPath

UNKNOWN = "unknown key"
MAX_SIZE = 1 << 20  # bytes of a schema
_SHOWN = 60  # characters of a value in a message
_LONGEST = 200  # characters of a message of jsonschema, which may repeat a whole value
_MOST = 100  # problems that are looked for
_REFERENCES = ("$ref", "$dynamicRef")
_TYPE_NAMES = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "minProperties": "at least {} entries",
    "maxProperties": "at most {} entries",
}


class Problem(NamedTuple):
    """One thing that is wrong with a value.

    Attributes:
        path: where in the value, as keys and numbers.
        message: what is wrong.
        fix: what to do, if that is known.
    """

    path: KeyPath
    message: str
    fix: str | None = None

    @property
    def place(self) -> str:
        """The path as text, such as `parameters.num_frames` or `frames[3]`; empty for the value as a whole."""
        return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path).removeprefix(".")


class Schema:
    """A schema that was checked. It stands for itself: nothing that it refers to is loaded from elsewhere.

    Args:
        document: the schema, draft 2020-12 unless it names another one.
        is_ours: it is one of this program, whose tests have checked it: that takes longer than to check a spec by it.

    Raises:
        MalformedError: it is no JSON Schema, or refers to what it does not have.
    """

    def __init__(self, document: dict[str, Any], *, is_ours: bool = False) -> None:
        from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415

        draft: Any = validator_for(document, default=Draft202012Validator)
        if not is_ours:
            _require_schema(draft, document)
        self._validator = draft(document)

    @classmethod
    def read(cls, path: Path) -> Schema:
        """The schema in a file.

        Raises:
            MalformedError: it cannot be read, or holds no schema.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_SIZE + 1)
        except OSError as error:
            raise MalformedError(unreadable(error)[0]) from error
        return cls(decode_json(data, dict[str, Any], limit=MAX_SIZE))

    def errors(self, value: Any) -> Iterator[Any]:
        """What jsonschema finds."""
        return iter(self._validator.iter_errors(value))

    def problems(self, value: Any) -> list[Problem]:
        """What is wrong with a value, in the order of its keys: of very many the first."""
        try:
            found = {problem for error in islice(self.errors(value), _MOST) for problem in _of(error)}
        except RecursionError:
            return [Problem((), "it cannot be checked: it, or the schema, is nested too deeply")]
        return sorted(found, key=lambda problem: ([_in_order(step) for step in problem.path], problem.message))


def _require_schema(draft: Any, document: dict[str, Any]) -> None:
    """Check that a document is a schema of a draft of JSON Schema, and stands for itself.

    Raises:
        MalformedError: it is none, or refers to what it does not have.
    """
    from jsonschema.exceptions import SchemaError  # noqa: PLC0415

    try:
        draft.check_schema(document)
    except SchemaError as error:
        raise MalformedError(f"{error.json_path}: {_cut(error.message)}") from error
    for reference in _references(document):
        if not _resolves(document, reference):
            # jsonschema would fetch others from wherever they say.
            raise MalformedError(
                f"{reference!r} names nothing in the schema; only references into it, such as #/$defs/x, work"
            )


def _of(error: Any) -> Iterator[Problem]:
    """What an error of jsonschema says."""
    path = tuple(error.absolute_path)
    if error.validator == "required":  # there is one error for each, and all of them have the same list
        yield from (
            Problem((*path, key), "it is missing") for key in error.validator_value if key not in error.instance
        )
    elif unknown := list(unknown_keys(error)):
        yield from (Problem((*path, key), UNKNOWN, fix) for key, fix in unknown)
    else:
        yield Problem(path, *explained(error, shown(error.instance)))


def _in_order(step: str | int) -> str:
    return f"{step:09}" if isinstance(step, int) else step


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name in _REFERENCES if isinstance(value := part.get(name), str))
    for child in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _references(child)


def _resolves(document: Any, reference: str) -> bool:
    """Whether a reference is a JSON pointer (RFC 6901) into the document, in a fragment of a URI."""
    if reference == "#":
        return True
    if not reference.startswith("#/"):
        return False
    found = document
    for step in unquote(reference[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and name in found:
            found = found[name]
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return False
    return True


def unknown_keys(error: Any) -> Iterator[tuple[str, str | None]]:
    """The keys that an error of jsonschema is about, where it is about keys that no schema knows, each with what to write."""
    if error.validator != "additionalProperties":
        return
    known, patterns = list(error.schema.get("properties", {})), list(error.schema.get("patternProperties", {}))
    for key in error.instance:
        if key not in known and not any(re.search(pattern, str(key)) for pattern in patterns):
            yield key, did_you_mean(str(key), known) or (f"known keys: {one_of(known)}" if known else None)


def explained(error: Any, text: str) -> tuple[str, str | None]:
    """Message and fix for an error of jsonschema; `text` is the value as it may be printed."""
    value, limit = error.instance, error.validator_value
    if error.validator == "type":
        return _of_type(value, limit, text)
    if error.validator == "enum":
        allowed = [item for item in limit if item is not None]
        names = [item if isinstance(item, str) else shown(item) for item in allowed]
        return f"{text} is not one of: {one_of(names)}", _nearest(value, allowed) or did_you_mean(str(value), names)
    if error.validator == "pattern":
        return f"{text}: {error.schema.get('patternErrorMessage', f'it must match {limit}')}", None
    if error.validator == "uniqueItems":
        return "duplicate entry", None
    if bound := _BOUNDS.get(error.validator):
        return f"{text} is out of range: {bound.format(f'{limit:,}')}", None
    return _cut(str(error.message)), None


def _nearest(value: Any, allowed: list[Any]) -> str | None:
    """Which of the allowed numbers are on both sides of a number; None if it is none, or they are not all numbers."""
    if not all(_is_number(each) for each in (value, *allowed)):
        return None
    below, above = [each for each in allowed if each < value], [each for each in allowed if each > value]
    near = [shown(each) for each in (*sorted(below)[-1:], *sorted(above)[:1])]
    return f"the nearest {'are' if len(near) > 1 else 'is'} {' and '.join(near)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value as JSON, shortened; `it` for one with parts, which may be large."""
    if isinstance(value, (dict, list)):
        return "it"
    text = msgspec.json.encode(value[: _SHOWN + 1] if isinstance(value, str) else value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _of_type(value: Any, expected: str | list[str], text: str) -> tuple[str, str | None]:
    kinds = [
        _TYPE_NAMES[name] for name in ([expected] if isinstance(expected, str) else expected) if name != "null"
    ] or ["null"]
    message = f"{text} is {kind(value)}, expected {' or '.join(kinds)}"
    if kinds == ["text"] and not isinstance(value, (dict, list)):
        return message, f'put it in quotes: "{text}"'
    if kinds == ["a list"] and isinstance(value, str):
        return message, f"write [{text}]"
    return message, None
