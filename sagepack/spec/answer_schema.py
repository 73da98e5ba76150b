"""The JSON Schema that answers of an endpoint must match: `sample.expect.schema` of a spec, a map or the path of a file."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sagepack.decoding import MalformedError, decode_json
from sagepack.files import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_BYTES = 1 << 20
_SHOWN = 200  # characters of a message, which may repeat a whole answer
_MOST = 5  # problems that are told
_REFERENCES = ("$ref", "$dynamicRef")


class AnswerSchema:
    """A schema that was read.

    Args:
        declared: the schema, or the path of the file that holds it.
        root: folder of the project; a path is relative to it.

    Raises:
        MalformedError: the file cannot be read, or it is no JSON Schema that stands for itself.
    """

    def __init__(self, declared: dict[str, Any] | str, root: Path) -> None:
        # Importing jsonschema takes longer than a whole run with nothing to do.
        from jsonschema.exceptions import SchemaError  # noqa: PLC0415
        from jsonschema.validators import Draft202012Validator, validator_for  # noqa: PLC0415

        document = _read(root / declared) if isinstance(declared, str) else declared
        kind: Any = validator_for(document, default=Draft202012Validator)
        try:
            kind.check_schema(document)
        except SchemaError as error:
            raise MalformedError(f"{error.json_path}: {_short(error.message)}") from error
        for reference in _references(document):
            if not _resolves(document, reference):
                # jsonschema would fetch others from wherever they say.
                raise MalformedError(
                    f"{reference!r} names nothing in the schema; only references into it, such as #/$defs/x, work"
                )
        self._validator = kind(document)

    def problems(self, answer: Any) -> list[str]:
        """Where an answer, as JSON data, is not what the schema says; the first of many."""
        errors = islice(self._validator.iter_errors(answer), _MOST)
        return [f"{error.json_path}: {_short(error.message)}" for error in errors]


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise MalformedError(unreadable(error)[0]) from error
    return decode_json(data, dict[str, Any], limit=_MOST_BYTES)


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


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."
