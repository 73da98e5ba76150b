"""What a handler declares of its requests and answers, in `request.schema.json` beside its program: the media types.

The fields are JSON Schema, which `sagepack.json_schema` reads.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.decoding import MalformedError, Value, decode_json
from sagepack.json_schema import MAX_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REQUEST_SCHEMA = "request.schema.json"
_DEFINITIONS = "#/$defs/"
_DEPTH = 4  # a definition may refer to itself


class Declared(Value, frozen=True):
    """The media types of a handler; empty if it declares none.

    Attributes:
        accept: of its answers, the default first (`x-accept`).
        content_types: of bodies that it takes (`x-content-type`); the last part of one may be `*`.
    """

    accept: tuple[str, ...] = msgspec.field(name="x-accept", default=())
    content_types: tuple[str, ...] = msgspec.field(name="x-content-type", default=())

    @classmethod
    def read(cls, schema: Path) -> Declared:
        """What a schema declares.

        Raises:
            MalformedError: it is no JSON object, or what it declares are no lists of text.
        """
        return decode_json(schema.read_bytes(), cls, limit=MAX_SIZE)

    @classmethod
    def of(cls, code: Path) -> Declared:
        """What the handler in a folder declares; `validate` and the check of the fields tell what is wrong with the file."""
        try:
            return cls.read(code / REQUEST_SCHEMA)
        except (OSError, MalformedError):
            return cls()

    def answers_with(self, media_type: str) -> bool:
        """Whether an answer may have a media type, as far as that is declared."""
        return not self.accept or media_type in self.accept

    def takes(self, media_type: str) -> bool:
        """Whether a body may have a media type, as far as that is declared."""
        return not self.content_types or any(fnmatch(media_type, pattern) for pattern in self.content_types)


def defaults(code: Path) -> dict[tuple[str | int, ...], Any]:
    """The fields for which the handler in a folder declares a default, each by the names that lead to it."""
    try:
        document = decode_json((code / REQUEST_SCHEMA).read_bytes(), dict[str, Any], limit=MAX_SIZE)
    except (OSError, MalformedError):  # as in `Declared.of`
        return {}
    return dict(_defaults(document, document, ()))


def _defaults(
    document: dict[str, Any], part: dict[str, Any], place: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for name, declared in _object(part.get("properties")).items():
        definition = str(_object(declared).get("$ref", "")).removeprefix(_DEFINITIONS)
        field = {**_object(_object(document.get("$defs")).get(definition)), **_object(declared)}
        here = (*place, name)
        if field.get("default") is not None:
            yield here, field["default"]
        if len(here) < _DEPTH:
            yield from _defaults(document, field, here)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
