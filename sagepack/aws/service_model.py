"""Checks values against the service models that botocore ships: enums, ranges and patterns, without network.

botocore itself checks only required members, types and minima before a request. The service would refuse the other
mistakes after a round trip, and SageMaker sometimes after an hour.
"""

from __future__ import annotations

import gzip
import operator
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

# Unicode classes that Python's `re` does not have. `\w` stands for letters and numbers; it also matches the underscore.
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_NUMBERS = {"integer", "long", "float", "double"}
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
        size, unit = (value, "") if self.kind in _NUMBERS else (len(value), f" {self._unit}")
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


def _input(service: str, operation: str) -> str:
    """The name of the shape of the requests of an operation."""
    return str(_model(service)["operations"][operation]["input"]["shape"])


def _shapes(service: str) -> dict[str, Any]:
    shapes: dict[str, Any] = _model(service)["shapes"]
    return shapes


@cache
def _model(service: str) -> dict[str, Any]:
    """The newest model of a service, read from botocore's files: to import it takes twice as long."""
    package = find_spec("botocore")
    (place,) = (package and package.submodule_search_locations) or [""]
    versions = Path(place) / "data" / service
    folder = max(path for path in versions.iterdir() if path.is_dir())
    plain, packed = folder / "service-2.json", folder / "service-2.json.gz"
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else plain.read_bytes()
    model: dict[str, Any] = msgspec.json.decode(text)
    return model


def has_operation(service: str, operation: str) -> bool:
    """Whether the installed botocore knows an operation of a service."""
    return operation in _model(service)["operations"]


def violations(service: str, operation: str, request: dict[str, Any]) -> list[str]:
    """What the service would refuse in a request of an operation, in the words of its ValidationException; empty if nothing.

    That is what AWS's description says of each member: required, bounds, pattern, enumeration. AWS ignores unknown members,
    which are told here, since they are spelling errors. Patterns that Python cannot read are not checked.

    Raises:
        KeyError: the installed botocore has no such operation.
    """
    return list(_violations(_shapes(service), _input(service, operation), request, ""))


def _violations(shapes: dict[str, Any], name: str, value: Any, path: str) -> Iterator[str]:
    found = shapes[name]
    if (rule := _broken_rule(found, value)) is not None:
        yield _refusal(value, path, rule)
    if found["type"] == "structure":
        missing = [member for member in found.get("required", ()) if value.get(member) is None]
        yield from (_refusal(None, _below(path, member), "not be null") for member in missing)
    for shape_name, inner, place in _parts(found, value, path):
        if shape_name is None:
            yield _refusal(inner, place, "be known")
        else:
            yield from _violations(shapes, shape_name, inner, place)


def _parts(found: dict[str, Any], value: Any, path: str) -> Iterator[tuple[str | None, Any, str]]:
    """The parts of a value: the name of the shape (None for an unknown member), the part, and its path."""
    kind = found["type"]
    if kind == "structure":
        for member, inner in value.items():
            known = found["members"].get(member)
            if inner is not None:
                yield known["shape"] if known else None, inner, _below(path, member)
    elif kind == "list":
        for number, inner in enumerate(value, 1):
            yield found["member"]["shape"], inner, f"{path}.{number}.member"
    elif kind == "map":
        for key, inner in value.items():
            yield found["key"]["shape"], key, f"{path}.key"
            yield found["value"]["shape"], inner, f"{path}.{key}.value"


def _broken_rule(found: dict[str, Any], value: Any) -> str | None:
    """Which constraint of a shape its value breaks, as SageMaker words it."""
    kind = found["type"]
    if found.get("enum") and value not in found["enum"]:
        return f"satisfy enum value set: [{', '.join(found['enum'])}]"
    for bound, breaks, words in (("min", operator.lt, "greater"), ("max", operator.gt, "less")):
        if bound in found:
            size, what = (value, "value") if kind in _NUMBERS else (len(value), "length")
            if breaks(size, found[bound]):
                return f"have {what} {words} than or equal to {found[bound]}"
    pattern = _compiled(found["pattern"]) if "pattern" in found else None
    if pattern and not pattern.fullmatch(value):
        return f"satisfy regular expression pattern: {found['pattern']}"
    return None


def _refusal(value: Any, path: str, rule: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {rule}"


def _below(path: str, member: str) -> str:
    """The path of a member, as SageMaker writes it: `productionVariants.1.member.instanceType`."""
    name = member[:1].lower() + member[1:]
    return f"{path}.{name}" if path else name


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern of a service model; None if it is written in a way that Python does not read."""
    try:
        return re.compile(_python_pattern(pattern))
    except (ValueError, re.error):
        return None


def _python_pattern(pattern: str) -> str:
    r"""A regular expression of a service model, in Python's syntax.

    `\w` also matches the underscore. So only patterns that allow the underscore can be translated.
    """
    if r"\p{" in pattern and "_" not in pattern:
        raise ValueError(f"cannot translate the pattern {pattern}")
    for java, python in _CLASSES.items():
        pattern = pattern.replace(java, python)
    return pattern
