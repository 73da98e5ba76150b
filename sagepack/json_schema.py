"""JSON Schema (draft 2020-12) in plain English: what is wrong with a value, where in it, and what to write instead.

Importing jsonschema takes longer than a whole run with nothing to do, so that only what needs it imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import UserError
from sagepack.files import unreadable
from sagepack.text import did_you_mean, kind, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.errors import KeyPath

UNKNOWN = "unknown key"
MAX_SIZE = 1 << 20  # bytes of a schema
_SHOWN = 60  # characters of a value in a message
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


def load(path: Path) -> dict[str, Any]:
    """The schema in a file.

    Raises:
        UserError: it cannot be read, or is no JSON Schema.
    """
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415

    try:
        schema = decode_json(path.read_bytes(), dict[str, Any], limit=MAX_SIZE)
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=str(path), fix=fix) from error
    except (MalformedError, SchemaError) as error:
        reason = error.message if isinstance(error, SchemaError) else str(error)
        raise UserError(f"it is no JSON Schema: {reason}", where=str(path), fix="correct the file") from error
    return schema


def validator(schema: dict[str, Any]) -> Any:
    """A validator of jsonschema that loads nothing from elsewhere, whatever the schema refers to."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    return Draft202012Validator(schema, registry=Registry())


def problems(schema: dict[str, Any], value: Any) -> list[Problem]:
    """What is wrong with a value, in the order of its keys.

    Raises:
        UserError: the schema refers to another one, which is not loaded.
    """
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    try:
        found = {problem for error in validator(schema).iter_errors(value) for problem in _of(error)}
    except Unresolvable as unresolved:
        fix = "put it under $defs: nothing is loaded from elsewhere"
        raise UserError(f"the schema refers to {unresolved.ref}, which it does not have", fix=fix) from unresolved
    return sorted(found, key=lambda problem: (list(map(str, problem.path)), problem.message))


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


def unknown_keys(error: Any) -> Iterator[tuple[str, str]]:
    """The keys that an error of jsonschema is about, where it is about keys that no schema knows, each with what to write."""
    if error.validator != "additionalProperties":
        return
    known = list(error.schema.get("properties", {}))
    for key in error.instance:
        if key not in known:
            yield key, did_you_mean(key, known) or f"known keys: {one_of(known)}"


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
    return str(error.message) if len(str(error.message)) <= 4 * _SHOWN else f"it breaks {error.validator}", None


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
    """A value as JSON, shortened."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _of_type(value: Any, expected: str | list[str], text: str) -> tuple[str, str | None]:
    kinds = [_TYPE_NAMES[name] for name in ([expected] if isinstance(expected, str) else expected) if name != "null"]
    message = f"{text} is {kind(value)}, expected {' or '.join(kinds)}"
    if kinds == ["text"] and not isinstance(value, (dict, list)):
        return message, f'put it in quotes: "{text}"'
    if kinds == ["a list"] and isinstance(value, str):
        return message, f"write [{text}]"
    return message, None
