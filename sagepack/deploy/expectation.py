"""What the answer to the sample must be, and what in an answer is not so. Pure, once the schema was read.

The media type of an answer is that of its bytes, whatever the container declares (see `results`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.decoding import MalformedError, Value, decode_json
from sagepack.deploy import media_types
from sagepack.deploy.base64_frames import decode_base64_frames
from sagepack.deploy.results import MAX_SIZE
from sagepack.errors import RemoteError, UserError
from sagepack.json_schema import Schema
from sagepack.text import counted

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.spec.model import Expect

_SHOWN = 5  # places of an answer that are not as its schema says


class Expectation(Value, frozen=True):
    """What an answer must be; nothing if nothing is declared.

    Attributes:
        content_type: its media type, one of `media_types.KNOWN`.
        schema: what JSON it must be.
        min_size: least bytes.
        min_items: least elements of its list.
    """

    content_type: str | None = None
    schema: Schema | None = None
    min_size: int = 0
    min_items: int | None = None

    @classmethod
    def of(cls, declared: Expect | None, root: Path) -> Expectation:
        """What `sample.expect` of a spec declares.

        Args:
            declared: `sample.expect`.
            root: folder of the project.

        Raises:
            UserError: the file of the schema cannot be read, or holds none.
        """
        if declared is None:
            return cls()
        try:
            schema = declared.schema
            read = Schema.read(root / schema) if isinstance(schema, str) else schema and Schema(schema)
        except MalformedError as error:
            where = declared.schema if isinstance(declared.schema, str) else "sample.expect.schema"
            raise UserError(f"not a JSON Schema for answers: {error}", where=where, fix="correct it") from error
        return cls(declared.content_type, read, declared.min_size or 0, declared.min_items)

    def problems(self, body: bytes) -> list[str]:
        """What in an answer is not as expected, one sentence each."""
        found = []
        if len(body) < self.min_size:
            found.append(f"it has {len(body):,} bytes, and at least {self.min_size:,} are expected")
        if not self._needs_json:
            return found if self._is_of_its_type(body) else [*found, f"it is not {self.content_type}"]
        try:
            answer = decode_json(body, Any, limit=MAX_SIZE)
        except MalformedError as error:
            return [*found, f"it is not JSON: {error}"]
        if self.min_items is not None:
            found += _too_few(answer, body, self.min_items)
        wrong = self.schema.problems(answer)[:_SHOWN] if self.schema else []
        return [*found, *(f"{each.place}: {each.message}" if each.place else each.message for each in wrong)]

    @property
    def _needs_json(self) -> bool:
        return self.content_type == media_types.JSON or self.schema is not None or self.min_items is not None

    def _is_of_its_type(self, body: bytes) -> bool:
        if self.content_type == media_types.TEXT:
            try:
                body.decode()
            except UnicodeDecodeError:
                return False
        return media_types.is_of(body, self.content_type or "")


def _too_few(answer: Any, body: bytes, least: int) -> list[str]:
    """Why an answer has not so many elements: of itself, or of its only list; frames must be pictures, too."""
    lists = [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else [answer]
    if len(lists) != 1 or not isinstance(lists[0], list):
        return ["it is neither a JSON array nor a JSON object with one list, so its items cannot be counted"]
    found = []
    if len(lists[0]) < least:
        found.append(f"it has {counted(len(lists[0]), 'item')}, and at least {least} are expected")
    try:
        if isinstance(answer, dict):
            decode_base64_frames(body, limit=MAX_SIZE)
    except RemoteError as error:
        found.append(error.message)
    return found
