"""Reading a request: which fields it may have and which numbers they may hold. Plain Python, no package of the image.

Each folder of inference code travels alone, so this file lies beside every handler that uses it; a test keeps the
copies equal.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


def shown(value: object) -> str:
    """A value as a message shows it: short, whatever was sent."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text):,} characters)"


def fields(data: object, known: Iterable[str], containers: Iterable[str]) -> dict[str, object]:
    """The fields of a request in one flat dictionary, wherever the sender put them.

    Hugging Face's convention nests options under `parameters`; many clients send them at the top. Both are taken.

    Args:
        data: the decoded body.
        known: names of the fields that the handler reads.
        containers: names whose value may be an object that holds further fields.

    Raises:
        ValueError: not an object, an unknown field, or a field given twice with different values.
    """
    names, nests = tuple(known), tuple(containers)
    if not isinstance(data, Mapping):
        raise ValueError(  # noqa: TRY004  (a caller's mistake is a ValueError throughout)
            f"the request is {shown(data)}; it must be a JSON object with the fields {', '.join(names)}"
        )
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
    if problems:
        raise ValueError("; ".join(problems))
    return flat


def _taken(flat: dict[str, object], key: object, value: object, names: tuple[str, ...]) -> list[str]:
    """Put one field into `flat`, or say why not."""
    if not isinstance(key, str) or key not in names:
        close = difflib.get_close_matches(str(key), names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names)}"
        return [f"unknown field {shown(key)}: {hint}"]
    if key in flat and flat[key] != value:
        return [f"{key} is given twice, as {shown(flat[key])} and {shown(value)}"]
    flat[key] = value
    return []


def numbers(given: Mapping[str, object], parameters: Iterable[Number]) -> dict[str, float]:
    """Every parameter's value: what was given (null counts as not given) or its default.

    Raises:
        ValueError: all that is wrong, at once: name, value and what is allowed.
    """
    known = tuple(parameters)
    values = {parameter.name: given.get(parameter.name) for parameter in known}
    problems = [
        problem
        for parameter in known
        if values[parameter.name] is not None and (problem := parameter.problem(values[parameter.name]))
    ]
    if problems:
        raise ValueError("; ".join(problems))
    return {
        parameter.name: value if isinstance(value := values[parameter.name], (int, float)) else parameter.default
        for parameter in known
    }
