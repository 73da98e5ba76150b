"""The modules of the code and the names that each of them has once it is imported, found without running it."""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sagepack.spec.program.source import Source

Function = ast.FunctionDef | ast.AsyncFunctionDef
# What adds names to a module that no assignment shows.
_HIDDEN = {"globals", "exec", "eval", "vars", "locals", "setattr", "__import__"}
_FOR_TYPES, _AS_PROGRAM = "TYPE_CHECKING", "__name__"


class Bound(Value, frozen=True):
    """What one statement gives to a name.

    Attributes:
        node: the statement.
        value: a function, a class or the expression that is assigned; None for an import, and where it is not known.
        imported: the module of an import, with dots; None for everything else.
        name: what is imported of that module; empty for the module itself.
    """

    node: ast.stmt
    value: ast.AST | None = None
    imported: str | None = None
    name: str = ""


_PARAMETER = Bound(ast.Pass())


class Names:
    """The names that statements give, in a module or in a function.

    Args:
        path: the file, which relative imports start from.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.names: dict[str, list[Bound]] = {}
        self.stars: list[str] = []

    def bind(self, body: Iterable[ast.stmt], *, is_certain: bool) -> None:
        """Take the names of statements, and of those in them.

        Args:
            body: the statements.
            is_certain: whether a name of them takes the place of the same one before.
        """
        for statement in body:
            if isinstance(statement, ast.Delete):
                for target in statement.targets:
                    if isinstance(target, ast.Name) and is_certain:
                        self.names.pop(target.id, None)
            elif isinstance(statement, ast.ImportFrom) and statement.names[0].name == "*":
                self.stars.append(self.full_name(statement))
            else:
                for name, bound in self._bounds(statement):
                    self.names[name] = [bound] if is_certain else [*self.names.get(name, ()), bound]
            for inner, always in blocks(statement):
                self.bind(inner, is_certain=is_certain and always)

    def bound_by(self, statement: ast.stmt) -> set[str]:
        """The names that a statement itself gives, without the statements in it."""
        return {name for name, _ in self._bounds(statement)}

    def full_name(self, statement: ast.ImportFrom) -> str:
        """The module that a statement imports from, with dots."""
        package = self.package(statement.level) if statement.level else ""
        return ".".join(filter(None, (package, statement.module)))

    def package(self, level: int) -> str:
        """The package that a relative import with so many dots starts from; empty for the top of the code."""
        parts = self._path.split("/")[:-1]
        return ".".join(parts[: len(parts) - level + 1])

    def _bounds(self, statement: ast.stmt) -> Iterator[tuple[str, Bound]]:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name, Bound(statement, statement)
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from self._imported(statement)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                value = statement.value if isinstance(target, ast.Name) else None
                yield from ((name, Bound(statement, value)) for name in stored(target))
        elif isinstance(statement, ast.AnnAssign):
            if statement.value and isinstance(statement.target, ast.Name):
                yield statement.target.id, Bound(statement, statement.value)
        else:
            yield from ((name, Bound(statement)) for part in own_expressions(statement) for name in stored(part))

    def _imported(self, statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Bound]]:
        for alias in statement.names:
            if isinstance(statement, ast.ImportFrom):
                yield alias.asname or alias.name, Bound(statement, None, self.full_name(statement), alias.name)
            else:
                first = alias.name.partition(".")[0]
                yield alias.asname or first, Bound(statement, imported=alias.name if alias.asname else first)


class Module(Names):
    """A file of the code as a module.

    Args:
        source: the file.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.path)
        self.source = source
        self.name = name_of(source.path)
        self.bind(source.parsed.body, is_certain=True)
        for node in self.nodes:
            if isinstance(node, ast.Global):
                for name in node.names:
                    self.names.setdefault(name, []).append(Bound(node))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the file."""
        return list(ast.walk(self.source.parsed))

    @cached_property
    def is_open(self) -> bool:
        """Whether it may have names that are not in `names`."""
        if self.source.tree is None or "__getattr__" in self.names:
            return True
        return any(isinstance(node, ast.Name) and node.id in _HIDDEN for node in self.nodes)

    @cached_property
    def exported(self) -> list[str] | None:
        """The names in `__all__`; None without one, and empty if it is not known."""
        bounds = self.names.get("__all__")
        if not bounds:
            return None
        value = bounds[-1].value
        items = value.elts if isinstance(value, (ast.List, ast.Tuple)) else []
        return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]

    def in_function(self, function: Function | ast.Lambda) -> dict[str, list[Bound]]:
        """What each local name of a function may be given."""
        local = Names(self.source.path)
        if isinstance(function, ast.Lambda):
            return {argument.arg: [_PARAMETER] for argument in parameters(function)}
        local.names = {argument.arg: [_PARAMETER] for argument in parameters(function)}
        local.bind(function.body, is_certain=False)
        for node in ast.walk(function):
            if isinstance(node, (ast.Global, ast.Nonlocal)):
                for name in node.names:
                    local.names.pop(name, None)
        return local.names


class Modules:
    """The modules of the code, by their names.

    Args:
        sources: the files of the code.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._modules = {name_of(source.path): Module(source) for source in sources}

    def get(self, name: str) -> Module | None:
        """A module by its name with dots; None if it is not of the code."""
        return self._modules.get(name)

    @property
    def all(self) -> list[str]:
        """The names of all modules."""
        return list(self._modules)

    def has_inside(self, name: str) -> bool:
        """Whether the code has a module in a package."""
        return any(other.startswith(f"{name}.") for other in self._modules)

    def bound(self, module: Module, name: str) -> list[tuple[Module, Bound]] | None:
        """What a name of a module may stand for, and the modules whose statements give it.

        Returns:
            None if that is not known; an empty list if the module has no such name.
        """
        return self._bound(module, name, set())

    def _bound(self, module: Module, name: str, seen: set[str]) -> list[tuple[Module, Bound]] | None:
        if name in module.names:
            return [(module, bound) for bound in module.names[name]]
        seen.add(module.name)
        is_known = not module.is_open
        for star in reversed(module.stars):
            other = self.get(star)
            if other is None or other.name in seen:
                is_known = False
                continue
            if other.exported is None and name.startswith("_"):
                continue
            if other.exported and name not in other.exported:
                continue
            found = self._bound(other, name, seen)
            if found:
                return found
            is_known = is_known and found is not None
        return [] if is_known else None

    def names(self, module: Module) -> set[str]:
        """The names that a module surely or perhaps has, as far as they are known."""
        others = (other for star in module.stars if (other := self.get(star)) and other is not module)
        return {*module.names, *(name for other in others for name in other.names)}


def name_of(path: str) -> str:
    """The name of a module by its path: `pkg.part` of `pkg/part.py`, `pkg` of `pkg/__init__.py`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def blocks(statement: ast.stmt) -> Iterator[tuple[list[ast.stmt], bool]]:
    """The blocks in a statement that run with it, in their order, and whether each surely does.

    Not the body of a function, nor what only type checkers read or only a run as a program (`if __name__ == "__main__"`).
    """
    if isinstance(statement, ast.If):
        names = {node.id for node in ast.walk(statement.test) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(statement.test) if isinstance(node, ast.Attribute)}
        if {_FOR_TYPES, _AS_PROGRAM} & names:
            yield statement.orelse, True
            return
        yield statement.body, not statement.orelse and isinstance(statement.test, ast.Constant)
        yield statement.orelse, False
    elif isinstance(statement, (ast.With, ast.AsyncWith)):
        yield statement.body, True
    elif isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
        yield statement.body, False
        yield statement.orelse, False
    elif isinstance(statement, ast.Match):
        yield from ((case.body, False) for case in statement.cases)
    elif isinstance(statement, ast.Try) or type(statement).__name__ == "TryStar":  # Python 3.11
        handlers: list[ast.ExceptHandler] = getattr(statement, "handlers", [])
        yield getattr(statement, "body", []), not handlers
        yield from ((handler.body, False) for handler in handlers)
        yield getattr(statement, "orelse", []), False
        yield getattr(statement, "finalbody", []), True


def own_expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement itself, without those of the statements in it."""
    for _, value in ast.iter_fields(statement):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.expr):
                yield part
            elif isinstance(part, ast.withitem):
                yield from filter(None, (part.context_expr, part.optional_vars))


def stored(expression: ast.expr) -> Iterator[str]:
    """The names to which an expression gives a value."""
    if isinstance(expression, (ast.Constant, ast.Attribute)):
        return
    for node in ast.walk(expression):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def parameters(function: Function | ast.Lambda) -> Iterator[ast.arg]:
    """All parameters of a function."""
    arguments = function.args
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from filter(None, (arguments.vararg, arguments.kwarg))
