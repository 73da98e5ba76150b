"""What an expression of the code stands for: a function, a class, a module, a text. Followed through names and files."""

from __future__ import annotations

import ast
import posixpath
from typing import TYPE_CHECKING, Literal

from sagepack.decoding import Value
from sagepack.spec.program.modules import Function, Module

if TYPE_CHECKING:
    from sagepack.spec.program.modules import Bound, Modules

MODEL_DIR = "/opt/ml/model"
"""Where the container has the package (SageMaker developer guide, "Custom Inference Code with Hosting Services")."""
_FAR = 12  # names from one to the next; more is a circle
_OF_PATHS = {"pathlib.Path", "os.path.join", "os.path.expanduser", "os.path.abspath", "str", "os.fspath"}
_METHODS_OF_PATHS = {"joinpath", "resolve", "absolute", "expanduser"}
Scope = Function | ast.Lambda | None


class Meaning(Value, frozen=True):
    """What an expression may stand for.

    Attributes:
        kind: a function or class of the code, an object of such a class, a module of the code, a constant, a name that
            its module surely lacks, or none of these.
        node: the function, class or constant.
        module: the module that has `node`.
        given: how many of the function's first parameters are filled in already.
        named: the parameters that `functools.partial` fills in by name.
    """

    kind: Literal["function", "class", "object", "module", "constant", "missing", "unknown"]
    node: ast.AST | None = None
    module: Module | None = None
    given: int = 0
    named: tuple[str, ...] = ()


UNKNOWN = Meaning("unknown")


class Meanings:
    """Finds out what expressions of the code stand for.

    An expression is in a module, and in a scope: the function that has it, or None at the top of the module.

    Args:
        modules: the modules of the code.
    """

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self._local: dict[Function | ast.Lambda, dict[str, list[Bound]]] = {}

    def of_name(self, module: Module, name: str, far: int = 0) -> list[Meaning]:
        """What a name at the top of a module may stand for; `missing` if the module surely has no such name."""
        bounds = self.modules.bound(module, name)
        if bounds is None:
            return [UNKNOWN]
        if not bounds:
            inner = self.modules.get(f"{module.name}.{name}")
            return [Meaning("module", None, inner) if inner else Meaning("missing", None, module)]
        return [meaning for owner, bound in bounds for meaning in self.of_bound(owner, bound, None, far + 1)]

    def of_bound(self, module: Module, bound: Bound, scope: Scope = None, far: int = 0) -> list[Meaning]:
        """What a statement gives to a name."""
        if bound.imported is not None:
            other = self.modules.get(bound.imported)
            if other is not None and bound.name and far < _FAR and other is not module:
                return self.of_name(other, bound.name, far + 1)
            inner = self.modules.get(f"{bound.imported}.{bound.name}") if bound.name else other
            return [Meaning("module", None, inner) if inner else UNKNOWN]
        if isinstance(bound.value, Function):
            return [Meaning("function", bound.value, module)]
        if isinstance(bound.value, ast.ClassDef):
            return [Meaning("class", bound.value, module)]
        return self.of(bound.value, module, scope, far + 1) if isinstance(bound.value, ast.expr) else [UNKNOWN]

    def of(self, expression: ast.expr, module: Module, scope: Scope, far: int = 0) -> list[Meaning]:
        """What an expression may stand for, after `far` names that were followed already."""
        found = [UNKNOWN]
        if far >= _FAR:
            return found
        if isinstance(expression, ast.Constant):
            found = [Meaning("constant", expression, module)]
        elif isinstance(expression, ast.Lambda):
            found = [Meaning("function", expression, module)]
        elif isinstance(expression, ast.Name):
            if self._is_local(expression.id, module, scope):
                only = self._only(expression.id, module, scope)
                found = self.of_bound(*only, far + 1) if only else found
            else:
                found = self.of_name(module, expression.id, far + 1)
        elif isinstance(expression, ast.Attribute):
            owners = self.of(expression.value, module, scope, far + 1)
            found = [meaning for owner in owners for meaning in self._attribute(owner, expression.attr, far)]
        elif isinstance(expression, ast.Call):
            found = self._made(expression, module, scope, far)
        return found

    def full_name(self, expression: ast.AST | None, module: Module, scope: Scope, far: int = 0) -> str:
        """The name of what is used, with that of the module outside of the code that has it: `torch.hub.load`.

        What a call returns has the name of what is called with `()`. Empty if it has no name, or more than one.
        """
        name = ""
        if far >= _FAR:
            return name
        if isinstance(expression, ast.Attribute):
            owner = self.full_name(expression.value, module, scope, far + 1)
            name = f"{owner}.{expression.attr}" if owner else ""
        elif isinstance(expression, ast.Call):
            called = self.full_name(expression.func, module, scope, far + 1)
            name = f"{called}()" if called else ""
        elif isinstance(expression, ast.Name):
            source, bound, inside = self._only(expression.id, module, scope) or (module, None, None)
            if bound is not None and bound.imported is not None:
                name = f"{bound.imported}.{bound.name}" if bound.name else bound.imported
            elif bound is not None:
                name = self.full_name(bound.value, source, inside, far + 1)
            elif not self._is_local(expression.id, module, scope) and self.modules.bound(module, expression.id) == []:
                name = expression.id  # of Python itself
        return name

    def text(self, expression: ast.AST | None, module: Module, scope: Scope, far: int = 0) -> str | None:
        """The text, or the path, that an expression surely is; None for everything else.

        The first parameter of `model_fn` is the folder of the package.
        """
        if far >= _FAR:
            return None
        if isinstance(expression, ast.Constant):
            return expression.value if isinstance(expression.value, str) else None
        if isinstance(expression, ast.Name):
            source, bound, inside = self._only(expression.id, module, scope) or (module, None, scope)
            is_model_dir = self._is_model_dir(expression.id, module, scope)
            return MODEL_DIR if is_model_dir else self.text(bound.value if bound else None, source, inside, far + 1)
        parts = self._parts(expression, module, scope)
        known = [text for part in parts if (text := self.text(part, module, scope, far + 1)) is not None]
        if not known or len(known) < len(parts):
            return None
        is_sum = isinstance(expression, ast.BinOp) and isinstance(expression.op, ast.Add)
        return "".join(known) if is_sum else posixpath.join(*known)

    def _parts(self, expression: ast.AST | None, module: Module, scope: Scope) -> list[ast.expr]:
        """What a sum of texts, or a call of `pathlib` or `os.path`, makes a text or path of."""
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, (ast.Add, ast.Div)):
            return [expression.left, expression.right]
        if not isinstance(expression, ast.Call):
            return []
        name = self.full_name(expression.func, module, scope)
        if name == "pathlib.Path.home":
            return [ast.Constant("~")]
        if name in _OF_PATHS:
            return expression.args
        if isinstance(expression.func, ast.Attribute) and expression.func.attr in _METHODS_OF_PATHS:
            return [expression.func.value, *expression.args]
        return []

    def _is_local(self, name: str, module: Module, scope: Scope) -> bool:
        return scope is not None and name in self._locals(module, scope)

    def _locals(self, module: Module, scope: Function | ast.Lambda) -> dict[str, list[Bound]]:
        if scope not in self._local:
            self._local[scope] = module.in_function(scope)
        return self._local[scope]

    def _only(self, name: str, module: Module, scope: Scope) -> tuple[Module, Bound, Scope] | None:
        """The one statement that gives a name its value, its module and scope; None if there are more, or it is not known."""
        if scope is not None and name in self._locals(module, scope):
            local = self._locals(module, scope)[name]
            return (module, local[0], scope) if len(local) == 1 else None
        bounds = self.modules.bound(module, name)
        return (*bounds[0], None) if bounds and len(bounds) == 1 else None

    def _is_model_dir(self, name: str, module: Module, scope: Scope) -> bool:
        if not isinstance(scope, Function) or scope.name != "model_fn":
            return False
        first = [*scope.args.posonlyargs, *scope.args.args][:1]
        return bool(first) and first[0].arg == name and len(self._locals(module, scope)[name]) == 1

    def _attribute(self, owner: Meaning, name: str, far: int) -> list[Meaning]:
        if owner.kind == "module" and owner.module:
            return self.of_name(owner.module, name, far + 1)
        if owner.kind not in ("class", "object") or not isinstance(owner.node, ast.ClassDef):
            return [UNKNOWN]
        method = method_of(owner.node, name)
        if method is None:
            return [UNKNOWN]
        kinds = {last_part(decorator) for decorator in method.decorator_list}
        is_given = ("classmethod" in kinds) if owner.kind == "class" else "staticmethod" not in kinds
        return [Meaning("function", method, owner.module, given=int(is_given))]

    def _made(self, call: ast.Call, module: Module, scope: Scope, far: int) -> list[Meaning]:
        """What a call returns, if it is that of a class of the code or of `functools.partial`."""
        is_spread = any(isinstance(part, ast.Starred) for part in call.args) or not all(
            part.arg for part in call.keywords
        )
        if last_part(call.func) != "partial" or not call.args or is_spread:
            found = self.of(call.func, module, scope, far + 1)
            return [Meaning("object", one.node, one.module) if one.kind == "class" else UNKNOWN for one in found]
        count, named = len(call.args) - 1, tuple(part.arg for part in call.keywords if part.arg)
        return [
            Meaning("function", one.node, one.module, one.given + count, (*one.named, *named))
            if one.kind == "function"
            else UNKNOWN
            for one in self.of(call.args[0], module, scope, far + 1)
        ]


def method_of(owner: ast.ClassDef, name: str) -> Function | None:
    """The method of a class that it defines itself, once."""
    found = [node for node in owner.body if isinstance(node, Function) and node.name == name]
    return found[0] if len(found) == 1 else None


def last_part(expression: ast.expr) -> str:
    """The last part of a name with dots; empty for what is no name."""
    target = expression.func if isinstance(expression, ast.Call) else expression
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
