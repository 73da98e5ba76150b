"""Rules about names: no two specs of a project have the same, and no two the same endpoint in one environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.errors import Diagnostic, UserError
from sagepack.spec import loader, project_folder
from sagepack.spec.document import lookup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.spec.document import Document

_KEYS = {
    ("name",): "lock, output and packages are stored under the name: give each spec its own",
    ("endpoint", "name"): "each spec deploys an endpoint of its own: give it another name",
}


def check(document: Document, root: Path) -> Iterator[Diagnostic]:
    """Compare the names of a spec with those of the others in the same environment."""
    wanted = {key: value for key in _KEYS if isinstance(value := lookup(document.data, key), str)}
    for other in project_folder.others(root / document.sources[0], root):
        names = _names(other, document.env, root, [name.encode() for name in wanted.values()])
        for key, name in wanted.items():
            if lookup(names, key) == name:
                yield Diagnostic(key, f"{_shown(other, root)} has this name already", _KEYS[key])


def _names(path: Path, env: str, root: Path, wanted: list[bytes]) -> dict[str, Any] | None:
    """A spec in the environment; None if it cannot be read, or has none of the names: most are not read further."""
    try:
        content = path.read_bytes()
        if not any(name in content for name in wanted):
            return None
        return loader.load(path, env, (), root).data
    except (OSError, UserError):
        return None  # what is wrong with it is told when it is used


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
