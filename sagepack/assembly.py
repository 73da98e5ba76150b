"""The part of a package that is not the model: the folder of inference code, as members under `code/`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.digest import Digest, hash_file
from sagepack.errors import UserError
from sagepack.manifest import Manifest, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.lock import Lock

CODE = "code/"
REQUIREMENTS = "code/requirements.txt"

# Left behind by interpreters, editors, notebooks and file managers: never part of a program.
_JUNK_FOLDERS = {"__pycache__", ".git", ".ipynb_checkpoints", ".mypy_cache", ".ruff_cache", ".pytest_cache", "__MACOSX"}
_JUNK_SUFFIXES = (".pyc", ".pyo", ".swp", ".swo", "~")
_JUNK_NAMES = {".DS_Store", "Thumbs.db"}


@dataclass(frozen=True)
class Part:
    """One file that goes beside the model: from a `file`, or `text` that the build itself writes."""

    member: Member
    file: Path | None = None
    text: bytes | None = None


@dataclass(frozen=True)
class Assembly:
    """The files beside the model, sorted by path."""

    parts: tuple[Part, ...]

    @cached_property
    def inputs(self) -> dict[str, str]:
        """Path to digest (with `+x` where executable): what the assemble step depends on."""
        return {p.member.path: f"{p.member.digest}{'+x' if p.member.executable else ''}" for p in self.parts}

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.member.size for part in self.parts)


def assemble(folder: Path, requirements: tuple[str, ...], where: str) -> Assembly:
    """Look at the folder of inference code and say what of it goes into the package. Reads, never writes.

    Args:
        folder: the folder that becomes `code/`.
        requirements: pinned requirements of the spec; they become `code/requirements.txt`.
        where: the folder as the user knows it, for messages.

    Raises:
        UserError: the folder is missing, holds a link that leads out of it, a special file, or a `requirements.txt`
            beside requirements in the spec.
    """
    if not folder.is_dir():
        raise UserError(
            "there is no such folder", where=where, fix="set code.path to the folder that holds inference.py"
        )
    parts = [_part(folder, path, where) for path in _files(folder, where)]
    if requirements:
        if any(part.member.path == REQUIREMENTS for part in parts):
            raise UserError(
                "requirements.txt stands beside code.requirements of the spec", where=where, fix="keep one of the two"
            )
        parts.append(_requirements(requirements))
    return Assembly(tuple(sorted(parts, key=lambda part: part.member.path)))


def manifest_of(lock: Lock, assembly: Assembly) -> Manifest:
    """The manifest of the package that `lock` and `assembly` make. Pure.

    Raises:
        UserError: a model file lies under `code/`, where the image looks for inference code, or two paths clash.
    """
    for file in lock.files:
        if file.path.casefold().startswith(CODE) or file.path.casefold() == "code":
            raise UserError(
                "the model has a file where the inference code goes",
                where=file.path,
                fix="leave it out with model.exclude",
            )
    model = [Member(file.path, file.size, file.digest) for file in lock.files]
    return Manifest.of([*model, *(part.member for part in assembly.parts)])


def _files(folder: Path, where: str) -> Iterator[str]:
    """Relative paths of the regular files under `folder`, links that stay inside followed."""
    inside = folder.resolve()
    for current, folders, names in os.walk(folder, followlinks=False):
        here = Path(current)
        for name in list(folders):
            if name in _JUNK_FOLDERS:
                folders.remove(name)
            elif (here / name).is_symlink():
                shown = f"{where}/{(here / name).relative_to(folder).as_posix()}"
                raise UserError("a linked folder cannot be packaged", where=shown, fix="copy it, or leave it out")
        for name in names:
            if name in _JUNK_NAMES or name.startswith("._") or name.endswith(_JUNK_SUFFIXES):
                continue
            relative = (here / name).relative_to(folder).as_posix()
            if not _is_unicode(relative):
                raise UserError(
                    "the name is not UTF-8", where=f"{where}/{ascii(relative)[1:-1]}", fix="rename the file"
                )
            _check_file(here / name, inside, f"{where}/{relative}")
            yield relative


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_file(path: Path, inside: Path, shown: str) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UserError("the link leads nowhere", where=shown, fix="remove it") from error
    if not target.is_relative_to(inside):
        raise UserError(f"the link leads out of the folder, to {target}", where=shown, fix="copy the file instead")
    if not target.is_file():
        raise UserError("this is neither a file nor a folder", where=shown, fix="remove it")


def _part(folder: Path, relative: str, where: str) -> Part:
    path = folder / relative
    try:
        status = path.stat()
        digest = hash_file(path)
        after = path.stat()
    except OSError as error:
        raise UserError(f"cannot read it: {error.strerror}", where=f"{where}/{relative}") from error
    if (status.st_size, status.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UserError("the file changed while it was read", where=f"{where}/{relative}", fix="run it again")
    executable = bool(status.st_mode & stat.S_IXUSR)
    return Part(Member(CODE + relative, status.st_size, digest, executable), file=path)


def _requirements(requirements: tuple[str, ...]) -> Part:
    text = "".join(f"{line}\n" for line in requirements).encode()
    return Part(Member(REQUIREMENTS, len(text), Digest.sha256(text)), text=text)
