"""Judging a spec: its schema, what must be there after merging, and the rules. Everything wrong is told at once."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.errors import Problem, SpecError
from sagepack.spec.rules import Facts, Finding, findings, secrets
from sagepack.spec.rules.secrets import safe
from sagepack.spec.secrets import values
from sagepack.text import did_you_mean, kind, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.document import Document, KeyPath

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "spec.schema.json"
# What a spec must have when its overlays are laid upon it. The schema asks less, since it judges files one by one.
REQUIRED: tuple[tuple[str, ...], ...] = (
    ("name",),
    ("model", "id"),
    ("model", "revision"),
    ("code", "path"),
    ("image", "repository"),
    ("image", "tag"),
    ("artifact", "target"),
    ("endpoint", "name"),
    ("endpoint", "instance_type"),
    ("aws", "account"),
    ("aws", "region"),
    ("aws", "role"),
)
_SCALING = (("endpoint", "scaling", "min_capacity"), ("endpoint", "scaling", "max_capacity"))
_WANTED = {
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
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} entries",
}


def check(
    document: Document, root: Path, *, branch_allowed: bool = False, contents: bool = True
) -> tuple[Problem, ...]:
    """Judge a document.

    Args:
        document: a merged spec.
        root: the project's folder, to which paths are relative.
        branch_allowed: accept a branch or tag as revision; `lock` alone does.
        contents: also read the files of the code and the sample; a build does that by itself before it packs them.

    Returns:
        Warnings: what a person should know though the spec may be used.

    Raises:
        SpecError: all that is wrong, in the order a reader meets it.
    """
    facts = Facts(document.data, root, branch_allowed, contents)
    # Of several errors about one value the first is told: that it is a secret, then what the schema says of it.
    return _verdict(
        document, [*secrets.check(facts), *_schema_findings(document), *_missing(document), *findings(facts)]
    )


def _verdict(document: Document, found: list[Finding]) -> tuple[Problem, ...]:
    ordered = sorted(_once(found), key=lambda finding: document.place(finding.path))
    errors = [_problem(document, finding) for finding in ordered if not finding.warning]
    if errors:
        raise SpecError(errors)
    return tuple(_problem(document, finding) for finding in ordered)


def _once(found: list[Finding]) -> list[Finding]:
    """Of several errors about one value the first, which is the plainest; warnings only for values without error.

    Of a file everything is told.
    """
    errors: dict[KeyPath, Finding] = {}
    for finding in found:
        if not finding.warning and not finding.where:
            errors.setdefault(finding.path, finding)
    of_files = (finding for finding in found if finding.where)
    warnings = (finding for finding in found if finding.warning and finding.path not in errors)
    return [*errors.values(), *of_files, *warnings]


def _problem(document: Document, finding: Finding) -> Problem:
    message, fix = values.redacted(finding.message), finding.fix and values.redacted(finding.fix)
    if finding.where:
        return Problem(finding.where, "", message, fix)
    return Problem(document.where(finding.path), ".".join(map(_step, finding.path)), message, fix)


def _step(step: str | int) -> str:
    """A key as a dotted path shows it: quoted if it would mislead the reader, or the terminal."""
    text = values.redacted(str(step))
    plain = text.isprintable() and "." not in text and len(text) <= 60
    return text if plain else json.dumps(text if len(text) <= 60 else f"{text[:60]}...")


def _missing(document: Document) -> Iterator[Finding]:
    needed = REQUIRED + (_SCALING if isinstance(_get(document.data, ("endpoint", "scaling")), dict) else ())
    for path in needed:
        parent = _get(document.data, path[:-1])
        if parent is not None and not isinstance(parent, dict):
            continue  # told already: not a map
        if parent is None or path[-1] not in parent:
            node = document.node(path)
            removed = " (null removes it)" if node is not None and node.value is None else ""
            fix = f"say it in the spec, in config/env/{document.env}.yaml, or with --set {'.'.join(path)}=..."
            yield Finding(path, f"is required and missing{removed}", fix)


def _get(data: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    return data


@cache
def _validator() -> Any:
    # jsonschema takes longer to import than a run with nothing to do.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _schema_findings(document: Document) -> Iterator[Finding]:
    for error in _validator().iter_errors(document.data):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from _unknown_keys(path, error)
        elif error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
            yield Finding((*path, error.instance), error.schema.get("patternErrorMessage", error.message))
        elif error.validator != "required":  # `_missing` knows what overlays were laid upon it
            yield Finding(path, *_schema_message(path, error, _as_written(document, path)))


def _unknown_keys(path: KeyPath, error: Any) -> Iterator[Finding]:
    known = list(error.schema["properties"])
    for key in error.instance:
        if key not in known:
            fix = did_you_mean(key, known) or f"known are: {one_of(known)}"
            yield Finding((*path, key), "unknown key", fix)


def _as_written(document: Document, path: KeyPath) -> str | None:
    """A number or boolean as it stands in the file: `1234e56`, not the number that this is."""
    node = document.node(path)
    return node.text if node and isinstance(node.value, (bool, int, float)) else None


def _schema_message(path: KeyPath, error: Any, written: str | None) -> tuple[str, str | None]:
    value, limit = error.instance, error.validator_value
    shown = written or safe(path, value)
    if error.validator == "type":
        return _type_message(value, limit, shown)
    if error.validator == "enum":
        allowed = [item for item in limit if item is not None]
        return f"{shown} is not one of: {one_of(allowed)}", did_you_mean(str(value), allowed)
    if error.validator == "pattern":
        return f"{shown}: {error.schema.get('patternErrorMessage', f'it must match {limit}')}", None
    if error.validator == "uniqueItems":
        return "an entry stands twice", None
    bound = _BOUNDS.get(error.validator)
    return (f"{shown} is out of range: {bound.format(f'{limit:,}')}" if bound else str(error.message)), None


def _type_message(value: Any, wanted: str | list[str], shown: str) -> tuple[str, str | None]:
    kinds = [_WANTED[name] for name in ([wanted] if isinstance(wanted, str) else wanted) if name != "null"]
    message = f"{shown} is {kind(value)}; {' or '.join(kinds)} is wanted"
    if kinds == ["text"] and not isinstance(value, (dict, list)):
        return message, f'put it in quotes: "{shown}"'
    if kinds == ["a list"] and isinstance(value, str):
        return message, f"write [{shown}]"
    return message, None
