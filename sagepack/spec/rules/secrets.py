"""Rules against secrets in a spec.

A spec is committed to version control, and everybody who may call DescribeModel can read the environment variables. No
message repeats a value that looks like a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.errors import Diagnostic
from sagepack.spec.secrets import names, texts, values
from sagepack.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Refuse keys and values that look like a secret, and variables and tags with the name of one."""
    for path, value in _texts(view.data, ()):
        if kind := kind_of(path, value):
            fix = "remove it, and revoke it if it was committed"
            if path[0] == "environment":
                fix += "; let the handler read it from AWS Secrets Manager, and set the ARN of the secret here"
            yield Diagnostic(
                path, f"the value looks like {kind}; others can read the spec and the environment of the endpoint", fix
            )
    for path in _keys(view.data, ()):
        if kind := values.kind_of(str(path[-1])):
            yield Diagnostic(path, f"the key looks like {kind}", "remove it, and revoke it if it was committed")


def kind_of(path: KeyPath, value: str) -> str | None:
    """The kind of secret that the value at `path` looks like, as messages name it; None for no secret."""
    kind = values.kind_of(value)
    if kind or not path:
        return kind
    name = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
    if _is_setting(path):
        is_secret = names.is_secret_setting(name, value)
    else:
        is_secret = path[:2] == ("sample", "request") and names.is_secret_literal(name, value)
    if is_secret:
        return "a secret, by its name"
    return next((kind for _at, kind in texts.find_settings(value, bare=True)), None)


def _is_setting(path: KeyPath) -> bool:
    """Whether the name describes this value, as for variables and tags; in a sample only names that mean nothing but secrets do."""
    if path[:2] == ("sample", "request"):
        return isinstance(path[-1], str) and names.confidence(path[-1]) == "certain"
    return path[:1] == ("environment",) or path[-2:-1] == ("tags",)


def safe(path: KeyPath, value: Any) -> str:
    """`value` as a message shows it: short, as JSON, and hidden if it is or contains what looks like a secret."""
    if isinstance(value, str) and kind_of(path, value):
        return "(hidden: looks like a secret)"
    if isinstance(value, (dict, list)) and _holds_secret(path, value):
        return "(hidden: contains what looks like a secret)"
    return shown(value)


def _holds_secret(path: KeyPath, value: Any) -> bool:
    return any(kind_of((*path, *below), text) for below, text in _texts(value, ())) or any(
        values.kind_of(str(below[-1])) for below in _keys(value, ())
    )


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text in `value`, at any depth, with its path."""
    if isinstance(value, str):
        yield path, value
    for key, item in _items(value):
        yield from _texts(item, (*path, key))


def _keys(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The path of every entry of every map in `value`."""
    for key, item in _items(value):
        if isinstance(key, str):
            yield (*path, key)
        yield from _keys(item, (*path, key))


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    yield from value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
