"""Names that a file uses and nothing gives: a forgotten import, which Python finds only when the line runs."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sagepack.errors import Severity
    from sagepack.spec.program.modules import Module

# What the modules of other versions of Python have; `__file__` and the like are those of a module.
_BUILTINS = {
    *dir(builtins),
    "aiter",
    "anext",
    "EncodingWarning",
    "ExceptionGroup",
    "BaseExceptionGroup",
    "WindowsError",
}
_BUILTINS |= {"PythonFinalizationError"}
_NOTEBOOK = {"display", "get_ipython"}


def check(module: Module, surely_used: Collection[ast.AST]) -> Iterator[Diagnostic]:
    """The names that no statement of a file gives anywhere, in whatever function: each once, where it is used first."""
    tree = module.source.tree
    if tree is None or not module.source.is_whole or module.stars or module.is_open:
        return
    given = {*_given(module.nodes), *_BUILTINS}
    if "NameError" in {node.id for node in module.nodes if isinstance(node, ast.Name)}:
        return  # it asks whether a name is there
    missing: dict[str, list[ast.Name]] = {}
    for node in _evaluated(tree):
        if isinstance(node, ast.Name) and node.id not in given and not node.id.startswith("__"):
            missing.setdefault(node.id, []).append(node)
    for name, uses in missing.items():
        fix = "only notebooks have it: remove the line" if name in _NOTEBOOK else "import or define it in this file"
        severity: Severity = "error" if any(use in surely_used for use in uses) else "warning"
        yield Diagnostic((), f"the name {name} is not defined", fix, severity, module.source.at(uses[0]))


def _evaluated(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes in the order of the file, without annotations that are never evaluated."""
    todo: list[ast.AST] = [tree]
    is_text = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.names[0].name == "annotations"
        for node in tree.body
    )
    while todo:
        node = todo.pop()
        yield node
        for field, value in reversed(list(ast.iter_fields(node))):
            if field in ("annotation", "returns") and (is_text or isinstance(node, ast.AnnAssign)):
                continue
            todo += [
                part for part in reversed(value if isinstance(value, list) else [value]) if isinstance(part, ast.AST)
            ]


def _given(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names
        elif isinstance(node, ast.MatchMapping):
            yield node.rest or ""
        elif isinstance(name := getattr(node, "name", None), str):
            yield name  # functions, classes, exceptions, patterns, parameters of types
