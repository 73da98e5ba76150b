"""The models of the user's own that the sandbox's Hub serves, remembered from one sandbox process to the next.

The file keeps the digests too, with what `stat` says of each file: a start reads nothing of the models, however large.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sagepack import files
from sagepack.sandbox.hub.repositories import RepoFile

if TYPE_CHECKING:
    from sagepack.sandbox.hub.repositories import Repositories


class _File(msgspec.Struct):
    path: str
    size: int
    oid: str
    sha256: str | None
    pointer_size: int
    stamp: tuple[int, int]


class _Model(msgspec.Struct):
    folder: str
    commit: str
    files: list[_File]


class OwnModels:
    """Adds folders to the repositories of a Hub, and adds them again after a restart.

    Args:
        repositories: those of the Hub.
        file: where the folders are remembered; None remembers nothing.
    """

    def __init__(self, repositories: Repositories, file: Path | None = None) -> None:
        self._repositories, self._file = repositories, file
        self._lock = threading.Lock()

    def add(self, name: str, folder: Path) -> str:
        """Serve `folder` as repository `name`, now and after a restart; returns its commit.

        The commit is a function of name, paths and contents. It is served only while the folder does not change.
        """
        commit, listed = self._repositories.fix(name, folder)
        if self._file:
            described = [msgspec.convert(asdict(file), _File, strict=False) for file in listed]
            with self._lock:
                known = {**self._remembered(self._file), name: _Model(str(folder), commit, described)}
                files.write_atomically(self._file, msgspec.json.encode(known))
        return commit

    def restore(self) -> None:
        """Serve what is remembered. A folder that is gone meanwhile stays remembered: its disk may come back."""
        for name, model in self._remembered(self._file).items() if self._file else ():
            folder = Path(model.folder)
            described = [RepoFile(**msgspec.structs.asdict(file), content=folder / file.path) for file in model.files]
            self._repositories.restore(name, folder, model.commit, described)

    @staticmethod
    def _remembered(file: Path) -> dict[str, _Model]:
        """The models by name; none if the file is not there, or is of another version of this program."""
        try:
            return msgspec.json.decode(file.read_bytes(), type=dict[str, _Model])
        except (OSError, msgspec.MsgspecError):
            return {}
