"""Checks the Python files of a package: parses each once, and applies what can be said without running it."""

from __future__ import annotations

import ast
import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.spec.code_tree import CODE
from sagepack.spec.program import hooks, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagepack.errors import Diagnostic
    from sagepack.spec.code_tree import CodeFile
    from sagepack.spec.program.source import Source


def check(files: Sequence[CodeFile], root: Path, program: str, python: tuple[int, int] | None) -> Iterator[Diagnostic]:
    """What is wrong with the program and with the modules that it may import.

    Args:
        files: the files of the package under `code/`, whose sources are on disk.
        root: the project's folder, to which messages are relative.
        program: the file whose hooks the server calls, such as `inference.py`.
        python: major and minor version of the image's Python; None if it is not known.
    """
    sources = list(_read(files, root, python))
    imported = {name for one in sources for name in _imports(one)}
    for one in sources:
        is_used = one.path == program or one.module in imported
        if one.problem:
            yield one.problem if is_used else replace(one.problem, severity="warning")
        if one.path == program:
            yield from hooks.check(one)


def _read(files: Sequence[CodeFile], root: Path, python: tuple[int, int] | None) -> Iterator[Source]:
    for file in files:
        if file.path.endswith(".py") and isinstance(file.source, Path):
            location = posixpath.normpath(file.source.relative_to(root).as_posix())
            yield source.read(file.source, file.path.removeprefix(CODE), location, python)


def _imports(one: Source) -> Iterator[str]:
    """The first parts of the names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(one.parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
