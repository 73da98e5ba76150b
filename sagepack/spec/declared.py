"""What a handler declares of its requests and answers, in `request.schema.json` beside its program: the media types.

The fields are JSON Schema, which `sagepack.json_schema` reads.
"""

from __future__ import annotations

from fnmatch import fnmatch
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import MalformedError, Value, decode_json
from sagepack.json_schema import MAX_SIZE

if TYPE_CHECKING:
    from pathlib import Path

REQUEST_SCHEMA = "request.schema.json"


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
