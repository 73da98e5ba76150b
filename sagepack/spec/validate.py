"""Checks a merged spec: its schema, its required keys, and the rules. Reports all mistakes at once."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import json_schema
from sagepack.errors import Diagnostic, SpecError
from sagepack.spec import rules
from sagepack.spec.document import lookup
from sagepack.spec.model import KEYS
from sagepack.spec.rules import model, names, secrets
from sagepack.spec.rules.secrets import safe
from sagepack.spec.rules.view import SpecView
from sagepack.spec.secrets import values
from sagepack.text import closest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.document import Document

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "spec.schema.json"
UNKNOWN, MISSING = json_schema.UNKNOWN, model.MISSING


def check(
    document: Document,
    root: Path,
    *,
    branch_allowed: bool = False,
    contents: bool = True,
    installed: tuple[str, ...] | None = None,
) -> tuple[Diagnostic, ...]:
    """Check a merged spec against its schema and all rules.

    Args:
        document: the merged spec.
        root: folder of the project; paths in the spec are relative to it.
        branch_allowed: accept a branch or tag as `model.revision`, as `lock` does.
        contents: also read the files of the code and the sample. A build passes False: it reads them itself.
        installed: the modules that the requirements bring; None if nobody knows.

    Returns:
        The warnings, in the order of the files that were merged and their lines.

    Raises:
        SpecError: the spec has errors. It holds all of them, in the same order, and no warning.
    """
    view = SpecView(document.data, root, branch_allowed, contents, installed)
    # The order decides which of several errors about one key is kept: the plainest comes first.
    found = [
        *secrets.check(view),
        *model.spelling(view),
        *_schema_errors(document),
        *_missing_keys(document),
        *rules.check(view),
        *names.check(document, root),
    ]
    found = _without_consequences(found)
    ordered = sorted(_one_error_per_key(found), key=lambda diagnostic: document.place(diagnostic.path))
    located = [_located(document, diagnostic) for diagnostic in ordered]
    if errors := [diagnostic for diagnostic in located if diagnostic.severity == "error"]:
        raise SpecError(errors, _subject(ordered, document, root))
    return tuple(located)


def _subject(found: list[Diagnostic], document: Document, root: Path) -> str:
    """What the errors are in, for the first line about them."""
    wrong = [diagnostic for diagnostic in found if diagnostic.severity == "error"]
    if not any(diagnostic.location for diagnostic in wrong):
        return "the spec"
    if not all(diagnostic.location for diagnostic in wrong):
        return "the spec and the files of this project"
    view = SpecView(document.data, root)
    folders = [f"{name.strip('/')}/" for name in (view.text("code", "path"), *view.texts("code", "shared")) if name]
    is_code = all(diagnostic.location.startswith(tuple(folders)) for diagnostic in wrong)
    return "the code" if is_code else "the files of this project"


def _without_consequences(found: list[Diagnostic]) -> list[Diagnostic]:
    """All but the missing keys that a misspelt key stands for: `endpiont` is one mistake, and not three."""
    meant = set()
    for *section, key in (found.path for found in found if found.message == UNKNOWN and found.path):
        inner = [other.path for other in KEYS if len(other.path) > len(section)]  # of a request no key is known
        known = {path[len(section)] for path in inner if list(path[: len(section)]) == section}
        meant.add((*section, closest(str(key), known)))
    return [
        diagnostic
        for diagnostic in found
        if not (
            diagnostic.message.startswith(MISSING)
            and any(diagnostic.path[: length + 1] in meant for length in range(len(diagnostic.path)))
        )
    ]


def _one_error_per_key(found: list[Diagnostic]) -> list[Diagnostic]:
    """The first error about each key, everything about files, and the warnings about keys without error."""
    errors: dict[KeyPath, Diagnostic] = {}
    for diagnostic in found:
        if diagnostic.severity == "error" and not diagnostic.location:
            errors.setdefault(diagnostic.path, diagnostic)
    about_files = [diagnostic for diagnostic in found if diagnostic.location]
    warnings = [
        diagnostic
        for diagnostic in found
        if diagnostic.severity == "warning" and not diagnostic.location and diagnostic.path not in errors
    ]
    return [*errors.values(), *about_files, *warnings]


def _located(document: Document, diagnostic: Diagnostic) -> Diagnostic:
    """A diagnostic as users see it: where the value was written, and nothing that looks like a secret.

    One that names a place in a file has no key: the key that names the file is not what is wrong.
    """
    path = () if diagnostic.location else diagnostic.path
    return replace(
        diagnostic,
        path=tuple(values.redacted(step) if isinstance(step, str) else step for step in path),
        message=values.redacted(diagnostic.message),
        fix=diagnostic.fix and values.redacted(diagnostic.fix),
        location=diagnostic.location or document.where(diagnostic.path),
    )


def _missing_keys(document: Document) -> Iterator[Diagnostic]:
    """The required keys that no layer gives. The schema cannot know: it describes each layer by itself."""
    for key in KEYS:
        section = lookup(document.data, key.path[:-1])
        if not key.is_required or (section is None and key.is_in_optional_section):
            continue
        if section is not None and not isinstance(section, dict):
            continue  # the schema reports that it is not a map
        if section is None or key.path[-1] not in section:
            node = document.node(key.path)
            removed = " (null removes it)" if node is not None and node.value is None else ""
            fix = f"set it in the spec, in config/env/{document.env}.yaml, or with --set {'.'.join(key.path)}=..."
            yield Diagnostic(key.path, f"{MISSING}{removed}", fix)


@cache
def _schema() -> json_schema.Schema:
    return json_schema.Schema(json.loads(SCHEMA.read_text(encoding="utf-8")), is_ours=True)


def _schema_errors(document: Document) -> Iterator[Diagnostic]:
    for error in _schema().errors(document.data):
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            yield from (Diagnostic((*path, key), UNKNOWN, fix) for key, fix in json_schema.unknown_keys(error))
        elif error.validator == "pattern" and "propertyNames" in error.absolute_schema_path:
            yield Diagnostic((*path, error.instance), error.schema.get("patternErrorMessage", error.message))
        elif error.validator == "required" and any(
            isinstance(step, int) for step in path
        ):  # entries of lists do not merge
            for key in error.validator_value:
                if key not in error.instance:
                    yield Diagnostic((*path, key), MISSING)
        elif error.validator not in ("required", "anyOf"):  # `_missing_keys` and the rules look at the merged spec
            node = document.node(path)
            # A number or boolean is shown as it was written: `1234e56`, and not the float that it becomes.
            is_spelled = node is not None and isinstance(node.value, (bool, int, float))
            shown = (node.text if node and is_spelled else None) or safe(path, error.instance)
            yield Diagnostic(path, *json_schema.explained(error, shown))
