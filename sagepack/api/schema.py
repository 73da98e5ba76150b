"""The JSON Schema of what tasks print with `--json`, made from the values of `results` and their docstrings."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.api import events, results

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTE = re.compile(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", re.MULTILINE)

_PROBLEM = {
    "description": "One mistake of a spec or of a file that it names, or one warning about it.",
    "type": "object",
    "required": ["where", "key", "message", "fix"],
    "properties": {
        "where": {"description": "`file:line:column`, `file:line` or `file`.", "type": "string"},
        "key": {"description": "Dotted path of the key; empty where it is about none.", "type": "string"},
        "message": {"description": "What is wrong.", "type": "string"},
        "fix": {"description": "What to do.", "type": ["string", "null"]},
    },
    "additionalProperties": False,
}


def result_schema() -> dict[str, Any]:
    """The schema of the document that a task prints when it did not fail; `error.schema.json` has the other."""
    kinds = tuple(_kinds(results.Result))
    values: tuple[type[msgspec.Struct], ...] = (*kinds, results.SpecReference)
    documents, components = msgspec.json.schema_components(values, ref_template="#/$defs/{name}")
    known = {kind.__name__: kind for kind in _structs(values)}
    for name, component in components.items():
        _describe(component, known[name])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://sagepack.invalid/schemas/result.schema.json",
        "title": "Result",
        "description": "What any task prints with --json when it does not fail.",
        "type": "object",
        "required": ["version", "task", "exit_code", "seconds", "spec", "warnings", "result"],
        "properties": {
            "version": {"description": "Version of this format.", "const": 1},
            "task": {"description": "The task as it is typed.", "type": "string"},
            "exit_code": {
                "description": (
                    "0: done, or nothing to do. 1: something is in the way. 2: `plan` found work. Of a fleet that of its worst job, "
                    "or 128 plus the number of the signal that interrupted it."
                ),
                "enum": [0, 1, 2, 3, 4, 129, 130, 143],
            },
            "seconds": {"description": "How long the task took.", "type": "number", "minimum": 0},
            "spec": {
                "description": "Which spec the task was about; null where it read none.",
                "anyOf": [{"$ref": "#/$defs/SpecReference"}, {"type": "null"}],
            },
            "warnings": {
                "description": "What is wrong with the spec, but not wrong enough to refuse it.",
                "type": "array",
                "items": {"$ref": "#/$defs/Problem"},
            },
            "result": {"description": "What came of it.", "anyOf": list(documents[: len(kinds)])},
        },
        "additionalProperties": False,
        "$defs": {**components, "Problem": _PROBLEM},
    }


def event_schema() -> dict[str, Any]:
    """The schema of a line that `--events` writes."""
    documents, components = msgspec.json.schema_components(events.EVENTS, ref_template="#/$defs/{name}")
    known = {kind.__name__: kind for kind in _structs(events.EVENTS)}
    for name, component in components.items():
        _describe(component, known[name])
        if "event" in component["properties"]:
            component["properties"]["event"]["description"] = "What happened."
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://sagepack.invalid/schemas/event.schema.json",
        "title": "Event",
        "description": "A line of the file that a task writes with --events.",
        "anyOf": list(documents),
        "$defs": components,
    }


def _kinds(base: type[results.Result]) -> Iterator[type[results.Result]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)


def _structs(kinds: tuple[type[msgspec.Struct], ...]) -> Iterator[type[msgspec.Struct]]:
    """The classes, and those of the values in them."""
    pending, seen = list(kinds), set[type[msgspec.Struct]]()
    while pending:
        kind = pending.pop()
        if kind in seen:
            continue
        seen.add(kind)
        yield kind
        pending += [found for field in msgspec.structs.fields(kind) for found in _in_type(field.type)]


def _in_type(annotation: Any) -> Iterator[type[msgspec.Struct]]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _in_type(inner)


def _describe(component: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Give a component what the docstring of its class says of it and of each attribute."""
    text = inspect.cleandoc(kind.__doc__ or "")
    summary, _, attributes = text.partition("\n\nAttributes:\n")
    component["description"] = " ".join(summary.split())
    component["additionalProperties"] = False
    for names, words in _ATTRIBUTE.findall(attributes):
        for name in names.split(", "):
            if name in component["properties"]:
                component["properties"][name]["description"] = " ".join(words.split())
