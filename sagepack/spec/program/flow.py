"""What runs of the code: when the server imports it, and when it calls the hooks. Followed from call to call."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.spec.program.meanings import last_part
from sagepack.spec.program.modules import Function, Module, blocks, own_expressions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.spec.program.meanings import Meaning, Meanings, Scope

IMPORT = ""
"""The moment of what runs when the server imports the code."""
# Decorators that keep what a function takes and does. Others may change it.
_TRANSPARENT = {"no_grad", "inference_mode", "cache", "lru_cache", "wraps", "staticmethod", "classmethod"}
_LEAVING = (ast.Return, ast.Raise, ast.Break, ast.Continue)


class Step(Value, frozen=True):
    """A call that runs, or a name or attribute that is used.

    Attributes:
        node: the call, name or attribute.
        module: the module that has it.
        scope: the function that has it; None at the top of the module.
        moment: the hook with which it runs; `IMPORT` if it runs when the server imports the code.
        is_certain: whether it runs whenever that happens, and a failure of it is a failure of the whole.
    """

    node: ast.Call | ast.Attribute | ast.Name
    module: Module
    scope: Scope
    moment: str
    is_certain: bool


class Flow:
    """Finds what runs, each place once.

    Args:
        meanings: what the expressions of the code stand for.
    """

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings
        self._steps: dict[ast.AST, Step] = {}
        self._entered: dict[ast.AST, bool] = {}

    @property
    def steps(self) -> Sequence[Step]:
        """What runs, as far as was followed."""
        return list(self._steps.values())

    def follow_import(self, module: Module) -> None:
        """Follow what runs when a module is imported."""
        _Walk(self, module, None, IMPORT).body(module.source.parsed.body, is_certain=True)

    def follow(self, called: Meaning, moment: str, *, is_certain: bool) -> None:
        """Follow what runs when a function, a class or an object of the code is called."""
        if called.module is None:
            return
        if called.kind == "function" and isinstance(called.node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            self._enter(called.node, called.module, moment, is_certain=is_certain)
        elif isinstance(called.node, ast.ClassDef) and called.kind in ("class", "object"):
            first = "__init__" if called.kind == "class" else "__call__"
            for method in called.node.body:
                if isinstance(method, Function) and (method.name == first or moment != IMPORT):
                    self._enter(method, called.module, moment, is_certain=is_certain and method.name == first)

    def _enter(self, function: Function | ast.Lambda, module: Module, moment: str, *, is_certain: bool) -> None:
        if self._entered.get(function) is True or (function in self._entered and not is_certain):
            return
        self._entered[function] = is_certain
        walk = _Walk(self, module, function, moment)
        if isinstance(function, ast.Lambda):
            walk.expression(function.body, is_certain=is_certain)
        else:
            walk.body(function.body, is_certain=is_certain and all(map(keeps_function, function.decorator_list)))

    def add(self, step: Step) -> None:
        """Take a step; one that is certain takes the place of the same one that was not."""
        known = self._steps.get(step.node)
        if known is None or (step.is_certain and not known.is_certain and known.moment == step.moment):
            self._steps[step.node] = step

    def meanings_of(self, expression: ast.expr, module: Module, scope: Scope) -> list[Meaning]:
        """What an expression may stand for."""
        return self._meanings.of(expression, module, scope)


class _Walk:
    """Goes through the statements of one function, or of one module."""

    def __init__(self, flow: Flow, module: Module, scope: Scope, moment: str) -> None:
        self._flow, self._module, self._scope, self._moment = flow, module, scope, moment

    def body(self, statements: Iterable[ast.stmt], *, is_certain: bool) -> None:
        for statement in statements:
            for part in own_expressions(statement):
                self.expression(part, is_certain=is_certain)
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for default in (*statement.args.defaults, *filter(None, statement.args.kw_defaults)):
                    self.expression(default, is_certain=is_certain)
                continue
            if isinstance(statement, ast.ClassDef):
                self.body(statement.body, is_certain=is_certain)
                continue
            for inner, always in blocks(statement):
                self.body(inner, is_certain=is_certain and always)
            is_certain = is_certain and not _may_leave(statement)

    def expression(self, node: ast.AST, *, is_certain: bool) -> None:
        if isinstance(node, ast.Lambda):
            if self._moment != IMPORT:
                self.expression(node.body, is_certain=False)
            return
        self._take(node, is_certain=is_certain)
        always = _surely_evaluated(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.expr, ast.keyword, ast.comprehension)):
                self.expression(child, is_certain=is_certain and (always is None or child in always))

    def _take(self, node: ast.AST, *, is_certain: bool) -> None:
        """Note what an expression does, and follow what it calls or passes on."""
        if isinstance(node, (ast.Call, ast.Attribute, ast.Name)):
            self._flow.add(Step(node, self._module, self._scope, self._moment, is_certain))
        if isinstance(node, ast.Call):
            for called in self._flow.meanings_of(node.func, self._module, self._scope):
                self._flow.follow(called, self._moment, is_certain=is_certain)
        elif isinstance(node, (ast.Name, ast.Attribute)) and self._moment != IMPORT:
            for named in self._flow.meanings_of(node, self._module, self._scope):
                if named.kind == "function":  # it may be called by what gets it
                    self._flow.follow(named, self._moment, is_certain=False)


def keeps_function(decorator: ast.expr) -> bool:
    """Whether a decorator keeps what its function takes and does."""
    return last_part(decorator) in _TRANSPARENT


def _surely_evaluated(node: ast.AST) -> list[ast.AST] | None:
    """The parts of an expression that are evaluated with it; None if all are."""
    if isinstance(node, ast.BoolOp):
        return [node.values[0]]
    if isinstance(node, ast.IfExp):
        return [node.test]
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return []
    return None


def _may_leave(statement: ast.stmt) -> bool:
    """Whether what follows a statement may not run."""
    if isinstance(statement, _LEAVING):
        return True
    return any(_may_leave(inner) for body, _ in blocks(statement) for inner in body)
