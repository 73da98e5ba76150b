"""A Python file of the inference code, parsed as the image's Python would."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import Diagnostic
from sagepack.spec.program import newer_syntax

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 1 << 17  # bytes; Python 3.10 crashes at an expression with about 100,000 operators
_DEEPEST = 200  # levels of nodes; what people write has about 30. The checks call themselves for each level
# Lines with syntax that an older Python refuses: of Python 3.11 (`except*`, `x[*y]`, `*args: *Ts`) and 3.12 (f-strings with
# quotes in quotes, `type X = ...`, `def f[T](...)`).
_NEWER_SYNTAX = {
    (3, 11): re.compile(rb"""\bexcept\s*\*|\[[^\]]*\*|:\s*\*|^\s*\*"""),
    (3, 12): re.compile(rb"""\b[rR]?[fF][rR]?["']|^\s*type\s+\w|\b(?:def|class)\s+\w+\s*\["""),
}
# What it says of some of it, wherever it finds it.
_NEWER_ERRORS = {(3, 11): "asynchronous comprehension", (3, 12): "f-string"}
_LAST_JUDGED = (3, 12)  # syntax that is newer than this is not in `_NEWER_SYNTAX`


class Source(Value, frozen=True):
    """A Python file of the code.

    Attributes:
        path: its path in the package without `code/`, such as `inference.py`.
        location: the file as messages name it: relative to the project.
        tree: the parsed file; None if it cannot be parsed, or is so long or so deeply nested that it is not judged.
        problem: why it cannot be parsed; its severity says whether that is certain.
        is_whole: whether `tree` has all of it. Not where this Python is too old for its types, which are left out.
    """

    path: str
    location: str
    tree: ast.Module | None
    problem: Diagnostic | None = None
    is_whole: bool = True

    @property
    def module(self) -> str:
        """The name under which the program imports it, or the package that holds it: `helpers` of `helpers/text.py`."""
        return self.parts[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its folders and its own, without the suffix."""
        return tuple(self.path.removesuffix(".py").split("/"))

    @property
    def parsed(self) -> ast.Module:
        """The parsed file; empty if it cannot be parsed."""
        return self.tree or ast.Module([], [])

    def at(self, node: ast.AST) -> str:
        """Where a node of the tree is: `file:line:column`."""
        return f"{self.location}:{getattr(node, 'lineno', 1)}:{getattr(node, 'col_offset', 0) + 1}"


def read(file: Path, path: str, location: str, python: tuple[int, int] | None) -> Source:
    """Parse a file.

    Args:
        file: the file on disk.
        path: its path in the package without `code/`.
        location: the file as messages name it.
        python: major and minor version of the image's Python; None if it is not known.

    Raises:
        OSError: the file cannot be read.
    """
    text = file.read_bytes()
    if len(text) > _LONGEST:
        return Source(path, location, None)
    try:
        tree, is_whole = _parsed(text, python)
    except SyntaxError as error:
        return Source(path, location, None, _refusal(error, text, location, python))
    except ValueError:  # Python 3.10 and 3.11 so report a null byte
        return Source(
            path, location, None, Diagnostic((), "contains a null byte: this is no Python", location=location)
        )
    except (RecursionError, MemoryError):  # nested too deeply for this Python, which says nothing about the image's
        tree, is_whole = None, False
    if tree is None or _depth(tree) > _DEEPEST:
        return Source(path, location, None)
    if python and (newer := newer_syntax.find(tree, text, python)):
        line, column, what = newer
        return Source(path, location, None, _cannot_parse(what, f"{location}:{line}:{column}", python))
    return Source(path, location, tree, is_whole=is_whole)


def _parsed(text: bytes, python: tuple[int, int] | None) -> tuple[ast.Module, bool]:
    """The tree of a file, and whether it has all of it.

    Raises:
        SyntaxError: as `compile`; and so for the other errors that `read` looks for.
    """
    mine = sys.version_info[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about invalid escapes in the code
        try:
            tree, is_whole = ast.parse(text, feature_version=python if python and python <= mine else None), True
        except SyntaxError:
            if not python or not mine < (3, 12) <= python:
                raise
            older = newer_syntax.without_types(text)
            if older == text:
                raise
            tree, is_whole = ast.parse(older), False
        if python:
            compile(tree, "inference.py", "exec", dont_inherit=True)  # finds `return` outside of functions and the like
    return tree, is_whole


def _depth(tree: ast.Module) -> int:
    """How deeply the nodes of a tree are nested."""
    depth, level = 0, [*ast.iter_child_nodes(tree)]
    while level:
        depth, level = depth + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return depth


def _refusal(error: SyntaxError, text: bytes, location: str, python: tuple[int, int] | None) -> Diagnostic:
    """The message about a file that does not parse: an error only if the image's Python cannot parse it either."""
    place = f"{location}:{error.lineno}:{max(error.offset or 1, 1)}" if error.lineno else location
    reason = error.msg.partition(" (")[0] if error.msg.startswith("(") else error.msg
    if python and _is_certain(error, text, python):
        return _cannot_parse(reason, place, python)
    mine = ".".join(map(str, sys.version_info[:2]))
    image = f"the image has {'.'.join(map(str, python))}" if python else "the Python of this image is not known"
    message = f"Python {mine} of this machine cannot parse this: {reason}; {image}"
    return Diagnostic((), message, "run validate with the image's Python to be sure", "warning", place)


def _cannot_parse(reason: str, place: str, python: tuple[int, int]) -> Diagnostic:
    name = ".".join(map(str, python))
    fix = "correct it: the endpoint would be InService, and answer every request with this error"
    return Diagnostic((), f"Python {name} of the image cannot parse this: {reason}", fix, location=place)


def _is_certain(error: SyntaxError, text: bytes, python: tuple[int, int]) -> bool:
    """Whether the image's Python refuses the text as this one does."""
    if python <= sys.version_info[:2]:
        return True
    lines = text.splitlines()[max((error.lineno or 1) - 1, 0) : error.end_lineno or error.lineno or 1]
    is_newer = any(
        sys.version_info[:2] < version <= python
        and (_NEWER_ERRORS[version] in error.msg or any(map(syntax.search, lines)))
        for version, syntax in _NEWER_SYNTAX.items()
    )
    return python <= _LAST_JUDGED and not is_newer
