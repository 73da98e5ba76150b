"""A model in a folder of this machine, in the place of a repository of the Hub and of its cache."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.files import content_problem, content_root
from sagepack.package.manifest import check_paths
from sagepack.spec.code_tree import is_left_by_tools, printable, unpackaged_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.package.lock import LockedFile

_DOWNLOADS = ".cache/huggingface"  # what `hf download --local-dir` keeps beside the files


class FolderFile(Value, frozen=True):
    """A file of the folder.

    Attributes:
        path: relative to the folder, with `/` between folders.
        size: bytes.
        problem: why it cannot be packaged, and the fix; None if it can.
    """

    path: str
    size: int
    problem: tuple[str, str] | None = None


class ModelFolder(Value, frozen=True):
    """The folder. Nothing in it is ever changed.

    Attributes:
        folder: where it is.
        name: as the spec has it, for messages.
    """

    folder: Path
    name: str

    def snapshot(self, path: str) -> Path:
        """The file of that path.

        Raises:
            UserError: the path is absolute, or leads out of the folder.
        """
        check_paths([path])
        return self.folder / path

    def places(self, file: LockedFile) -> tuple[Path, ...]:
        """Where the content of a locked file may lie."""
        return (self.snapshot(file.path),)

    def inventory(self) -> Callable[[LockedFile], bool]:
        """Whether there may be a file where the content of a locked file lies: in a folder of the user's, each is looked for."""
        return lambda _file: True

    def display(self, path: str) -> str:
        """The file of that path, for messages."""
        return f"{posixpath.normpath(self.name)}/{path}"

    def files(self) -> list[FolderFile]:
        """The files that a repository made of the folder would have, sorted by path; nothing is read.

        Left out are files of git, of `hf download` and of editors. Links to files within the folder count as files, and in a
        snapshot of the Hugging Face cache links to its blobs.
        """
        return sorted(self._files(), key=lambda file: file.path)

    def _files(self) -> Iterator[FolderFile]:
        inside = content_root(self.folder)
        for current, folders, names in os.walk(self.folder):
            here = Path(current)
            for name in list(folders):
                relative = (here / name).relative_to(self.folder).as_posix()
                if unpackaged_folder(here / name) or relative == _DOWNLOADS:
                    folders.remove(name)
                elif (here / name).is_symlink():
                    folders.remove(name)
                    problem = ("a link to a folder cannot be packaged", "copy the folder, or remove the link")
                    # As files in it, so that patterns for the folder choose it.
                    yield FolderFile(f"{printable(relative)}/", 0, problem)
            for name in names:
                relative = (here / name).relative_to(self.folder).as_posix()
                if not is_left_by_tools(name):
                    yield _file(here / name, relative, inside)


def _file(path: Path, relative: str, inside: Path) -> FolderFile:
    shown = printable(relative)
    if shown != relative:
        return FolderFile(shown, 0, ("the name is not UTF-8", "rename the file"))
    problem = content_problem(path, inside)
    return FolderFile(shown, 0 if problem else path.stat().st_size, problem)
