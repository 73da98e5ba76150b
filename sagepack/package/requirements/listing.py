"""`code/requirements.txt`: what the container's pip installs before the server starts.

pip runs in the image's own environment, where it leaves alone what meets a line. Without wheels in the package the file
names what the image lacks. With them it forbids any index and gives the digest of each wheel, so that pip takes these files
or none; then it names all packages, because pip, told to check hashes, refuses one that it must install and that has none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.lock import Lock, LockedPackage

WHEELS = "code/wheels/"
_DECLARED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?")


def text(lock: Lock, *, vendored: bool) -> str:
    """The file; empty if the container has to install nothing.

    Args:
        lock: what the requirements take.
        vendored: the wheels are in the package.
    """
    extras = dict(map(_name_and_extras, lock.requirements))
    lines = [
        f"{package.name}{extras.get(package.name, '')}=={package.version}"
        for package in installed(lock, vendored=vendored)
    ]
    if vendored and lines:
        hashed = [f"{line} --hash={package.digest}" for line, package in zip(lines, lock.packages, strict=True)]
        lines = ["--no-index", "--find-links ./wheels", *hashed]
    return "".join(f"{line}\n" for line in lines)


def installed(lock: Lock, *, vendored: bool) -> tuple[LockedPackage, ...]:
    """The packages that the container's pip is told of."""
    asked = dict(map(_name_and_extras, lock.requirements))
    return tuple(package for package in lock.packages if vendored or package.name in asked or not package.in_image)


def wheels(lock: Lock) -> dict[str, LockedPackage]:
    """The wheels of a package that carries them, by their path in it."""
    return {f"{WHEELS}{package.file}": package for package in lock.packages}


def modules(packages: Sequence[LockedPackage]) -> tuple[str, ...] | None:
    """The modules that packages bring into the image; None if those of some are not known."""
    found = [package.modules for package in packages if not package.in_image]
    return tuple(sorted({name for names in found for name in names or ()})) if None not in found else None


def name_of(requirement: str) -> str:
    """The normal name of the package that a requirement asks for."""
    return _name_and_extras(requirement)[0]


def _name_and_extras(requirement: str) -> tuple[str, str]:
    match = _DECLARED.match(requirement)
    name, extras = match.groups() if match else (requirement, None)
    return re.sub(r"[-_.]+", "-", name).lower(), re.sub(r"\s", "", extras or "")
