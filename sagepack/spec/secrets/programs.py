"""The literals of a Python program and the names that it gives them. The program is parsed, not run."""

from __future__ import annotations

import ast
import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MAX_LENGTH = 1 << 17  # characters; Python 3.10 crashes at an expression with about 100,000 operators
# Nodes that give a value a name, literals, and expression statements (docstrings).
_NAMING_NODES = (
    *(ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.keyword, ast.Dict, ast.arguments, ast.Compare, ast.Call),
    *(ast.Expr, ast.Constant),
)
# Calls that return or contain their argument, and the position of the first argument that may be a secret.
_WRAPPERS = {"SecretStr": 0, "SecretBytes": 0, "Field": 0, "field": 0, "str": 0, "bytes": 0, "getenv": 1, "get": 1}
# Calls that take a name and, as the next argument, its value.
_SETTERS = {"get", "getenv", "pop", "putenv", "set", "setattr", "setdefault", "setenv", "add_header", "compare_digest"}


class Literal(NamedTuple):
    """A string or bytes literal of a program.

    Attributes:
        line: 1-based.
        text: its value; for an f-string, the constant parts.
        name: the name that the program gives it; None for a literal without a name.
    """

    line: int
    text: str
    name: str | None = None


def literals(program: str, is_wanted: Callable[[str], object]) -> list[Literal] | None:
    """The literals with a name that `is_wanted` accepts, then all literals except docstrings, without names.

    A name is that of a variable, attribute, parameter, keyword, key or environment variable, or the other side of a comparison.

    Args:
        program: the source of the program.
        is_wanted: whether literals with this name are returned.

    Returns:
        The literals; None if this Python cannot parse the program, or it is too long.
    """
    if len(program) > _MAX_LENGTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the program
            nodes = [node for node in ast.walk(ast.parse(program)) if isinstance(node, _NAMING_NODES)]
        named = [
            Literal(line, text, name)
            for node in nodes
            for name, value in _named_values(node)
            if name and is_wanted(name)
            for line, text in _possible_texts(value)
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    others = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in prose]
    return named + [Literal(node.lineno, text) for node in others if (text := _literal(node))]


def _named_values(node: ast.AST) -> Iterator[tuple[str | None, ast.expr]]:
    """The names that a node gives to values, each with its value."""
    if isinstance(node, ast.Assign):
        yield from _assigned_values(node)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value:
        yield _name(node.target), node.value
    elif isinstance(node, ast.keyword):
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        yield from ((_name(key), value) for key, value in zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.arguments):
        yield from _default_values(node)
    elif isinstance(node, ast.Compare):
        for one, other in pairwise([node.left, *node.comparators]):
            yield _name(one), other
            yield _name(other), one
    elif isinstance(node, ast.Call):
        yield from _passed_values(node)


def _assigned_values(node: ast.Assign) -> Iterator[tuple[str | None, ast.expr]]:
    for target in node.targets:
        if isinstance(target, (ast.Tuple, ast.List)) and isinstance(node.value, (ast.Tuple, ast.List)):
            yield from ((_name(one), value) for one, value in zip(target.elts, node.value.elts, strict=False))
        else:
            yield _name(target), node.value


def _default_values(node: ast.arguments) -> Iterator[tuple[str | None, ast.expr]]:
    positional = [*node.posonlyargs, *node.args]
    for argument, default in zip(reversed(positional), reversed(node.defaults), strict=False):
        yield argument.arg, default
    for argument, needed in zip(node.kwonlyargs, node.kw_defaults, strict=True):
        if needed:
            yield argument.arg, needed


def _passed_values(node: ast.Call) -> Iterator[tuple[str | None, ast.expr]]:
    """As in `environ.setdefault("API_KEY", "...")` and `add_argument("--api-key", default="...")`."""
    if _name(node.func) in _SETTERS:
        yield from ((_name(one), other) for one, other in pairwise(node.args))
    for keyword in node.keywords:
        if keyword.arg == "default":
            yield from ((_name(one), keyword.value) for one in node.args if isinstance(one, ast.Constant))


def _name(node: ast.expr | None) -> str | None:
    """The name in a target, a key or an argument: `x.api_key`, `environ["API_KEY"]`, `"--api-key"`."""
    if isinstance(node, ast.Subscript):
        return _name(node.slice)
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _possible_texts(node: ast.expr) -> Iterator[tuple[int, str]]:
    """The texts that an expression may evaluate to or contains, each with its line."""
    text = _literal(node)
    if text is not None:
        yield node.lineno, text
        return
    for part in _alternatives(node):
        yield from _possible_texts(part)


def _alternatives(node: ast.expr) -> list[ast.expr]:
    """The expressions that a value is chosen from or made of."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return node.elts
    if isinstance(node, ast.BoolOp):
        return node.values
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    if isinstance(node, ast.Call):
        called = _name(node.func)
        if called == "encode" and isinstance(node.func, ast.Attribute):
            return [node.func.value]
        if called in _WRAPPERS:
            defaults = [keyword.value for keyword in node.keywords if keyword.arg == "default"]
            return [*node.args[_WRAPPERS[called] :], *defaults]
    return []


def _literal(node: ast.AST | None) -> str | None:
    """The text of a literal, of a sum of literals, or of the constant parts of an f-string."""
    if isinstance(node, ast.Constant):
        value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
        return value if isinstance(value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(part for part in map(_literal, node.values) if part)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _literal(node.left), _literal(node.right)
        return None if left is None or right is None else left + right
    return None
