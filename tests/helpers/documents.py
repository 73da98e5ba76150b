"""The JSON documents of tasks, held against their schemas."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from tests.helpers.paths import SCHEMAS


def checked(text: str) -> dict[str, Any]:
    """The document that a task printed with `--json`.

    Raises:
        ValidationError: it is not what its schema says.
    """
    document: dict[str, Any] = json.loads(text)
    kind = "error" if "error" in document else "result"
    jsonschema.validate(document, json.loads((SCHEMAS / f"{kind}.schema.json").read_text()))
    return document
