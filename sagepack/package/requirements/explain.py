"""Why a requirement cannot be met, when the index itself says so: no such package, no such version, no wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from sagepack.decoding import LIMIT, MalformedError, decode_json
from sagepack.errors import RemoteError
from sagepack.package.requirements.wheels import fits
from sagepack.spec import image_modules
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.package.requirements.uv import Uv

_JSON = "application/vnd.pypi.simple.v1+json"


class _File(Struct):
    filename: str
    yanked: bool | str = False


class _Project(Struct):
    files: list[_File]


def missing(lines: Sequence[str], uv: Uv) -> tuple[int, str, str] | None:
    """The first requirement that the index cannot meet, as its number, what is wrong and what to do.

    None if each can be met by itself, or if nothing is known, as of an index that is a folder or speaks only HTML.
    """
    for number, line in enumerate(lines):
        files = _files(canonicalize_name(Requirement(line).name), uv)
        if files is not None and (problem := _problem(Requirement(line), files, uv)):
            return (number, *problem)
    return None


def _files(name: str, uv: Uv) -> list[_File] | None:
    """The files of a package in all indexes; None if one of them does not say."""
    found: list[_File] = []
    for link in uv.index.find_links:
        if "://" in link:
            return None
        folder = Path(link)
        found += [_File(path.name) for path in (folder.iterdir() if folder.is_dir() else ()) if _is_of(path.name, name)]
    for url in uv.index.urls:
        if urlsplit(url).scheme == "file" and not Path(f"{unquote(urlsplit(url).path)}/{name}").exists():
            continue
        try:
            with uv.index.open(f"{url.rstrip('/')}/{name}/", {"Accept": _JSON}) as response:
                if response.headers.get_content_type() != _JSON:
                    return None
                found += decode_json(response.read(LIMIT), _Project).files
        except MalformedError:
            return None
        except RemoteError as error:
            if getattr(error.__cause__, "code", None) != 404:
                return None
    return found


def _is_of(filename: str, name: str) -> bool:
    return re.sub(r"[-_.]+", "-", filename).lower().startswith(f"{name}-")


def _problem(asked: Requirement, files: list[_File], uv: Uv) -> tuple[str, str] | None:
    name, python = canonicalize_name(asked.name), uv.target.version
    if not files:
        fix = did_you_mean(name, image_modules.known_distributions()) or "correct the name"
        return f"the package index has no {name}", fix
    versions: dict[Version, list[str]] = {}
    for file in files:
        if (version := _version(file.filename)) is not None:
            versions.setdefault(version, []).append(file.filename)
    wanted = [version for version in versions if asked.specifier.contains(version, prereleases=True)]
    usable = [version for version, names in versions.items() if any(fits(each, uv.target) for each in names)]
    newest = f"{name}=={max(usable)} is the newest that has one" if usable else None
    if not wanted:
        shown = str(asked.specifier)
        return (
            f"the package index has no {name}{shown}",
            f"{name} {max(versions)} is the newest" if versions else "correct it",
        )
    if not set(wanted) & set(usable):
        what = f"{name} {wanted[0]}" if len(wanted) == 1 else name
        only = " (only source code, which would be built at each start of a container)" if not usable else ""
        return (
            f"there is no wheel of {what} for Python {python} on the image's Linux{only}",
            newest or "use another package",
        )
    return None


def _version(filename: str) -> Version | None:
    try:
        return parse_wheel_filename(filename)[1] if filename.endswith(".whl") else parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidVersion, ValueError):
        return None
