"""The folder of inference code, as it goes into a package under `code/`."""

from __future__ import annotations

import os
import posixpath
import stat
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import field

from sagepack.decoding import Value
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.files import content_problem, unreadable
from sagepack.spec.secrets import files as secret_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.spec.inspection import Inspection

CODE = "code/"
REQUIREMENTS = "code/requirements.txt"

# Files that interpreters, editors, notebooks and file managers leave behind. Files of git are excluded, too, because tools
# that verify a published folder ignore them.
LEFT_BY_TOOLS = "left by tools"
_FOLDERS = {
    **dict.fromkeys(
        ("__pycache__", ".ipynb_checkpoints", ".mypy_cache", ".ruff_cache", ".pytest_cache"), LEFT_BY_TOOLS
    ),
    **dict.fromkeys(("__MACOSX", ".hypothesis", ".tox", ".nox", ".idea", ".vscode", ".svn", ".hg"), LEFT_BY_TOOLS),
    "node_modules": "packages of Node.js",
}
_SUFFIXES = (".pyc", ".pyo", ".swp", ".swo", "~")
_NAMES = {".DS_Store", "Thumbs.db", "desktop.ini", ".coverage", ".bash_history", ".zsh_history", ".python_history"}
_SHOWN = 3  # excluded files in a message


class CodeFile(Value, frozen=True):
    """One file of a package that is not from the model repository.

    Attributes:
        path: path in the package, which begins with `code/`.
        size: bytes.
        digest: SHA-256 of the content.
        executable: whether its owner may execute it.
        source: the file on disk, or the content of a file that the build generates.
    """

    path: str
    size: int
    digest: Digest
    executable: bool
    source: Path | bytes


class CodeTree(Value, frozen=True, dict=True):
    """The files of a package that are not from the model repository, sorted by path.

    Attributes:
        files: the files.
        excluded: paths in the folder that are not packaged, and what each is.
    """

    files: tuple[CodeFile, ...]
    excluded: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Digest by path, with `+x` for executable files: what the assemble step depends on."""
        return {file.path: f"{file.digest}{'+x' if file.executable else ''}" for file in self.files}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def scan(root: Path, folders: Sequence[str], generated: Mapping[str, str], inspection: Inspection) -> CodeTree:
    """List the files of the folders of inference code that go into the package. Writes nothing.

    Args:
        root: the project's folder.
        folders: the folders whose files become `code/`, relative to it.
        generated: files that the build makes, by path in the package: `code/requirements.txt`.
        inspection: reads the files, and gets the report of what cannot be packaged: a secret, a link out of the folder, a
            special file, two files for one place.

    Raises:
        UserError: a folder does not exist.
    """
    files: dict[str, CodeFile] = {}
    for name in folders:
        folder, where = root / name, posixpath.normpath(name)
        if not folder.is_dir():
            raise UserError("there is no such folder", where=where, fix="correct code.path or code.shared in the spec")
        for relative in _paths(folder, where, inspection):
            file = _file(folder, relative, where, inspection)
            if file and file.path in files:
                inspection.report(
                    f"{where}/{relative}", f"another folder of the code has {relative} as well", "rename one of them"
                )
            elif file:
                files[file.path] = file
    for path, text in generated.items():
        if path in files:
            where, name = posixpath.normpath(folders[0]), path.removeprefix(CODE)
            inspection.report(
                where, f"the folder has a {name}, and the spec has code.requirements", "remove one of the two"
            )
        data = text.encode()
        files[path] = CodeFile(path, len(data), Digest.sha256(data), executable=False, source=data)
    return CodeTree(tuple(files[path] for path in sorted(files)), dict(sorted(inspection.excluded.items())))


def describe_excluded(excluded: Mapping[str, str]) -> str:
    """The number of excluded paths and the first few of them, as one line for messages."""
    shown = [f"{path} ({what})" for path, what in list(excluded.items())[:_SHOWN]]
    more = [f"and {len(excluded) - _SHOWN} more"] if len(excluded) > _SHOWN else []
    return f"left out {len(excluded)}: {', '.join([*shown, *more])}"


def _paths(folder: Path, where: str, inspection: Inspection) -> Iterator[str]:
    """Relative paths of the files in `folder`, sorted within each folder; links to files inside count as files."""
    inside = folder.resolve()
    for current, folders, names in os.walk(folder, followlinks=False):
        here = Path(current)
        for name in sorted(folders):
            relative = (here / name).relative_to(folder).as_posix()
            shown = f"{where}/{printable(relative)}"
            if what := unpackaged_folder(here / name):
                inspection.excluded[f"{printable(relative)}/"] = what
            elif (here / name).is_symlink():
                inspection.report(shown, "a link to a folder cannot be packaged", "copy the folder, or remove the link")
            elif inspection.allows_folder(name, shown):
                continue
            folders.remove(name)
        for name in sorted(names):
            relative = (here / name).relative_to(folder).as_posix()
            if secret_files.reason_for_file(name) is None and is_left_by_tools(name):
                inspection.excluded[printable(relative)] = LEFT_BY_TOOLS
            elif problem := _file_problem(here / name, relative, inside):
                inspection.report(f"{where}/{printable(relative)}", *problem)
            else:
                yield relative


def unpackaged_folder(folder: Path) -> str | None:
    """What a folder is that is never packaged, such as a virtual environment; None for all others."""
    if (folder / "pyvenv.cfg").is_file():
        return "a virtual environment"
    return LEFT_BY_TOOLS if folder.name.startswith(".git") else _FOLDERS.get(folder.name)


def is_left_by_tools(name: str) -> bool:
    """Whether a file of this name is never packaged: interpreters, editors, file managers and git leave such files."""
    return name in _NAMES or name.startswith(("._", ".git")) or name.endswith(_SUFFIXES)


def printable(path: str) -> str:
    """`path` with bytes that are not UTF-8 as escapes."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _file_problem(path: Path, relative: str, inside: Path) -> tuple[str, str] | None:
    """Why `path` cannot be packaged, and the fix; None for a file, and for a link to a file inside the folder."""
    if printable(relative) != relative:
        if sys.getfilesystemencoding() != "utf-8":
            return "Python does not read file names as UTF-8 here", "set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
        return "the name is not UTF-8", "rename the file"
    return content_problem(path, inside)


def _file(folder: Path, relative: str, where: str, inspection: Inspection) -> CodeFile | None:
    path, shown = folder / relative, f"{where}/{relative}"
    try:
        status = path.stat()
        digest = inspection.read(path, shown)
        after = path.stat()
    except OSError as error:
        inspection.report(shown, *unreadable(error))
        return None
    if digest is None:
        inspection.excluded[relative] = "a core dump"
        return None
    if (status.st_size, status.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        inspection.report(shown, "the file changed while it was read", "run the command again")
        return None
    executable = bool(status.st_mode & stat.S_IXUSR)
    return CodeFile(CODE + relative, status.st_size, digest, executable, path)
