"""Checks values against the service models that botocore ships: enums, ranges and patterns, without network.

botocore itself checks only required members, types and minima before a request. The service would refuse the other
mistakes after a round trip, and SageMaker sometimes after an hour.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

# Unicode classes that Python's `re` does not have. `\w` stands for letters and numbers; it also matches the underscore.
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_CLASSES = {r"\p{L}": r"\w", r"\p{N}": "", r"\p{Z}": _SEPARATORS}


@dataclass(frozen=True)
class Shape:
    """The constraints of one member of a request.

    Attributes:
        name: name of the shape in the service model.
        kind: `string`, `integer`, `map`, `list`, `structure`, ...
        minimum, maximum: bounds of a number, or of the length of a text, list or map.
        pattern: regular expression that the whole text must match.
        enum: the allowed texts; empty if every text is allowed.
    """

    name: str
    kind: str
    minimum: int | None = None
    maximum: int | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        """Why the service would refuse `value`, as the end of a sentence that begins with the value; None if it is valid."""
        if self.enum:
            return None if value in self.enum else "is not a value that the service knows"
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
    """The shape of a member in a service model.

    Args:
        service: `sagemaker`, `s3`, ...
        structure: where to begin, usually the input of an operation such as `CreateEndpointInput`.
        members: names of members from there on; `[]` steps into a list, `{key}` and `{value}` into a map.

    Raises:
        KeyError: the installed botocore has no such member.
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
    """The name of the shape that a step leads to."""
    if member == "[]":
        return str(found["member"]["shape"])
    if member in ("{key}", "{value}"):
        return str(found[member[1:-1]]["shape"])
    return str(found["members"][member]["shape"])


@cache
def _shapes(service: str) -> dict[str, Any]:
    """The shapes of the newest model of a service, read from botocore's files: to import it takes twice as long."""
    package = find_spec("botocore")
    (place,) = (package and package.submodule_search_locations) or [""]
    versions = Path(place) / "data" / service
    folder = max(path for path in versions.iterdir() if path.is_dir())
    plain, packed = folder / "service-2.json", folder / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else plain.read_bytes()
    shapes: dict[str, Any] = msgspec.json.decode(text)["shapes"]
    return shapes


def _python_pattern(pattern: str) -> str:
    r"""A regular expression of a service model, in Python's syntax.

    `\w` also matches the underscore. So only patterns that allow the underscore can be translated.
    """
    if r"\p{" in pattern and "_" not in pattern:
        raise ValueError(f"cannot translate the pattern {pattern}")
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    return pattern
