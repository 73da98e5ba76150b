"""Rules about keys: public ones that verify are there, and no private one lies where others get it."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import git, pem
from sagepack.spec.pem import KeyFileError
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.spec.rules.view import SpecView

_SIGN = ("trust", "sign")
_ELSEWHERE = (
    "move it out of the project, make a new key if others have seen it, and name a key of AWS KMS or a file there"
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check the keys that `trust` names, as far as they are files."""
    for number, name in enumerate(view.texts("trust", "verify")):
        if name and (problem := _problem(view, name)):
            message, fix = problem
            yield Diagnostic(("trust", "verify", number), f"{name!r} {message}", fix)
    signer = view.text(*_SIGN) or ""
    if signer.startswith("file:"):
        yield from _private_key(view, signer.removeprefix("file:"))


def _problem(view: SpecView, name: str) -> tuple[str, str | None] | None:
    """What is wrong with a file of a public key, and the fix."""
    path = view.root / name
    if not path.is_file():
        siblings = [other.relative_to(view.root).as_posix() for other in _files_beside(path, view.root)]
        return "does not exist", did_you_mean(name, siblings) or pem.TO_PUBLIC
    try:
        pem.public_key(_read(path))
    except KeyFileError as error:
        return str(error), error.fix
    return None


def _private_key(view: SpecView, name: str) -> Iterator[Diagnostic]:
    """The key that signs need not be on this machine; where it is, nobody else may get it with the project or the package."""
    path = view.root / name
    packaged = [view.text("code", "path"), *view.texts("code", "shared"), view.text("model", "path")]
    folder = next((each for each in packaged if each and _within(name, each)), None)
    if folder is not None:
        yield Diagnostic(_SIGN, f"the private key {name!r} lies in {folder}, whose files are published", _ELSEWHERE)
        return
    if not path.is_file():
        return
    try:
        pem.private_key(_read(path))
    except KeyFileError as error:
        yield Diagnostic(_SIGN, f"{name!r} {error}", error.fix)
        return
    if git.tracks(path):
        message = f"the private key {name!r} is in git, where everybody has it who has the repository"
        yield Diagnostic(_SIGN, message, _ELSEWHERE)


def _within(name: str, folder: str) -> bool:
    return posixpath.normpath(name).startswith(f"{posixpath.normpath(folder)}/")


def _files_beside(path: Path, root: Path) -> list[Path]:
    return [other for other in path.parent.glob("*") if other.is_file() and other.is_relative_to(root)]


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(pem.LIMIT)
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror}", "let this user read it") from error
