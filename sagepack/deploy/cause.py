"""Where in the code of a package something went wrong, by what its container wrote. Pure.

A traceback names files of the container; people want to see those that they can edit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from sagepack.deploy import known_failures
from sagepack.deploy.container_log import telling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.deploy.known_failures import KnownFailure

_FOLDER = re.compile(r"[^\s'\"(]*/ml/model(?![\w.-])")
_CODE = re.compile(_FOLDER.pattern + r"/(?P<path>code/[^\s'\":]*)")
_TO_LOGS = re.compile(r"`invoke logs` [^;]*; ")
_IN_CONTAINER = "/opt/ml/model"
_FRAME = re.compile(r' *File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.*))?')
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:: .*)?")
_LONGEST = 500  # characters of a line
_TRACEBACK = "Traceback (most recent call last):"


class Cause(NamedTuple):
    """What a log tells of a failure.

    Attributes:
        where: `file:line` of the package's code; None if no line of it is named.
        function: in which function that is; None at the top of a module.
        exception: the exception and its message; None without a traceback.
        lines: the telling lines of the log, with the files that people can edit.
    """

    where: str | None
    function: str | None
    exception: str | None
    lines: tuple[str, ...]


def find(log: Sequence[str], places: Mapping[str, str]) -> Cause:
    """What the newest traceback of a log tells.

    Args:
        log: the lines of the container.
        places: the files of the package that messages show under another name, such as `code/inference.py`.
    """
    told = telling(log)
    lines = tuple(readable(told, places))
    where = function = exception = None
    for original, line in zip(told, lines, strict=True):
        if (frame := _FRAME.match(original)) and _CODE.match(frame["file"]):
            shown = _FRAME.match(line)
            where = f"{shown['file']}:{shown['line']}" if shown else None
            function = None if frame["function"] in {None, "<module>"} else frame["function"]
    if _TRACEBACK in lines:
        after = lines[len(lines) - 1 - lines[::-1].index(_TRACEBACK) :]
        exception = next((line for line in after[1:] if not line.startswith(" ") and _EXCEPTION.fullmatch(line)), None)
    return Cause(where, function, exception, lines)


def known(text: str) -> KnownFailure | None:
    """The known failure that the words of a container on this machine tell of; its log needs no command to be seen."""
    found = known_failures.find(text, known_failures.OF_CONTAINERS)
    if found is None or found.id == known_failures.MODEL_NOT_LOADED.id:
        return None
    return replace(found, fix=_TO_LOGS.sub("", found.fix))


def readable(lines: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """Lines with the names of the package's files as people know them, none of them endless; `places` as for `find`."""

    def place(found: re.Match[str]) -> str:
        return places.get(found["path"], found["path"])

    return [_cut(_FOLDER.sub(_IN_CONTAINER, _CODE.sub(place, line))) for line in lines]


def _cut(line: str) -> str:
    """A line without most of the picture that a message quotes, say."""
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}... ({len(line):,} characters)"
