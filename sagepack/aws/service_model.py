"""What AWS's own description of its services says of a value, offline: names, enums, ranges, patterns.

botocore ships the description and checks only part of it before a request (required members, types, minima); the rest
of it costs a round trip, or for SageMaker sometimes an hour. Here all of it is checked, without credentials or network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

# Unicode classes that Python's `re` lacks: separators are spelled out, letters and numbers are `\w` without the underscore.
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": "", r"\p{Z}": _SEPARATORS}


@dataclass(frozen=True)
class Shape:
    """The constraints of one member of a request.

    Attributes:
        name: the shape's name in the service's description.
        kind: `string`, `integer`, `map`, `list`, `structure`, ...
        minimum, maximum: bounds of a number, or of the length of a text, list or map.
        pattern: regular expression a text must match as a whole.
        enum: the allowed texts; empty if there is no such list.
    """

    name: str
    kind: str
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """What the service would refuse about `value`, as the end of a sentence; None if nothing."""
        if self.enum:
            return None if value in self.enum else "is not a value the service knows"
        size, unit = (
            (value, "") if self.kind in ("integer", "long", "float", "double") else (len(value), f" {self._unit}")
        )
        if self.minimum is not None and size < self.minimum:
            return f"is below the minimum of {self.minimum:,}{unit}"
        if self.maximum is not None and size > self.maximum:
            return f"is above the maximum of {self.maximum:,}{unit}"
        if self.pattern and not re.fullmatch(_python_pattern(self.pattern), value):
            return f"does not match the service's pattern {self.pattern}"
        return None

    @property
    def _unit(self) -> str:
        return "characters" if self.kind == "string" else "entries"


@cache
def shape(service: str, structure: str, *members: str) -> Shape:
    """The shape of a member, reached from a structure of the service's description.

    Args:
        service: `sagemaker`, `s3`, ...
        structure: name of a structure, usually an operation's input such as `CreateEndpointInput`.
        members: names of members on the way; `[]` steps into a list, `{key}` and `{value}` into a map.

    Raises:
        KeyError: the installed botocore describes no such member.
    """
    shapes = _shapes(service)
    name = structure
    for member in members:
        name = _step(shapes[name], member)
    found = shapes[name]
    return Shape(
        name, found["type"], found.get("min"), found.get("max"), found.get("pattern"), tuple(found.get("enum", ()))
    )


def _step(found: dict[str, Any], member: str) -> str:
    if member == "[]":
        return str(found["member"]["shape"])
    if member in ("{key}", "{value}"):
        return str(found[member[1:-1]]["shape"])
    return str(found["members"][member]["shape"])


@cache
def _shapes(service: str) -> dict[str, Any]:
    from botocore.loaders import Loader

    shapes: dict[str, Any] = Loader().load_service_model(service, "service-2")["shapes"]
    return shapes


def _python_pattern(pattern: str) -> str:
    r"""The service's regular expression in Python's dialect.

    `\w` also holds the underscore, so only patterns that allow the underscore anyway may use the Unicode classes.
    """
    if r"\p{" in pattern and "_" not in pattern:
        raise ValueError(f"cannot translate the pattern {pattern}")
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    return pattern
