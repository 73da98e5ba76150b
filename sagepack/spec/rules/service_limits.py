"""Checks values against the service model that botocore ships: AWS's own names, ranges, patterns and enums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.service_model import Shape, shape
from sagepack.errors import Diagnostic
from sagepack.spec.keys import keys_of_entry
from sagepack.spec.model import KEYS
from sagepack.spec.rules.secrets import safe
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.keys import Key
    from sagepack.spec.rules.view import SpecView

# The types that a value of the spec may have for each kind of shape; a list of tags is a map in the spec. Of a boolean the
# schema says everything.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "map": dict,
    "list": (list, dict),
    "boolean": (),
}


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check every value that a service's description restricts."""
    for key in KEYS:
        yield from _value(key.path, view.get(*key.path), key)
        for number, entry in enumerate(view.maps(*key.path) if key.entry else ()):
            for inner in keys_of_entry(key):
                yield from _value((*key.path, number, *inner.path), entry.get(inner.path[0]), inner)
        if key.facts.entries:
            yield from _map_entries(view, key)


def _value(path: KeyPath, value: Any, key: Key) -> Iterator[Diagnostic]:
    if key.facts.member:
        member = shape(*key.facts.member)
        if isinstance(value, _TYPES[member.kind]) and not isinstance(value, bool):
            yield from _violation(path, value, member)


def _map_entries(view: SpecView, key: Key) -> Iterator[Diagnostic]:
    """Check the names and values of a map."""
    of_names, of_values = (shape(*member) for member in key.facts.entries)
    for name, text in view.text_map(*key.path).items():
        path = (*key.path, name)
        if problem := of_names.problem(name):
            yield Diagnostic(path, f"the name {name!r} {problem}")
        if problem := of_values.problem(text):
            yield Diagnostic(path, f"{safe(path, text)} {problem}")


def _violation(path: KeyPath, value: Any, member: Shape) -> Iterator[Diagnostic]:
    problem = member.problem(value)
    if problem is None:
        return
    fix = None
    if member.enum:
        fix = did_you_mean(str(value), member.enum) or f"known values: {one_of(_likely(str(value), member.enum))}"
    subject = f"with {len(value)} entries it" if isinstance(value, (dict, list)) else safe(path, value)
    yield Diagnostic(path, f"{subject} {problem}", fix)


def _likely(value: str, enum: tuple[str, ...]) -> list[str]:
    """The members of a long enum, those first that begin like `value`, such as the same family of instance types."""
    family = value.rpartition(".")[0]
    return sorted(enum, key=lambda name: not (family and name.startswith(f"{family}.")))
