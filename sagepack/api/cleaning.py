"""Removes local output, once no command uses it."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack import sandbox
    from sagepack.progress import Progress
else:
    sandbox = lazy.module("sandbox")


def remove_all(root: Path, progress: Progress) -> tuple[str, ...]:
    """Remove what `build/` and `dist/` hold, and the sandbox, after running commands have ended, and before any other begins.

    Lock files stay: another command may wait for one, and a later command must meet it there.
    """
    build, dist = root / "build", root / "dist"
    held = set[Path]()
    with ExitStack() as stack:
        while True:
            found = [
                path
                for folder in (build, dist)
                for path in (folder.iterdir() if folder.is_dir() else ())
                if path.suffix != ".lock"
            ]
            coming = _mutexes(build, dist) - held
            if not coming:
                break
            # Those of a rebuild last: `verify` takes them after the one of its spec.
            for mutex in sorted(coming, key=lambda path: (len(path.parts), path)):
                stack.enter_context(files.exclusive(mutex, progress.activity))
            held |= coming
        sandbox.remove(root)
        remove(root, [path for path in found if path != build / "sandbox"])
    emptied = sorted({path.parent for path in found})
    for folder in emptied:
        with suppress(OSError):  # lock files are left
            folder.rmdir()
    return tuple(folder.name for folder in emptied)


def _mutexes(build: Path, dist: Path) -> set[Path]:
    """Those of all specs of which there is something, and of rebuilds that are compared."""
    return {
        *build.glob("*.lock"),
        *build.glob("rebuild-*/build/*.lock"),
        *(build / f"{records.parent.name}.lock" for records in build.glob("*/records")),
        *(build / f"{package.parent.name}-{package.name}.lock" for package in dist.glob("*/*")),
    }


def remove(root: Path, paths: Sequence[Path]) -> tuple[str, ...]:
    """Remove what of `paths` exists, and name it."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    for path in there:
        _remove_one(path)
    return tuple(str(path.relative_to(root)) for path in there)


def _remove_one(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # another command was faster with a part of it: look again
        shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot be removed: {reason}", where=str(path), fix="remove it by hand") from error
