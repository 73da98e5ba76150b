"""Writes files that are not there yet: all of them, or none."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def write_new(root: Path, texts: Mapping[str, bytes], folders: Iterable[str] = ()) -> None:
    """Write `texts` below `root`. They are made in a folder beside their places and then moved there.

    Args:
        root: the project.
        texts: path -> content.
        folders: paths that must not exist either, because what is in them would belong to the new files.

    Raises:
        UserError: something is there already, all of which is listed; or the disk refuses.
    """
    _refuse_existing(root, texts, folders)
    with files.disk_errors(root):
        staged = Path(tempfile.mkdtemp(prefix=".sagepack-new-", dir=root))
        made: list[Path] = []
        try:
            for path, content in texts.items():
                _write(staged / path, content)
            for path in texts:
                _make_folders(root, Path(path).parent, made)
                made.append(root / path)
                (staged / path).rename(root / path)
        except BaseException:
            _undo(made)
            raise
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def _refuse_existing(root: Path, texts: Mapping[str, bytes], folders: Iterable[str]) -> None:
    """Raise an error that lists what stands in the way: the files themselves, and files where folders have to be."""
    taken = {path for path in (*texts, *folders) if _exists(root / path)}
    for path in texts:
        taken |= {
            str(folder) for folder in Path(path).parents if _exists(root / folder) and not (root / folder).is_dir()
        }
    if taken:
        raise UserError(
            "nothing was written, because these exist already and are never overwritten",
            details=sorted(path for path in taken if not any(str(above) in taken for above in Path(path).parents)),
            fix="move them away, or choose another name or folder",
        )


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _make_folders(root: Path, folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it, and note the new ones in `made` before they are there."""
    for path in reversed((folder, *folder.parents)):
        if not (root / path).is_dir():
            made.append(root / path)
            (root / path).mkdir()


def _undo(made: list[Path]) -> None:
    """Remove what was made, the last first."""
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
