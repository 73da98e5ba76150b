"""The hooks of a program: the functions of `inference.py` that the image's server calls.

The rules are those of `sagemaker-huggingface-inference-toolkit` 2.3 to 2.6 (`handler_service.py`): it takes what the module
has under these names, counts the parameters as `inspect.signature` does, and passes the server's context last to a function
with one more than the usual number.
"""

from __future__ import annotations

import ast
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import Diagnostic
from sagepack.spec.program.flow import keeps_function
from sagepack.spec.program.modules import Function
from sagepack.text import closest, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import Severity
    from sagepack.spec.program.meanings import Meaning, Meanings
    from sagepack.spec.program.modules import Bound, Module

# Hook -> the parameters that it is called with, before the optional context.
HOOKS = {
    "model_fn": ("model_dir",),
    "input_fn": ("data", "content_type"),
    "predict_fn": ("data", "model"),
    "output_fn": ("prediction", "accept"),
    "transform_fn": ("model", "data", "content_type", "accept"),
}
_PARTS = ("input_fn", "predict_fn", "output_fn")  # what transform_fn replaces
_SUFFIX = re.compile(r"_?(?:fn|func|function)$")
_ALIKE = 0.8  # of 1; `input_size` and `input_fn` have 0.67, `predict_fm` and `predict_fn` 0.9
# Classes of other servers, by their methods.
_ELSEWHERE = {
    "__call__": "is the handler of Hugging Face's Inference Endpoints, which this image does not know",
    "handle": "is a handler of TorchServe, which this image does not have",
}


class Hook(Value, frozen=True):
    """A hook as the server finds it.

    Attributes:
        name: its name in the program.
        module: the module whose statement gives it.
        bound: that statement.
        meaning: what it is.
        is_only: whether it is nothing else under another condition.
    """

    name: str
    module: Module
    bound: Bound
    meaning: Meaning
    is_only: bool


def of(program: Module, meanings: Meanings) -> list[Hook]:
    """The hooks of a program: all that a name may be, where that depends on a condition."""
    found = []
    for name in HOOKS:
        bounds = meanings.modules.bound(program, name) or []
        meant = [(owner, bound, meaning) for owner, bound in bounds for meaning in meanings.of_bound(owner, bound)]
        meant = [one for one in meant if not _is_none(one[2])]
        found += [Hook(name, *one, is_only=len(meant) == 1) for one in meant]
    return found


def check(program: Module, hooks: list[Hook], meanings: Meanings) -> Iterator[Diagnostic]:
    """What is wrong with the hooks of a program that was parsed."""
    if program.source.tree is None:
        return
    names = {hook.name for hook in hooks}
    if all(meanings.modules.bound(program, name) is not None for name in HOOKS):  # no module may have what is missing
        misspelt = list(_misspelt(program, names))
        yield from misspelt
        if not names and not misspelt:
            yield _none(program)
    for hook in hooks:
        yield from _shape(hook, names)
    yield from _exclusive(program, hooks)


def _is_none(meaning: Meaning) -> bool:
    return isinstance(meaning.node, ast.Constant) and meaning.node.value is None


def _none(program: Module) -> Diagnostic:
    message = "no hook is defined here: the container runs its default pipeline, and nothing of this code"
    fix = f"define one or more of {', '.join(HOOKS)}"
    for node in program.source.parsed.body:
        if not isinstance(node, ast.ClassDef):
            continue
        methods = {inner.name for inner in node.body if isinstance(inner, Function)}
        if inside := [name for name in HOOKS if name in methods]:
            name = node.name
            fix = f"the server calls no methods, such as {inside[0]} of the class {name}: add `h = {name}()` and `{inside[0]} = h.{inside[0]}`"
        elif what := next((what for method, what in _ELSEWHERE.items() if method in methods), None):
            fix = f"the class {node.name} {what}: {fix}"
    return Diagnostic((), message, fix, "warning", program.source.location)


def _misspelt(program: Module, found: set[str]) -> Iterator[Diagnostic]:
    """Functions that nothing uses, with nearly the name of a hook that is not there."""
    used = {node.id for node in program.nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    without = HOOKS.keys() - found - set(_PARTS if "transform_fn" in found else ())
    for name, bounds in program.names.items():
        meant = _meant(name, without)
        if name in HOOKS or name in used or meant is None:
            continue
        for function in (bound.value for bound in bounds if isinstance(bound.value, Function)):
            message = f"{name} is not a hook, so the container does not call it"
            yield Diagnostic((), message, f"did you mean {meant!r}?", "warning", program.source.at(function))


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


def _shape(hook: Hook, names: set[str]) -> Iterator[Diagnostic]:
    """Whether the server can call a hook and use what it returns."""
    meaning = hook.meaning
    severity: Severity = "error" if hook.is_only else "warning"
    if meaning.kind == "constant" and meaning.node:
        value = ast.unparse(meaning.node)[:60]
        message = f"{hook.name} is {value}, which the server cannot call"
        yield Diagnostic((), message, "give it a function", severity, hook.module.source.at(hook.bound.node))
        return
    function = _function(meaning)
    if function is None or meaning.module is None:
        return
    if not isinstance(function, ast.Lambda) and not all(map(keeps_function, function.decorator_list)):
        return
    where = (hook.module.source if meaning.named else meaning.module.source).at(
        hook.bound.node if meaning.named else function
    )
    own = getattr(function, "name", hook.name)
    said = hook.name if own in (hook.name, "__init__") else f"{own}, which is {hook.name},"
    if isinstance(function, ast.AsyncFunctionDef):
        message = f"{said} is async: the server does not await it, and gets a coroutine in place of a result"
        yield Diagnostic((), message, "write def in place of async def", severity, where)
    elif isinstance(function, ast.FunctionDef) and meaning.kind == "function":
        yield from _answer(hook, function, said, names, where)
    yield from _parameters(hook, function, said, severity, where)


def _function(meaning: Meaning) -> Function | ast.Lambda | None:
    """The function whose parameters the server counts."""
    if meaning.kind == "function" and isinstance(meaning.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return meaning.node
    if isinstance(meaning.node, ast.ClassDef) and not (meaning.node.bases or meaning.node.decorator_list):
        wanted = "__init__" if meaning.kind == "class" else "__call__"
        found = [node for node in meaning.node.body if isinstance(node, Function) and node.name == wanted]
        return found[0] if len(found) == 1 else None
    return None


def _parameters(
    hook: Hook, function: Function | ast.Lambda, said: str, severity: Severity, where: str
) -> Iterator[Diagnostic]:
    meaning, arguments, wanted = hook.meaning, function.args, HOOKS[hook.name]
    given = meaning.given + (meaning.kind != "function")
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)][given:]
    # `partial` makes what it fills in by name, and all after it, keyword-only.
    positional = next((number for number, name in enumerate(names) if name in meaning.named), len(names))
    others = len(arguments.kwonlyargs) + (arguments.kwarg is not None)
    count = len(names) + others + (arguments.vararg is not None)
    call = f"{hook.name}({', '.join(wanted)})"
    fix = f"write {call}, or add context as the last parameter"
    if count not in (len(wanted), len(wanted) + 1):
        has = counted(count, "parameter")
        message = f"{said} has {has}; the server takes {len(wanted)}, or {len(wanted) + 1} with context"
        yield Diagnostic((), message, fix, severity, where)
    elif positional < count and arguments.vararg is None:
        message = f"the server passes {count} arguments to {said} by position; not all of its parameters take one"
        if meaning.named:
            message += ", since partial makes those that it fills in by name, and all after them, keyword-only"
            fix = f"write a function {call} that calls it"
        yield Diagnostic((), message, fix, severity, where)
    else:
        yield from _order(names, wanted, said, call, where)
        default = arguments.defaults[-1] if arguments.defaults and len(names) == len(wanted) + 1 else None
        if isinstance(default, ast.Constant) and default.value is not None:
            message = (
                f"the server passes its context as {names[-1]}, in place of the default {ast.unparse(default)[:60]}"
            )
            fix = f"write {call}, and keep {names[-1]} outside of its parameters"
            yield Diagnostic((), message, fix, severity, where)


def _order(names: list[str], wanted: tuple[str, ...], said: str, call: str, where: str) -> Iterator[Diagnostic]:
    """Whether parameters with the names that the server's have are in its order."""
    for number, name in enumerate(names[: len(wanted)]):
        if name in wanted and wanted.index(name) != number:
            message = f"{said} takes {name} as its parameter {number + 1}, where the server passes {wanted[number]}"
            yield Diagnostic((), message, f"write {call}", "warning", where)
            return


def _answer(hook: Hook, function: ast.FunctionDef, said: str, names: set[str], where: str) -> Iterator[Diagnostic]:
    """Whether a hook returns what the server can send."""
    if (hook.name == "predict_fn" and "output_fn" in names) or hook.name not in (
        "predict_fn",
        "output_fn",
        "transform_fn",
    ):
        return
    inside = list(_own_nodes(function.body))
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in inside):
        message = f"{said} is a generator: the server cannot send it as an answer"
        yield Diagnostic((), message, "return the whole answer", "error" if hook.is_only else "warning", where)
    elif not any(isinstance(node, (ast.Return, ast.Raise)) for node in inside) and not _is_stub(function):
        message = f"{said} returns nothing, so that each answer is null"
        yield Diagnostic((), message, "return the answer", "warning", where)


def _own_nodes(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions and classes in it."""
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        yield node
        todo += ast.iter_child_nodes(node)


def _is_stub(function: ast.FunctionDef) -> bool:
    """Whether the body is yet to be written."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def _exclusive(program: Module, hooks: list[Hook]) -> Iterator[Diagnostic]:
    """The server refuses a program with transform_fn and a part of what it replaces."""
    found = {hook.name for hook in hooks}
    others = [name for name in _PARTS if name in found]
    if "transform_fn" not in found or not others:
        return
    first = next(hook for hook in hooks if hook.name == "transform_fn")
    place = first.bound.node if first.module is program else None
    message = f"transform_fn cannot be combined with {', '.join(others)}: the server refuses the program"
    fix = "keep transform_fn, or the hooks that it replaces (input_fn, predict_fn, output_fn)"
    where = program.source.at(place) if place else program.source.location
    yield Diagnostic((), message, fix, location=where)
