"""The arrows between modules: every import counts, wherever it stands and however it is written."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

from sagepack.engine.lazy import LAZY
from tests.helpers.paths import ROOT

# As in pyproject.toml, where import-linter holds the same order; here the table of late imports is an edge as well.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"api"},
    {"engine", "sandbox", "scaffold"},
    {"deploy", "publish", "hub", "serving"},
    {"package"},
    {"spec"},
    {"aws", "scan"},
    {"json_schema"},
    {"files", "retry", "workers", "text", "progress", "digest", "version"},
    {"decoding"},
    {"errors"},
)


@cache
def modules() -> dict[str, Path]:
    """The package's modules by their name without `sagepack.`; the package itself is not among them."""
    found = {}
    for path in (ROOT / "sagepack").rglob("*.py"):
        parts = path.relative_to(ROOT / "sagepack").with_suffix("").parts
        if parts[0] == "templates":  # texts for projects
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def imports(path: Path) -> list[tuple[ast.stmt, set[str]]]:
    """Each import of the package's own modules in a file, with what it imports."""
    found: list[tuple[ast.stmt, set[str]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "sagepack":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == "sagepack"]
        if names and isinstance(node, (ast.Import, ast.ImportFrom)):
            found.append((node, {module_of(name) for name in names} - {""}))
    return found


def module_of(name: str) -> str:
    """The module that a dotted name stands in, without `sagepack.`; empty for the package itself."""
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in modules():
        parts.pop()
    return ".".join(parts)


@cache
def graph() -> dict[str, set[str]]:
    """Every module, and what it imports: at its top, for the type checker, in a function, or late."""
    edges = {name: set[str]().union(*(found for _, found in imports(path))) for name, path in modules().items()}
    for importer, late in LAZY.items():
        edges[importer] |= set(late)
    return edges


def test_every_arrow_between_rooms_points_down() -> None:
    level = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    wrong = [
        f"{importer} -> {imported}"
        for importer, found in graph().items()
        for imported in found
        if (rooms := (importer.split(".")[0], imported.split(".")[0]))[0] != rooms[1]
        and level[rooms[0]] >= level[rooms[1]]
    ]
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    edges = graph()
    order: list[str] = []
    state: dict[str, bool] = {}  # False: on the way; True: done

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert state.get(name) is not False, f"a circle: {' -> '.join((*way[way.index(name) :], name))}"
        if name not in state:
            state[name] = False
            for imported in sorted(edges[name]):
                visit(imported, (*way, name))
            state[name] = True
            order.append(name)

    for name in sorted(edges):
        visit(name, ())
    assert len(order) == len(edges)


def test_the_table_of_late_imports_says_what_its_importers_import_for_the_type_checker() -> None:
    for importer, late in LAZY.items():
        text = modules()[importer].read_text()
        used = {name for name in modules() if f'lazy.module("{name}")' in text}
        assert used == set(late), f"{importer} loads late: {sorted(used)}"
        typed = {name for _, found in imports(modules()[importer]) for name in found}
        assert set(late) <= typed, f"{importer} imports for the type checker: {sorted(typed)}"
    users = {name for name, path in modules().items() if "lazy.module(" in path.read_text()} - {"engine.lazy"}
    assert users == set(LAZY)


def test_no_own_module_is_imported_in_a_function_or_by_a_string() -> None:
    for name, path in modules().items():
        tree = ast.parse(path.read_text())
        inside = {
            node.lineno
            for function in ast.walk(tree)
            if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
        late = [node.lineno for node, _ in imports(path) if node.lineno in inside]
        assert late == [], f"{name} imports within a function in line {late}"
        if name != "engine.lazy":
            assert 'import_module(f"sagepack' not in path.read_text(), name
            assert 'import_module("sagepack' not in path.read_text(), name


def test_what_every_deployment_looks_at_imports_nothing_to_sign_scan_or_divide() -> None:
    program = """
import sys
import sagepack.api.project, sagepack.engine.preflight, sagepack.engine.publication, sagepack.engine.trust
print(*(name for name in sys.modules if name.startswith("sagepack.")))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    unused = (
        "package.attest",
        "publish.signatures",
        "publish.signing",
        "publish.remote_read",
        "engine.scanning",
        "engine.unit",
    )
    loaded = {name.removeprefix("sagepack.") for name in run.stdout.split()} - {
        "scan.commands"
    }  # a list, for the rules
    assert "engine.publication" in loaded
    assert [name for name in loaded if name.startswith(("scan.", *unused, "engine.cluster"))] == []


def test_the_sandbox_knows_of_the_rest_what_a_stand_in_may_know() -> None:
    allowed = {"spec.images", "spec.schedules", "errors", "decoding", "digest", "text", "files", "progress", "workers"}
    for name, found in graph().items():
        if name.split(".")[0] == "sandbox":
            others = {imported for imported in found if imported.split(".")[0] != "sandbox"}
            others = {imported for imported in others if imported.split(".")[0] != "serving"}
            assert others <= allowed, f"{name} imports {sorted(others - allowed)}"


def test_the_serving_stack_works_without_the_sandbox_and_without_aws() -> None:
    for name, found in graph().items():
        if name.split(".")[0] == "serving":
            others = {imported for imported in found if imported.split(".")[0] != "serving"}
            assert others <= {"errors", "files", "text", "progress", "digest"}, f"{name} imports {sorted(others)}"
