"""Where a project is on this disk, and which of its specs is meant when none is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


def is_project(folder: Path) -> bool:
    """Whether a folder is the root of a project: it holds `config/env/`."""
    return (folder / "config" / "env").is_dir()


def find(start: Path) -> Path | None:
    """The nearest folder from `start` upward that is the root of a project."""
    return next(filter(is_project, (start, *start.parents)), None)


def require(root: Path) -> None:
    """Refuse to work outside of a project.

    Args:
        root: a project, or a folder from which none was found.

    Raises:
        UserError: it is no project.
    """
    if not is_project(root):
        message = f"no project here: no folder from {root} upward has config/env/"
        raise UserError(message, fix="change to the folder of a project; `sagepack init` makes one")


def default_spec(root: Path) -> Path:
    """The spec of a project that is meant if none is named: its only one, and of several `config/svd.yaml`.

    Raises:
        UserError: there is none, or several and that is none of them.
    """
    specs = sorted((root / "config").glob("*.yaml"))
    default = root / "config" / "svd.yaml"
    if len(specs) == 1 or default in specs:
        return default if default in specs else specs[0]
    if not specs:
        raise UserError("the project has no spec", where="config/*.yaml", fix="`sagepack new NAME` writes one")
    raise UserError(
        f"the project has {len(specs)} specs, and none was named",
        where="--config",
        details=[f"--config {path.relative_to(root).as_posix()}" for path in specs],
        fix="name one of these",
    )


def others(config: Path, root: Path) -> list[Path]:
    """The other specs, with which a spec shares names of locks, packages and endpoints: beside it, and in `config/`.

    Args:
        config: the spec's file.
        root: the project's folder.
    """
    folders = {config.parent.absolute(), (root / "config").absolute()}
    return sorted(path for folder in folders for path in folder.glob("*.yaml") if path != config.absolute())
