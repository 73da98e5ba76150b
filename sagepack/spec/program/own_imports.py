"""Imports between the files of the code: names that a helper does not have, and circles that cannot be imported."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec.program import imports
from sagepack.spec.program.modules import blocks, name_of
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.errors import Severity
    from sagepack.spec.program.flow import Step
    from sagepack.spec.program.meanings import Meanings
    from sagepack.spec.program.modules import Module, Modules
    from sagepack.spec.program.source import Source


def check(
    sources: Sequence[Source], used: Mapping[str, bool], program: Module, modules: Modules
) -> Iterator[Diagnostic]:
    """What imports of the code's own modules cannot find.

    Args:
        sources: the files of the code.
        used: the paths of those that the program may import, and whether it surely does.
        program: the program.
        modules: the modules of all files.
    """
    missing = set()
    for source in sources:
        module = modules.get(name_of(source.path))
        for one in imports.of(source) if source.path in used and module else ():
            severity: Severity = "error" if used[source.path] and one.is_certain else "warning"
            for name, problem, fix in _lacking(module, one, modules) if module else ():
                missing.add(name)
                yield Diagnostic((), problem, fix, severity, source.at(one.node))
    yield from (found for name, found in _Circles(modules).of(program) if name not in missing)


def attributes(steps: Sequence[Step], meanings: Meanings) -> Iterator[Diagnostic]:
    """What the code reads of its own modules, and they do not have."""
    for step in steps:
        if not isinstance(step.node, ast.Attribute):
            continue
        owners = meanings.of(step.node.value, step.module, step.scope)
        if len(owners) != 1 or owners[0].kind != "module" or not owners[0].module:
            continue
        other, name = owners[0].module, step.node.attr
        is_given = isinstance(step.node.ctx, ast.Store) or name.startswith("__")
        if is_given or [meaning.kind for meaning in meanings.of_name(other, name)] != ["missing"]:
            continue
        severity: Severity = "error" if step.is_certain else "warning"
        yield Diagnostic((), f"{other.source.location} has no {name}", _near(name, other, meanings.modules), severity, step.module.source.at(step.node))  # fmt: skip


def _lacking(module: Module, one: imports.Import, modules: Modules) -> Iterator[tuple[str, str, str | None]]:
    """The names that an import does not find, with the problem and the fix."""
    full = ".".join(filter(None, (module.package(one.level) if one.level else "", one.name)))
    first = modules.get(full.partition(".")[0])
    if one.level > module.source.path.count("/") or (first is None and not modules.has_inside(full)):
        return  # of the image, or told with the other imports
    other = modules.get(full)
    if other is None:
        parent, _, last = full.rpartition(".")
        owner = modules.get(parent)
        if owner and parent and not owner.is_open:
            yield last, f"the code has no module {full}", did_you_mean(full, modules.all)
        return
    if not isinstance(one.node, ast.ImportFrom):
        return
    for alias in one.node.names:
        name = alias.name
        if name != "*" and modules.bound(other, name) == [] and not _is_module(f"{full}.{name}", modules):
            yield name, f"{other.source.location} has no {name}", _near(name, other, modules)


def _is_module(name: str, modules: Modules) -> bool:
    return modules.get(name) is not None or modules.has_inside(name)


def _near(name: str, module: Module, modules: Modules) -> str | None:
    is_package = module.source.path.endswith("/__init__.py")
    beside = f", or add the file {name}.py beside it" if is_package else ""
    return did_you_mean(name, modules.names(module)) or f"define it in {module.source.location}{beside}"


class _Circles:
    """Imports the code as Python does, statement by statement, and watches which names are there at each import."""

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._known: dict[str, set[str]] = {}
        self._loading: list[Module] = []

    def of(self, program: Module) -> Iterator[tuple[str, Diagnostic]]:
        """The imports that come too early, with the name that each misses."""
        yield from self._load(program)

    def _load(self, module: Module) -> Iterator[tuple[str, Diagnostic]]:
        self._known[module.name] = set()
        self._loading.append(module)
        yield from self._run(module, module.source.parsed.body, is_certain=True)
        self._loading.pop()

    def _run(self, module: Module, body: list[ast.stmt], *, is_certain: bool) -> Iterator[tuple[str, Diagnostic]]:
        known = self._known[module.name]
        for statement in body:
            if is_certain and isinstance(statement, ast.Import):
                for alias in statement.names:
                    yield from self._first(alias.name)
            elif is_certain and isinstance(statement, ast.ImportFrom):
                yield from self._from(module, statement)
            known |= module.bound_by(statement)
            for inner, always in blocks(statement):
                yield from self._run(module, inner, is_certain=is_certain and always)

    def _first(self, name: str) -> Iterator[tuple[str, Diagnostic]]:
        """Import a module and the packages that it is in, unless that has begun already."""
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            module = self._modules.get(".".join(parts[:count]))
            if module and module.name not in self._known:
                yield from self._load(module)

    def _from(self, module: Module, statement: ast.ImportFrom) -> Iterator[tuple[str, Diagnostic]]:
        if statement.level > module.source.path.count("/"):
            return  # it fails, which is told with the other imports
        full = module.full_name(statement)
        yield from self._first(full)
        other = self._modules.get(full)
        for alias in statement.names:
            if _is_module(f"{full}.{alias.name}", self._modules):
                yield from self._first(f"{full}.{alias.name}")
            elif other in self._loading and other and alias.name != "*" and alias.name not in self._known[other.name]:
                if other.is_open or other.stars or alias.name not in other.names:
                    continue
                way = self._loading[self._loading.index(other) :]
                circle = " -> ".join(one.source.path for one in (*way, other))
                message = (
                    f"circular import ({circle}): {other.source.path} has no {alias.name} yet when this imports it"
                )
                fix = f"import it in the function that uses it, or move {alias.name} into a file of its own"
                yield alias.name, Diagnostic((), message, fix, location=module.source.at(statement))
