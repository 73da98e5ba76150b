"""The page of the documents that sagepack writes to files, from their schemas."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.helpers.paths import SCHEMAS
from tests.helpers.reference.markdown import code, page, sentence, table

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where each document is. The schema of the spec has a page of its own.
_PLACES = {
    "lock": "`config/locks/<name>-<env>.lock.yaml`",
    "manifest": "`dist/<name>/<env>/manifest.json`, and `manifest.json` beside a published package",
    "index": "`index.json` beside a published archive",
    "files": "`files.json` beside a published package of layout `prefix`",
    "pointer": "`<artifact.target>/contents/<SHA-256>.json`, `<SHA-256>.file.json` with layout `prefix`",
    "provenance": "`provenance.json` beside a published package",
    "release": "`<artifact.target>/<name>/releases/`",
    "deployment": "`<artifact.target>/<name>/deployments/<env>/<UTC time>.json`",
}
_INTRODUCTION = """\
# Documents in files

*Made from the program: the JSON Schemas in `sagepack/schemas/`.*

What sagepack writes for itself, for reviewers and for other programs. [Publishing](../publishing.md) says what they are for; what a user writes is [the spec](spec.md), what tasks print are [JSON documents](json.md).
`[]` stands for each entry of a list, `*` for each name of a map."""


def files_page() -> str:
    """The text of `docs/reference/files.md`."""
    return page(_INTRODUCTION, *(block for name, place in _PLACES.items() for block in _document(name, place)))


def _document(name: str, place: str) -> Iterator[str]:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    yield f"## {name}"
    yield f"{place}. {schema['description']}"
    yield table(("key", "type", "meaning"), _rows(schema, ""))


def _rows(part: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    for name, inner in part.get("properties", {}).items():
        yield from _row(inner, f"{path}.{name}" if path else name)
    if isinstance(part.get("additionalProperties"), dict):
        yield from _row(part["additionalProperties"], f"{path}.*")
    if isinstance(part.get("items"), dict):
        yield from _rows(part["items"], f"{path}[]")


def _row(part: dict[str, Any], path: str) -> Iterator[tuple[str, str, str]]:
    yield code(path), _kind(part), sentence(part.get("description", ""))
    yield from _rows(part, path)


def _kind(part: dict[str, Any]) -> str:
    if "const" in part:
        return code(part["const"])
    if "enum" in part:
        return ", ".join(map(code, part["enum"]))
    kinds = part.get("type", "any")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)
