"""Reading a request: which fields it may have and which numbers they may hold. Plain Python, no package of the image.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

JSON = "application/json"
MAX_SHOWN = 60  # characters of a bad value that a message repeats


@dataclass(frozen=True)
class Number:
    """A numeric parameter of a request.

    Attributes:
        name: its key in the request.
        default: what it is when the request does not say.
        low: the smallest allowed value.
        high: the largest allowed value.
        whole: whether it must be an integer.
        step: for integers, the number it must be a multiple of.
    """

    name: str
    default: float
    low: float
    high: float
    whole: bool = True
    step: int = 1

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        kind = "an integer" if self.whole else "a number"
        multiple = f", a multiple of {self.step}" if self.step > 1 else ""
        return f"{kind} from {self.low:,} to {self.high:,}{multiple}"

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, or None."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and self._fits(value):  # type: ignore[arg-type]  # just checked
            return None
        return f"{self.name} is {shown(value)}; it must be {self.allowed}"

    def _fits(self, value: float) -> bool:
        if self.whole and not isinstance(value, int):
            return False
        return math.isfinite(value) and self.low <= value <= self.high and (self.step == 1 or value % self.step == 0)


class Declared(NamedTuple):
    """What a handler declares of its requests and answers, in `request.schema.json` beside it.

    It is the one place where they are written: `predict` checks a request against it before it is sent.

    Attributes:
        numbers: the numeric parameters.
        content_types: media types of bodies that it takes, the last part of which may be `*`; JSON if it does not say.
        accept: media types of its answers, the default first; JSON if it does not say.
    """

    numbers: tuple[Number, ...]
    content_types: tuple[str, ...]
    accept: tuple[str, ...]


def declared(handler: str) -> Declared:
    """What the schema beside a handler declares.

    Args:
        handler: path of the handler's file.
    """
    schema = json.loads(Path(handler).with_name("request.schema.json").read_text(encoding="utf-8"))
    numbers = (
        Number(
            name,
            default=field["default"],
            low=field["minimum"],
            high=field["maximum"],
            whole="integer" in field["type"],
            step=field.get("multipleOf", 1),
        )
        for name, field in schema.get("$defs", {}).items()
        if "default" in field
    )
    return Declared(tuple(numbers), tuple(schema.get("x-content-type", [JSON])), tuple(schema.get("x-accept", [JSON])))


def decoded(body: bytes | bytearray | str, content_type: str | None, taken: Sequence[str]) -> object:
    """The request in a body: what its JSON holds, or `{"inputs": bytes}` for a body that is a file, such as a picture.

    Args:
        body: as the server hands it over.
        content_type: the header; parameters such as `charset=utf-8` do not count.
        taken: the media types that the handler takes.

    Raises:
        ValueError: it is of another type, or not JSON though it says so.
    """
    media_type = (content_type or JSON).partition(";")[0].strip().lower()
    if media_type == JSON:
        try:
            return json.loads(body)
        except ValueError as error:
            raise ValueError(f"the body is not JSON: {error}") from None
    if any(fnmatch(media_type, pattern) for pattern in taken):
        return {"inputs": body}
    raise ValueError(f"Content-Type is {shown(content_type)}; it must be {' or '.join(taken)}")


def shown(value: object) -> str:
    """A value as a message shows it: short, whatever was sent."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text):,} characters)"


def fields(data: object, known: Iterable[str], containers: Iterable[str]) -> tuple[dict[str, object], list[str]]:
    """The fields of a request in one flat dictionary, wherever the sender put them, and what is wrong with them.

    Hugging Face's convention nests options under `parameters`; many clients send them at the top. Both are taken. A null
    counts as not given.

    Args:
        data: the decoded body.
        known: names of the fields that the handler reads.
        containers: names whose value may be an object that holds further fields.

    Returns:
        The known fields, and a message for each unknown field and for each that is given twice with different values.

    Raises:
        ValueError: the body is not an object.
    """
    names, nests = tuple(known), tuple(containers)
    if not isinstance(data, Mapping):
        raise ValueError(f"the request is {shown(data)}; it must be a JSON object with the fields {', '.join(names)}")
    flat: dict[str, object] = {}
    problems: list[str] = []
    parts = [{key: value for key, value in data.items() if key not in nests}]
    for nest in nests:
        part = data.get(nest)
        if isinstance(part, Mapping):
            parts.append(dict(part))
        elif part is not None:
            problems.append(f"{nest} is {shown(part)}; it must be an object")
    for part in parts:
        for key, value in part.items():
            problems += _taken(flat, key, value, names)
    return flat, problems


def _taken(flat: dict[str, object], key: object, value: object, names: tuple[str, ...]) -> list[str]:
    """Put one field into `flat`, or say why not."""
    if not isinstance(key, str) or key not in names:
        close = difflib.get_close_matches(str(key), names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
        return [f"unknown field {shown(key)}: {hint}"]
    if key in flat and flat[key] != value:
        return [f"{key} is given twice, as {shown(flat[key])} and {shown(value)}"]
    if value is not None:
        flat[key] = value
    return []


def numbers(given: Mapping[str, object], parameters: Iterable[Number]) -> tuple[dict[str, float], list[str]]:
    """Every parameter's value, given or default, and a message for each that is out of bounds: name, value, what is allowed."""
    values: dict[str, float] = {}
    problems: list[str] = []
    for parameter in parameters:
        value = given.get(parameter.name, parameter.default)
        problem = parameter.problem(value)
        if problem:
            problems.append(problem)
        elif isinstance(value, (int, float)):
            values[parameter.name] = value
    return values, problems


def refuse(problems: Iterable[str]) -> None:
    """Raise one ValueError that tells all problems, if there are any."""
    message = "; ".join(problems)
    if message:
        raise ValueError(message)
