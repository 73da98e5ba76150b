"""Wheels: which of the files of a package pip would take, the modules in it, and its bytes."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from contextlib import suppress
from email.parser import HeaderParser
from functools import cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from sagepack.decoding import Value
from sagepack.errors import IntegrityError, RemoteError
from sagepack.files import disk_errors
from sagepack.retry import RetryableError, RetryPolicy
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sagepack.package.lock import LockedPackage
    from sagepack.package.requirements.index import PackageIndex
    from sagepack.package.requirements.uv import Target, Wheel

_TAIL = 1 << 18  # bytes at the end of a wheel that are read first: the list of its files is there
_WHOLE = 16 << 20  # bytes of a wheel that is read whole where a server sends no parts
_MOST = 10_000  # modules of a wheel that are kept
_CHUNK = 1 << 20
_LONGEST_LICENSE = 100  # characters
_BACKOFF = 0.5  # seconds
_ALIASES = {17: "manylinux2014_x86_64", 12: "manylinux2010_x86_64", 5: "manylinux1_x86_64"}
_CODE = re.compile(r"(?P<stem>[^.]+)(?:\.[^/]*)?\.(?:so|pyd)$|(?P<module>[^.]+)\.py$")


class Inspected(Value, frozen=True):
    """What was read of a wheel: its size, the modules in it, None where the server sends no parts of it, and its licence if it names one."""

    size: int
    modules: tuple[str, ...] | None
    license: str | None = None


def best(wheels: Sequence[Wheel], target: Target) -> Wheel | None:
    """The wheel that pip takes of those that fit: the one with the most special tag, and of those the latest build."""
    ranks = {tag: number for number, tag in enumerate(_tags(target))}

    def rank(wheel: Wheel) -> tuple[int, tuple[int, str] | tuple[()]]:
        try:
            _name, _version, build, tags = parse_wheel_filename(wheel.name)
        except InvalidWheelFilename:
            return -len(ranks) - 1, ()
        return -min(ranks.get(str(tag), len(ranks)) for tag in tags), build

    return max(wheels, key=rank, default=None)


@cache
def _tags(target: Target) -> tuple[str, ...]:
    """The tags of wheels that fit, the best first."""
    platforms = []
    for minor in range(target.glibc, 4, -1):
        platforms += [f"manylinux_2_{minor}_x86_64", *([_ALIASES[minor]] if minor in _ALIASES else [])]
    platforms.append("linux_x86_64")
    interpreter = f"cp{target.python[0]}{target.python[1]}"
    tags = [
        *cpython_tags(target.python, [interpreter], platforms),
        *compatible_tags(target.python, interpreter, platforms),
    ]
    return tuple(map(str, tags))


def fits(filename: str, target: Target) -> bool:
    """Whether a file is a wheel that the image's Python can install."""
    try:
        tags = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return False
    return bool({str(tag) for tag in tags} & set(_tags(target)))


def inspect(wheel: Wheel, index: PackageIndex) -> Inspected:
    """Read the end of a wheel, where the list of its files is.

    Nothing proves that these are the bytes of the locked digest: the modules are advice, and the size is compared when the
    wheel is fetched.

    Raises:
        RemoteError: the index does not send it, and does not say how large it is.
    """
    try:
        file = _RemoteFile(wheel.url, index)
    except RemoteError:
        if wheel.size is None:
            raise
        return Inspected(wheel.size, None)
    record = _text(file, "RECORD")
    paths = [line.rpartition(",")[0].rpartition(",")[0].strip('"') for line in (record or "").splitlines()]
    modules = tuple(sorted(set(_modules(paths)))) if record is not None else None
    license_ = declared_license(_text(file, "METADATA") or "")
    return Inspected(wheel.size or file.size, modules if modules is None or len(modules) <= _MOST else None, license_)


def declared_license(metadata: str) -> str | None:
    """The licence that a wheel names: an expression of SPDX (PEP 639), or else words of one line."""
    fields = HeaderParser().parsestr(metadata.partition("\n\n")[0])
    classified = (
        each.rpartition("::")[2].strip()
        for each in fields.get_all("Classifier", [])
        if each.startswith("License ::") and not each.endswith("OSI Approved")
    )
    # `License` is free text, and often all of the licence.
    found = (each.strip() for each in (fields["License-Expression"], fields["License"], *classified) if each)
    return next((printable(each) for each in found if 0 < len(each) <= _LONGEST_LICENSE and "\n" not in each), None)


def demand(wheel: Wheel, index: PackageIndex, name: str) -> str | None:
    """The versions of another package that a wheel demands, as in its metadata; None if it says nothing of it.

    Raises:
        RemoteError: the index does not send it.
    """
    metadata = _text(_RemoteFile(wheel.url, index), "METADATA") or ""
    for line in metadata.partition("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        with suppress(InvalidRequirement):
            if key == "Requires-Dist" and canonicalize_name((asked := Requirement(value)).name) == name:
                return str(asked.specifier) or None
    return None


def _text(file: _RemoteFile, name: str) -> str | None:
    """A file about a wheel; None where it cannot be read, or is larger than such a file is."""
    with suppress(zipfile.BadZipFile, _NoPartsError, RemoteError), zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.filename.endswith(f".dist-info/{name}") and info.file_size <= _WHOLE:
                return archive.read(info).decode("utf-8", errors="replace")
    return None


def _modules(paths: Iterable[str]) -> Iterator[str]:
    """The modules that the files of a wheel make: a module of a namespace has its full name."""
    found: dict[str, set[str]] = {}
    regular = set[str]()
    for path in paths:
        parts = path.split("/")
        if parts[0].endswith(".data") and len(parts) > 2 and parts[1] in ("purelib", "platlib"):
            parts = parts[2:]
        code = _CODE.fullmatch(parts[-1])
        if not code or not all(part.isidentifier() for part in parts[:-1]):
            continue
        stem = code["stem"] or code["module"]
        if len(parts) == 1:
            regular.add(stem)
        elif len(parts) == 2 and stem == "__init__":
            regular.add(parts[0])
        else:
            found.setdefault(parts[0], set()).add(parts[1] if len(parts) > 2 else stem)
    yield from (name for name in regular if name.isidentifier())
    yield from (f"{top}.{below}" for top, names in found.items() if top not in regular for below in names)


def fetch(package: LockedPackage, url: str, index: PackageIndex, path: Path, advance: Callable[[int], None]) -> None:
    """Fetch a wheel to `path`; every byte is checked against the lock. Memory is constant.

    Args:
        package: the entry of the lock.
        url: where the wheel is.
        index: the index with its credentials.
        path: where it goes, in one rename.
        advance: gets the number of bytes as they arrive; negative after a retry.

    Raises:
        RemoteError: the index failed at the last attempt.
        IntegrityError: it sends other bytes than those of the lock.
        UserError: the disk is full.
    """
    retries = RetryPolicy(_BACKOFF, attempts=4).begin(package.file)
    while True:
        with retries:
            _fetch_once(package, url, index, path, advance)
            return


def _fetch_once(
    package: LockedPackage, url: str, index: PackageIndex, path: Path, advance: Callable[[int], None]
) -> None:
    partial, digest, count = path.with_name(f"{path.name}.partial"), hashlib.sha256(), 0
    with index.open(url) as response, disk_errors(partial), partial.open("wb") as file:
        while count <= package.size and (piece := _piece(response)):
            file.write(piece)
            digest.update(piece)
            count += len(piece)
            advance(len(piece))
    if count < package.size:
        advance(-count)
        raise RetryableError(f"{count:,} of {package.size:,} bytes arrived")
    if digest.hexdigest() != package.digest.value:
        partial.unlink()
        raise other_bytes(package, digest.hexdigest())
    with disk_errors(path):
        partial.replace(path)


def other_bytes(package: LockedPackage, sha256: str) -> IntegrityError:
    """The error for a wheel that is not the locked one."""
    return IntegrityError(
        f"the package index has other bytes than those of the lock: sha256:{sha256}, and not {package.digest}",
        where=package.file,
        fix="find out who changed the file; `invoke lock --update` would lock the new one",
    )


def _piece(response: io.BufferedIOBase) -> bytes:
    """The next bytes; none where the connection breaks off."""
    try:
        return response.read(_CHUNK)
    except OSError:
        return b""


class _NoPartsError(Exception):
    """The server sends a file whole, and it is large."""


class _RemoteFile(io.RawIOBase):
    """A file at an address, of which parts are read. Its end is read at once."""

    def __init__(self, url: str, index: PackageIndex) -> None:
        self._url, self._index, self._at = url, index, 0
        self._tail_at, self._tail = 0, b""
        with index.open(url, {"Range": f"bytes=-{_TAIL}"}) as response:
            # `file:` addresses and some servers send all of it.
            start, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            self.size = int(total) if total.isdigit() else int(response.headers.get("Content-Length") or 0)
            if start:
                self._tail_at = int(start.partition("-")[0])
                self._tail = response.read(_TAIL)
            elif 0 < self.size <= _WHOLE:
                self._tail = response.read(self.size)
            else:
                self._tail_at = -1

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if self._at < 0:
            raise OSError("before the beginning")  # as zipfile expects of a file that is too small for an archive
        return self._at

    def read(self, count: int = -1) -> bytes:
        end = self.size if count < 0 else min(self.size, self._at + count)
        if self._tail_at < 0:
            raise _NoPartsError
        if self._at >= end:
            return b""
        if self._at >= self._tail_at:
            data = self._tail[self._at - self._tail_at : end - self._tail_at]
        else:
            with self._index.open(self._url, {"Range": f"bytes={self._at}-{end - 1}"}) as response:
                data = response.read(end - self._at)
        self._at += len(data)
        return data
