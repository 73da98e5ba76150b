"""`uv pip compile`: which versions meet some requirements under the image's Python, and in which files they are.

uv resolves for another Python and platform than its own and never runs code of a package. Its answer is a `pylock.toml`
(PEP 751) with every file that fits the platform.

Preferences are what an image has: uv keeps such a version if it may, as pip keeps what is installed. Fixed packages are
those that must not be replaced; as the index has no builds of AWS's, an empty wheel of each stands for it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct, field

from sagepack.decoding import Value
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.package.requirements.index import PackageIndex

_SECONDS = 900.0
_LINES = 8  # of what uv says
_ANNOTATED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>\S+)\s*(?:# via (?P<via>.*))?$", re.MULTILINE)


class Target(Value, frozen=True):
    """What packages are for.

    Attributes:
        python: major and minor version.
        glibc: minor version of glibc 2.
        tag: the tag of the image, which says both.
    """

    python: tuple[int, int]
    glibc: int
    tag: str

    @property
    def version(self) -> str:
        """The version of Python as text."""
        return ".".join(map(str, self.python))


class Wheel(Value, frozen=True):
    """A file of a package: where it is, and its size and SHA-256 as far as the index says."""

    name: str
    url: str
    size: int | None
    sha256: str | None


class Found(Value, frozen=True):
    """A package that uv chose.

    Attributes:
        name: normalized.
        version: its version.
        wheels: the files that fit the platform.
        via: what demands it: names of packages, or `-r` for a requirement itself.
    """

    name: str
    version: str
    wheels: tuple[Wheel, ...] = ()
    via: tuple[str, ...] = ()


class UnsolvableError(Exception):
    """No versions meet the requirements; the text is what uv says about it."""


class Uv(Value, frozen=True):
    """uv for one image.

    Attributes:
        index: where packages come from.
        target: the image's Python and platform.
        preferred: versions to keep if they may be kept, by normalized name.
        fixed: versions that must be kept, by normalized name.
    """

    index: PackageIndex
    target: Target
    preferred: Mapping[str, str] = {}
    fixed: Mapping[str, str] = {}

    def compile(self, lines: Sequence[str], *, dependencies: bool = True) -> tuple[list[Found], list[str]]:
        """The packages that meet `lines`, and what uv warns of.

        Args:
            lines: requirements.
            dependencies: follow them.

        Raises:
            UnsolvableError: no versions meet them.
            RemoteError: the index does not answer.
            UserError: uv is not installed.
        """
        with tempfile.TemporaryDirectory(prefix="sagepack-uv-") as name:
            folder = Path(name)
            (folder / "pylock.toml").write_text(_lock(self.preferred), encoding="utf-8")
            flags = [
                "--format",
                "pylock.toml",
                "--output-file",
                "pylock.toml",
                *([] if dependencies else ["--no-deps"]),
            ]
            warnings = self._run(folder, lines, flags)
            document = msgspec.toml.decode((folder / "pylock.toml").read_bytes(), type=_Lock)
        found = [
            Found(package.name, package.version, tuple(wheel.value for wheel in package.wheels))
            for package in document.packages
            if package.name not in self.fixed
        ]
        return found, [line for line in warnings.splitlines() if "yanked" in line]

    def explain(self, lines: Sequence[str]) -> list[Found]:
        """The packages that meet `lines`, with what demands each; raises as `compile`."""
        with tempfile.TemporaryDirectory(prefix="sagepack-uv-") as name:
            folder = Path(name)
            preferred = "".join(f"{each}=={version}\n" for each, version in self.preferred.items())
            (folder / "found.txt").write_text(preferred, encoding="utf-8")
            self._run(folder, lines, ["--output-file", "found.txt", "--annotation-style", "line"])
            text = (folder / "found.txt").read_text(encoding="utf-8")
        return [
            Found(
                each["name"], each["version"], via=tuple(via.split(" ")[0] for via in (each["via"] or "").split(", "))
            )
            for each in _ANNOTATED.finditer(text)
        ]

    def _run(self, folder: Path, lines: Sequence[str], flags: Sequence[str]) -> str:
        """Run uv in `folder`; returns what it says on stderr."""
        (folder / "asked.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        fixed = "".join(f"{name}=={version}\n" for name, version in self.fixed.items())
        (folder / "fixed.txt").write_text(fixed, encoding="utf-8")
        for name, version in self.fixed.items():
            _write_stub(folder, name, version)
        links = [*self.index.find_links, *([str(folder)] if self.fixed else [])]
        command = [_program(), "pip", "compile", "asked.txt", "--constraints", "fixed.txt", *flags]
        command += ["--no-config", "--no-python-downloads", "--no-header", "--no-progress", "--color", "never"]
        # Told which interpreter to start, uv does not search this machine for one of the image's version, which takes seconds.
        command += ["--python", sys.executable, "--python-version", self.target.version, "--only-binary", ":all:"]
        command += ["--python-platform", f"x86_64-manylinux_2_{self.target.glibc}"]
        command += [] if self.index.urls else ["--no-index"]  # uv has a flag for it, and no variable
        variables = {**self.index.variables, **({"UV_FIND_LINKS": ",".join(links)} if links else {})}
        try:
            run = subprocess.run(
                command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise self._unreachable(f"it did not answer within {_SECONDS:.0f} s") from error
        if run.returncode == 0:
            return run.stderr
        told = _told(self.index.hidden(run.stderr))
        if run.returncode == 1:
            raise UnsolvableError(" ".join(told[:_LINES]))
        raise self._unreachable(told[-1])  # the cause of the causes

    def _unreachable(self, text: str) -> RemoteError:
        fix = (
            "check the network and the address of the index (PIP_INDEX_URL or UV_DEFAULT_INDEX); a lock that is up to date "
            "needs no index"
        )
        return RemoteError(f"the package index cannot be read: {text}", where=self.index.name, fix=fix)


def _program() -> str:
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError) as error:
        raise UserError(
            "uv, which resolves requirements, is not installed", where="code.requirements", fix="pip install uv"
        ) from error


def _told(text: str) -> list[str]:
    """The lines of what uv says, without those that are no reason."""
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(("warning:", "hint:", "error: No solution"))]
    return [line.removeprefix("error: ").removeprefix("cause: ") for line in told] or ["uv gives no reason"]


def _lock(preferred: Mapping[str, str]) -> str:
    """A lock of the packages to keep, as uv finds it in the place of its output."""
    packages = "".join(
        f'\n[[packages]]\nname = "{name}"\nversion = "{version}"\n' for name, version in preferred.items()
    )
    return f'lock-version = "1.0"\ncreated-by = "sagepack"\n{packages or "packages = []"}'


def _write_stub(folder: Path, name: str, version: str) -> None:
    """A wheel with nothing in it."""
    stem = f"{name.replace('-', '_')}-{version}"
    about = f"{stem}.dist-info"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


class _File(Struct):
    """A wheel of a `pylock.toml`."""

    url: str
    size: int | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def value(self) -> Wheel:
        """The file; its name is the last part of its address."""
        name = unquote(urlsplit(self.url).path.rpartition("/")[2])
        return Wheel(name, self.url, self.size, self.hashes.get("sha256"))


class _Package(Struct):
    name: str
    version: str
    wheels: list[_File] = field(default_factory=list)


class _Lock(Struct):
    packages: list[_Package] = field(default_factory=list)
