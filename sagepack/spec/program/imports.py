"""The imports of a program: which of them the container cannot satisfy."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import Diagnostic
from sagepack.spec import image_modules
from sagepack.text import closest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from sagepack.errors import Severity
    from sagepack.spec.program.source import Source

_DISTRIBUTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CATCH = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
_NOT_RUN = {
    "TYPE_CHECKING",
    "__name__",
    "version_info",
    "platform",
}  # in the condition: for type checkers, other Pythons
# Built from source for two images, so that no list has it.
_CANNOT_TELL = {"intel_extension_for_pytorch"}


class Import(Value, frozen=True):
    """A module that a file imports.

    Attributes:
        name: its name, with dots; without those of a relative import.
        level: the number of dots of a relative import.
        node: the statement.
        is_certain: whether it is imported when the file is: not only in a function, or under a condition.
    """

    name: str
    level: int
    node: ast.stmt
    is_certain: bool

    @property
    def names(self) -> list[str]:
        """All names in it, outermost first: those of its packages, and what it imports from them."""
        last = [alias.name for alias in self.node.names] if isinstance(self.node, ast.ImportFrom) else []
        return [*self.name.split("."), *last]


class Provided(Value, frozen=True):
    """What the container has to import.

    Attributes:
        python: major and minor version of the image's Python.
        image: the modules of the image, and the distribution of each.
        code: the modules of the code itself.
        requirements: what is installed when the container starts, as lines of a requirements file: it may bring more.
        installed: modules that are installed when the container starts, all of them known.
    """

    python: tuple[int, int]
    image: Mapping[str, str]
    code: Collection[str]
    requirements: Sequence[str]
    installed: Sequence[str] = ()


def of(source: Source) -> list[Import]:
    """The imports of a file, without those whose failure it catches and those that are not for the container."""
    return list(_imports(source.parsed.body, is_certain=True))


def reached(sources: Sequence[Source], program: str) -> dict[str, bool]:
    """The paths of the files that the program may import, and whether it surely does, itself included."""
    by_module: dict[str, list[Source]] = {}
    for source in sources:
        by_module.setdefault(source.module, []).append(source)
    found: dict[str, bool] = {}
    todo = [(source, True) for source in sources if source.path == program]
    while todo:
        source, is_certain = todo.pop()
        if found.get(source.path, False) or (source.path in found and not is_certain):
            continue
        found[source.path] = is_certain
        for one in of(source):
            first = one.name.partition(".")[0] if not one.level else source.module
            todo += [(other, is_certain and one.is_certain) for other in by_module.get(first, ())]
    return found


def check(sources: Sequence[Source], found: Mapping[str, bool], provided: Provided) -> Iterator[Diagnostic]:
    """The imports that nothing in the container satisfies.

    Args:
        sources: the files of the code.
        found: the paths of those that the program may import (`reached`).
        provided: what the container has.
    """
    brought = {name.lower() for line in provided.requirements for name in _brought(line)}
    arranges = any(_arranges_imports(source) for source in sources if source.path in found)
    elsewhere = {part.lower() for source in sources for part in source.parts} if arranges else set()
    for source in sources:
        for one in of(source) if source.path in found else ():
            is_certain = found[source.path] and one.is_certain
            if one.level:
                yield from _relative(source, one, is_certain=is_certain)
            elif not _is_provided(one.name, provided) and one.name.partition(".")[0].lower() not in brought | elsewhere:
                severity: Severity = "error" if is_certain and not (provided.requirements or arranges) else "warning"
                yield _missing(source, one, provided, severity)


def _imports(body: Sequence[ast.stmt], *, is_certain: bool) -> Iterator[Import]:
    for node in body:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, 0, node, is_certain) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Import(node.module or "", node.level, node, is_certain)
        else:
            always, sometimes = _blocks(node)
            yield from _imports(always, is_certain=is_certain)
            yield from _imports(sometimes, is_certain=False)


def _blocks(node: ast.stmt) -> tuple[Sequence[ast.stmt], Sequence[ast.stmt]]:
    """The statements in a statement that run with it, and those that may. What may fail, or is not for the container, is neither."""
    if isinstance(node, ast.ClassDef):
        return node.body, ()
    if isinstance(node, ast.Try):
        tried = () if any(map(_catches, node.handlers)) else node.body
        return [*tried, *node.orelse, *node.finalbody], ()
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return (() if any(_names(item.context_expr) & _CATCH for item in node.items) else node.body), ()
    if isinstance(node, ast.If) and _names(node.test) & _NOT_RUN:
        return (), ()
    if isinstance(node, (ast.If, ast.FunctionDef, ast.AsyncFunctionDef, ast.For, ast.AsyncFor, ast.While)):
        return (), [*node.body, *getattr(node, "orelse", [])]
    return (), ()


def _catches(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or bool(_names(handler.type) & _CATCH)


def _names(expression: ast.expr) -> set[str]:
    """The names and attributes in an expression."""
    nodes = list(ast.walk(expression))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _brought(requirement: str) -> tuple[str, ...]:
    """The modules that a line of a requirements file installs by itself; what else it brings is not known."""
    match = _DISTRIBUTION.match(requirement.strip())
    return image_modules.of_distribution(re.sub(r"[-_.]+", "-", match[0]).lower()) if match else ()


def _arranges_imports(source: Source) -> bool:
    """Whether a file changes where modules are looked for, or installs some: what it can import is then not known."""
    nodes = list(ast.walk(source.parsed))
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return any("pip" in text.split() for text in texts) or any(
        isinstance(node, ast.Attribute) and node.attr == "path" and ast.unparse(node) == "sys.path" for node in nodes
    )


def _is_provided(name: str, provided: Provided) -> bool:
    first = name.partition(".")[0]
    if name.startswith("code.") and "code" not in provided.code:
        return False  # Python's own module `code` is no package, and neither is the folder code/ of the package
    if first in provided.code or first in _CANNOT_TELL or image_modules.in_python(first, provided.python):
        return True
    modules = (*provided.image, *provided.installed)
    return any(f"{name}.".startswith(f"{module}.") or module.startswith(f"{name}.") for module in modules)


def _missing(source: Source, one: Import, provided: Provided, severity: Severity) -> Diagnostic:
    first, where = one.name.partition(".")[0], source.at(one.node)
    name = first if not any(module.startswith(f"{first}.") for module in provided.image) else one.name
    if image_modules.was_in_python(first):
        python = ".".join(map(str, provided.python))
        message = f"Python {python} of the image has no module {first}, which other versions of Python have"
        return Diagnostic((), message, "use another module", severity, where)
    message = f"neither the image nor the code has a module {name}"
    if provided.requirements:
        message += ", and no requirement is known to bring it"
    elif provided.installed:
        message += ", and no requirement brings it"
    inside = [part for part in one.names[1:] if part in provided.code or first == "code"]
    if inside:
        fix = f"the files of the code are at the top of the module path: import {inside[0]}"
        return Diagnostic((), message, fix, severity, where)
    if near := closest(first, provided.code):
        return Diagnostic((), message, f"did you mean {near!r}?", severity, where)
    package = image_modules.distribution_of(name)
    fix = f"add {package}, pinned, to code.requirements; or the file, if it is yours, to the code"
    return Diagnostic((), message, fix, severity, where)


def _relative(source: Source, one: Import, *, is_certain: bool) -> Iterator[Diagnostic]:
    """A relative import that leaves the top of the code, which is a folder of the module path and not a package."""
    if one.level > source.path.count("/"):
        message = "this relative import fails: the top of the code is not a package"
        fix = f"write `import {one.name}`" if one.name and one.level == 1 else "import by the name of the file alone"
        yield Diagnostic((), message, fix, "error" if is_certain else "warning", source.at(one.node))
