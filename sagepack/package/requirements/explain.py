"""Why a requirement cannot be met, when the index itself says so: no such package, no such version, no wheel."""

from __future__ import annotations

import difflib
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.package.requirements.uv import Uv

_JSON = "application/vnd.pypi.simple.v1+json"


_NEAR = 0.75  # of difflib: short names are near to many others
_ANCHOR = re.compile(rb">\s*([^<>\s]+)\s*</a\s*>", re.IGNORECASE)


class _File(Struct):
    filename: str


class _Project(Struct):
    files: list[_File]


def missing(lines: Sequence[str], uv: Uv) -> tuple[int, str, str] | None:
    """The first requirement that the index cannot meet, as its number, what is wrong and what to do.

    None if each can be met by itself, or if an index does not say.
    """
    for number, line in enumerate(lines):
        files = _files(canonicalize_name(Requirement(line).name), uv)
        if files is not None and (problem := _problem(Requirement(line), files, uv)):
            return (number, *problem)
    return None


def _files(name: str, uv: Uv) -> list[str] | None:
    """The names of the files of a package in all indexes; None if one of them does not say."""
    found: list[str] = []
    for link in uv.index.find_links:
        if "://" in link:
            return None
        folder = Path(link)
        found += [path.name for path in (folder.iterdir() if folder.is_dir() else ()) if _is_of(path.name, name)]
    for url in uv.index.urls:
        page = f"{url.rstrip('/')}/{name}/"
        try:
            found += _folder(page) if urlsplit(url).scheme == "file" else _page(page, uv)
        except (MalformedError, OSError):
            return None
        except RemoteError as error:
            if getattr(error.__cause__, "code", None) != 404:
                return None
    return found


def _page(url: str, uv: Uv) -> list[str]:
    """The files that the page of a package lists, as PEP 691 or PEP 503 has it."""
    with uv.index.open(url, {"Accept": f"{_JSON}, text/html;q=0.1"}) as response:
        is_json, data = response.headers.get_content_type() == _JSON, response.read(LIMIT)
    return [file.filename for file in decode_json(data, _Project).files] if is_json else _listed(data)


def _folder(url: str) -> list[str]:
    """The files that the page of a package lists, in an index that is a folder."""
    page = Path(unquote(urlsplit(url).path)) / "index.html"
    return _listed(page.read_bytes()) if page.is_file() else []


def _listed(page: bytes) -> list[str]:
    return [name.decode(errors="replace") for name in _ANCHOR.findall(page)]


def _is_of(filename: str, name: str) -> bool:
    return re.sub(r"[-_.]+", "-", filename).lower().startswith(f"{name}-")


def _problem(asked: Requirement, files: list[str], uv: Uv) -> tuple[str, str] | None:
    name, python = canonicalize_name(asked.name), uv.target.version
    if not files and not uv.index.urls:
        where = f"{uv.index.name} has no {name}" if uv.index.find_links else f"there is no folder with {name}"
        return (
            f"{where}, and no package index may be asked",
            "put its wheel into a folder that PIP_FIND_LINKS names, or allow an index",
        )
    if not files:
        near = difflib.get_close_matches(name, image_modules.known_distributions(), n=1, cutoff=_NEAR)
        return f"the package index has no {name}", f"did you mean {near[0]!r}?" if near else "correct the name"
    versions: dict[Version, list[str]] = {}
    for file in files:
        if (version := _version(file)) is not None:
            versions.setdefault(version, []).append(file)
    wanted = [version for version in versions if asked.specifier.contains(version, prereleases=True)]
    usable = [version for version, names in versions.items() if any(fits(each, uv.target) for each in names)]
    newest = f"{name}=={_newest(usable)} is the newest that has one" if usable else None
    if not wanted:
        shown = str(asked.specifier)
        return (
            f"the package index has no {name}{shown}",
            f"{name} {_newest(versions)} is the newest" if versions else "correct it",
        )
    if not set(wanted) & set(usable):
        what = f"{name} {wanted[0]}" if len(wanted) == 1 else name
        only = " (only source code, which would be built at each start of a container)" if not usable else ""
        return (
            f"there is no wheel of {what} for Python {python} on the image's Linux{only}",
            newest or "use another package",
        )
    return None


def _newest(versions: Iterable[Version]) -> Version:
    """The newest version, which is a pre-release only where there is nothing else."""
    return max(versions, key=lambda version: (not version.is_prerelease, version))


def _version(filename: str) -> Version | None:
    try:
        return parse_wheel_filename(filename)[1] if filename.endswith(".whl") else parse_sdist_filename(filename)[1]
    except (InvalidWheelFilename, InvalidVersion, ValueError):
        return None
