"""Whether a model that `model_fn` returned is still the one that the code as it is now would return. Pure.

`model_fn` needs what its text names, what that names, and so on, in its own module and in others of the package. If all of
that is as it was, so is the model. Names and texts are compared and not what they do: where that could mislead, the answer is
that `model_fn` has to be called again, which costs time and nothing else.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HOOK = "model_fn"
_BY_NAME = frozenset({"__import__", "eval", "exec", "globals", "importlib", "import_module"})
_READS = frozenset({"get", "items", "keys", "values", "copy", "index", "count", "format", "join"})
_Name = tuple[str, str]  # a module, and a name at its top; an empty name for all that it does when it is imported


def why_again(before: Mapping[str, bytes], after: Mapping[str, bytes], program: str) -> str | None:
    """Why `model_fn` has to be called again after an edit, in a few words; None if what it returned can be kept.

    Args:
        before: the files of the code, as they were when it was called, by their paths below `code/`.
        after: the files as they are now.
        program: the file that has the hooks.
    """
    others = [path for path in sorted(before.keys() | after.keys()) if before.get(path) != after.get(path)]
    if data := [path for path in others if not path.endswith(".py")]:
        return f"{data[0]} changed, which it may read"
    try:
        old, new = _Needed(before, program), _Needed(after, program)
    except (SyntaxError, ValueError, RecursionError):
        return "not all of the code can be read"
    if old.doubt or new.doubt:
        return new.doubt or old.doubt
    return _difference(old.texts, new.texts, _module(program))


def _difference(old: Mapping[_Name, str], new: Mapping[_Name, str], program: str) -> str | None:
    """What is not as it was; of several things what people look for first. None if there is none."""
    changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    if not changed:
        return None
    hook = (program, _HOOK)
    first = min(changed, key=lambda name: (name != hook, name not in old or name not in new, not name[1], name))
    if first == hook:
        return f"{_HOOK} changed"
    module, name = first
    return f"{name or 'what is run at the import'} of {module} changed"


def _module(path: str) -> str:
    """The name under which a file is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Needed:
    """What `model_fn` needs of the code.

    Attributes:
        texts: each name with a form of its text that comments and places do not change.
        doubt: why that may not be all; None if it is.
    """

    def __init__(self, files: Mapping[str, bytes], program: str) -> None:
        self._modules = {_module(path): _Module.of(data) for path, data in files.items() if path.endswith(".py")}
        self.texts: dict[_Name, str] = {}
        self.doubt: str | None = None
        main = self._modules.get(_module(program))
        if main and _HOOK in main.bound:
            self._reach((_module(program), _HOOK))

    def _reach(self, first: _Name) -> None:
        pending = [first]
        while pending:
            module, name = pending.pop()
            if (module, name) in self.texts or module not in self._modules:
                continue
            found = self._modules[module]
            nodes = found.at_import if name == "" else [_alone(node, name) for node in found.bound.get(name, [])]
            self.texts[module, name] = "\n".join(ast.dump(node) for node in nodes)
            if name:
                pending += [(module, ""), *([(module, "*")] if "*" in found.bound else [])]
            for node in nodes:
                self.doubt = self.doubt or _doubt(node, name, found)
                pending += self._named(node, module, found)

    def _named(self, node: ast.AST, module: str, found: _Module) -> Iterator[_Name]:
        """The names of the package's modules that a statement names."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and each.id in found.bound:
                yield module, each.id
            elif isinstance(each, ast.Import):
                for alias in each.names:
                    yield from self._whole(alias.name)
            elif isinstance(each, ast.ImportFrom):
                yield from self._imported(each, module)

    def _imported(self, node: ast.ImportFrom, module: str) -> Iterator[_Name]:
        base = node.module or ""
        if node.level:
            parts = module.split(".")[: -node.level] if module.count(".") >= node.level else []
            base = ".".join([*parts, *([base] if base else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}" if base else alias.name
            if base in self._modules and alias.name in self._modules[base].bound:
                yield base, alias.name
            else:
                yield from self._whole(inner)
                yield from self._whole(base)

    def _whole(self, name: str) -> Iterator[_Name]:
        """Everything in a module and in the packages that hold it."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            module = ".".join(parts[:count])
            if module in self._modules:
                yield module, ""
                for inner in self._modules[module].bound:
                    yield module, inner


class _Module:
    """The top of a module.

    Attributes:
        bound: the statements that bind each name.
        at_import: the statements that bind none, and so do something.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.bound: dict[str, list[ast.stmt]] = defaultdict(list)
        self.at_import: list[ast.stmt] = []
        for node in tree.body:
            names = set(_bound(node))
            for name in names:
                self.bound[name].append(node)
            if not names and not _is_text(node):
                self.at_import.append(node)

    @classmethod
    def of(cls, data: bytes) -> _Module:
        """The top of the module with that text.

        Raises:
            SyntaxError, ValueError, RecursionError: it cannot be parsed.
        """
        return cls(ast.parse(data))


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement at the top of a module binds there."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        return
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.stmt):
            yield from _bound(each)
        else:
            for inner in ast.walk(each):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    yield inner.id
                elif isinstance(inner, ast.stmt):  # in an `except` or a `case`
                    yield from _bound(inner)


def _alone(node: ast.stmt, name: str) -> ast.stmt:
    """A statement as far as it binds a name: of an import, that one."""
    if isinstance(node, ast.Import):
        return ast.Import([alias for alias in node.names if name in _bound(ast.Import([alias]))])
    if isinstance(node, ast.ImportFrom):
        return ast.ImportFrom(
            node.module, [alias for alias in node.names if name == (alias.asname or alias.name)], node.level
        )
    return node


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _doubt(node: ast.stmt, name: str, module: _Module) -> str | None:
    """Why a statement may need or keep more than it names."""
    if isinstance(node, ast.ClassDef):
        return f"it uses the class {name}, which an import makes anew"
    state = module.bound.keys()
    for each in ast.walk(node):
        if isinstance(each, ast.Global):
            return f"{name} sets {each.names[0]} for all of the module"
        if isinstance(each, ast.Name) and each.id in _BY_NAME:
            return f"it uses {each.id}, which may import more"
        if (
            isinstance(each, (ast.Subscript, ast.Attribute))
            and isinstance(each.value, ast.Name)
            and each.value.id in state
        ):
            held = module.bound[each.value.id]
            if not isinstance(each.ctx, ast.Load):
                return f"it changes {each.value.id}"
            is_value = all(isinstance(one, (ast.Assign, ast.AnnAssign)) for one in held)
            if is_value and isinstance(each, ast.Attribute) and each.attr not in _READS and _is_container(held):
                return f"it may change {each.value.id}"
    return None


def _is_container(nodes: list[ast.stmt]) -> bool:
    """Whether a name may be bound to a list, a set, a map or another thing that remembers."""
    values = [node.value for node in nodes if isinstance(node, (ast.Assign, ast.AnnAssign))]
    made = ("list", "dict", "set", "defaultdict", "OrderedDict", "deque", "Counter", "SimpleNamespace")
    return any(
        isinstance(value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp))
        or (isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] in made)
        for value in values
    )
