"""The hooks of a program: the functions of `inference.py` that the image's server calls.

The rules are those of `sagemaker-huggingface-inference-toolkit` (`handler_service.py`): it takes what the module has under
these names, counts the parameters, and passes the server's context last to a function with one more than the usual number.
"""

from __future__ import annotations

import ast
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.text import closest, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.program.source import Source

# Hook -> the parameters that it is called with, before the optional context.
HOOKS = {
    "model_fn": ("model_dir",),
    "input_fn": ("data", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "data", "content_type", "accept"),
}
_PARTS = ("input_fn", "predict_fn", "output_fn")  # what transform_fn replaces
# Decorators that keep the parameters of a function as `inspect.signature` sees them. Others may change them.
_TRANSPARENT = {"no_grad", "inference_mode", "cache", "lru_cache", "wraps"}
_SUFFIX = re.compile(r"_?(?:fn|func|function)$")
_ALIKE = 0.8  # of 1; `input_size` and `input_fn` have 0.67, `predict_fm` and `predict_fn` 0.9
_BLOCKS = (ast.If, ast.Try, ast.With, ast.For, ast.While)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def check(program: Source) -> Iterator[Diagnostic]:
    """What is wrong with the hooks of a program that was parsed."""
    if program.tree is None:
        return
    statements = list(_top_level(program.tree.body))
    functions = [statement for statement in statements if isinstance(statement, Function)]
    names = {name for statement in statements for name in _bound(statement)}
    found = names & HOOKS.keys()
    if "*" not in names:  # another module may have what is missing here
        misspelt = list(_misspelt(program, functions, found))
        yield from misspelt
        if not found and not misspelt:
            message = "no hook is defined here: the container runs its default pipeline, and nothing of this code"
            fix = f"define one or more of {', '.join(HOOKS)}"
            yield Diagnostic((), message, fix, "warning", program.location)
    for function in functions:
        if function.name in HOOKS:
            yield from _shape(program, function)
    yield from _exclusive(program, statements, found)


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, those in blocks as well."""
    for statement in body:
        yield statement
        if isinstance(statement, _BLOCKS):
            yield from _top_level(statement.body)
            yield from _top_level(getattr(statement, "orelse", []))
            yield from _top_level(getattr(statement, "finalbody", []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement gives to the module; `*` for all those of another module."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name for alias in statement.names)
    elif isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        yield from (node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and _is_stored(node))


def _is_stored(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _misspelt(program: Source, functions: list[Function], found: set[str]) -> Iterator[Diagnostic]:
    """Functions that nothing uses, with nearly the name of a hook that is not there."""
    used = {node.id for node in ast.walk(program.parsed) if isinstance(node, ast.Name) and not _is_stored(node)}
    without = HOOKS.keys() - found - set(_PARTS if "transform_fn" in found else ())
    for function in functions:
        meant = _meant(function.name, without)
        if function.name in HOOKS or function.name in used or meant is None:
            continue
        message = f"{function.name} is not a hook, so the container does not call it"
        yield Diagnostic((), message, f"did you mean {meant!r}?", "warning", program.at(function))


def _meant(name: str, hooks: set[str]) -> str | None:
    """The hook that a name was probably meant to be: `predict_fm`, `model_func`, `predictFn`, `predict`."""
    if name.startswith("_"):
        return None
    stems = {hook.removesuffix("_fn"): hook for hook in hooks}
    stem = _SUFFIX.sub("", name.lower())
    if stem in stems:
        return stems[stem]
    near = closest(name, hooks)
    return near if near and SequenceMatcher(None, name.lower(), near).ratio() >= _ALIKE else None


def _shape(program: Source, function: Function) -> Iterator[Diagnostic]:
    """Whether the server can call a hook and use what it returns."""
    where = program.at(function)
    if isinstance(function, ast.AsyncFunctionDef):
        message = f"{function.name} is async: the server does not await it, and gets a coroutine in place of a result"
        yield Diagnostic((), message, "write def in place of async def", location=where)
    if not all(map(_keeps_parameters, function.decorator_list)):
        return
    wanted, arguments = HOOKS[function.name], function.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    others = len(arguments.kwonlyargs) + (arguments.vararg is not None) + (arguments.kwarg is not None)
    count, call = positional + others, f"{function.name}({', '.join(wanted)})"
    fix = f"write {call}, or add context as the last parameter"
    if count not in (len(wanted), len(wanted) + 1):
        has = counted(count, "parameter")
        message = f"{function.name} has {has}; the server takes {len(wanted)}, or {len(wanted) + 1} with context"
        yield Diagnostic((), message, fix, location=where)
    elif positional < count and arguments.vararg is None:
        message = (
            f"the server passes {count} arguments to {function.name} by position; not all of its parameters take one"
        )
        yield Diagnostic((), message, fix, location=where)


def _keeps_parameters(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
    return name in _TRANSPARENT


def _exclusive(program: Source, statements: list[ast.stmt], found: set[str]) -> Iterator[Diagnostic]:
    """The server refuses a program with transform_fn and a part of what it replaces."""
    others = [name for name in _PARTS if name in found]
    if "transform_fn" not in found or not others:
        return
    place = next(statement for statement in statements if "transform_fn" in _bound(statement))
    message = f"transform_fn cannot be combined with {', '.join(others)}: the server refuses the program"
    fix = "keep transform_fn, or the hooks that it replaces (input_fn, predict_fn, output_fn)"
    yield Diagnostic((), message, fix, location=program.at(place))
