"""A package's own requirements, installed beside the serving stack as the container installs them into itself.

The image's toolkit runs `pip install -r code/requirements.txt` at each start of a container. Here pip says what that would
install into the stack, and exactly that goes into a folder of its own, once for each content of the file. The worker finds the
folder before the stack. Of requirements that are locked for the image, with hashes and with wheels in the package, names and
versions count: the wheels are those of the image's Python. Where a version is not made for the stack's Python, the newest
before it takes its place, which is said.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagepack.errors import UserError
from sagepack.files import disk_errors
from sagepack.serving import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_INSTALLED, _PACKAGES = "installed.json", "packages"
_SECONDS = 3600.0
_SHOWN = 6  # lines of pip
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_HASH = re.compile(r"\s+--hash[= ]\S+")
_OF_LOCKS = ("--no-index", "--require-hashes", "--only-binary", "--prefer-binary", "--no-binary")
_FIND_LINKS = re.compile(r"(?:--find-links|-f)[= ]\s*(?P<place>\S+)")
_OTHER_FILE = re.compile(r"(?P<flag>--requirement|--constraint|-r|-c)[= ]\s*(?P<place>\S+)")
_PINNED = re.compile(r"(?P<name>\w[\w.-]*)(?:\[[^\]]*\])?\s*==\s*(?P<version>[^\s;,]+)")
_EXACTLY = re.compile(r"(?<![=<>!~])==(?!=)")
_OTHER_PYTHON = "require a different python version"  # pip, of versions that it passed over
_OF_TORCH = frozenset({"torch", "torchaudio", "torchvision", "triton"})
_WHEEL = re.compile(r"(?:\S*/)?(?P<name>\w[\w.]*)-(?P<version>[^-\s/]+)(?:-\d[^-/]*)?-[^-/]+-[^-/]+-[^-/]+\.whl")


class Overlay(NamedTuple):
    """What was installed.

    Attributes:
        folder: the folder that holds it.
        installed: each as `name==version`.
    """

    folder: Path
    installed: tuple[str, ...]


class Wanted(NamedTuple):
    """What a file of requirements asks for.

    Attributes:
        lines: the requirements, and the options that are not about hashes and indexes.
        wheels: folders with wheels, beside those of the index.
    """

    lines: tuple[str, ...]
    wheels: tuple[Path, ...]


def folder(root: Path) -> Path:
    """Where a project has all such folders."""
    return root / "build" / "serving" / "requirements"


def prepare(
    requirements: Path,
    python: Path,
    cache: Path,
    notify: Callable[[str], None],
    provided: Collection[str] = (),
) -> Overlay | None:
    """Install what a file of requirements asks for, unless that was done before; None if the stack has all of it.

    Args:
        requirements: the file; None of it is changed.
        python: the interpreter of the stack.
        cache: the folder for all such folders.
        notify: gets a line before pip runs, which may take minutes, and one for each package that is there in another version.
        provided: the normal names of packages that count as installed whatever their version: the image has those that the file
            names for the sake of their hashes.

    Raises:
        UserError: pip failed, with its reason as details; or the disk refuses.
    """
    if not requirements.is_file():
        return None
    wanted = read(requirements, provided)
    if not wanted.lines:
        return None
    made = cache / _key(wanted, python)
    with suppress(OSError, ValueError):
        return _overlay(made, json.loads((made / _INSTALLED).read_bytes()))
    notify("installing the package's requirements beside the serving stack")
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
        try:
            installed = _install(wanted, python, fresh, notify)
            (fresh / _INSTALLED).write_text(json.dumps(installed), encoding="utf-8")
            with suppress(OSError):  # another process was quicker
                fresh.rename(made)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return _overlay(made, installed)


def _overlay(made: Path, installed: list[str]) -> Overlay | None:
    return Overlay(made / _PACKAGES, tuple(installed)) if installed else None


def read(requirements: Path, provided: Collection[str] = ()) -> Wanted:
    """What a file of requirements asks for, without what binds it to the image's Python: hashes, indexes and own wheels.

    Args:
        requirements: the file.
        provided: as for `prepare`. torch, of which the stack has a build of its own, is always one of them.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        text = requirements.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("the file is not UTF-8", where=str(requirements), fix="write it as UTF-8") from error
    wheels = list[Path]()
    lines = (line for raw in _joined(text) for line in _line(raw, requirements.parent, wheels))
    return Wanted(tuple(line for line in lines if not _is_there(line, provided)), tuple(wheels))


def _is_there(line: str, provided: Collection[str]) -> bool:
    named = _PINNED.match(line)
    name = _normal(named["name"]) if named else ""
    return name in _OF_TORCH or name.startswith("nvidia-") or name in provided


def _joined(text: str) -> Iterator[str]:
    """The lines of a file, without comments, those that end with a backslash with the next."""
    whole = ""
    for line in text.splitlines():
        rest = _COMMENT.sub("", line).rstrip()
        whole += rest.removesuffix("\\")
        if not rest.endswith("\\"):
            yield whole.strip()
            whole = ""
    yield whole.strip()


def _line(raw: str, beside: Path, wheels: list[Path]) -> Iterator[str]:
    """A line as it counts here, if it does; folders of wheels are added to `wheels`."""
    line = _HASH.sub("", raw).strip()
    if not line or line.startswith(_OF_LOCKS):
        return
    if found := _FIND_LINKS.fullmatch(line):
        if (beside / found["place"]).is_dir():
            wheels.append(beside / found["place"])
        else:
            yield line
    elif found := _OTHER_FILE.fullmatch(line):
        yield f"{found['flag']} {beside / found['place']}"
    elif found := _WHEEL.fullmatch(line):
        yield f"{found['name']}=={found['version']}"
    else:
        yield line


def _key(wanted: Wanted, python: Path) -> str:
    """A name that differs for everything that pip's answer depends on, as far as that is on this machine."""
    stack = sorted(path.name for path in python.parent.parent.glob("lib/python3*/site-packages/*.dist-info"))
    own = sorted(path.name for folder in wanted.wheels for path in folder.iterdir())
    return hashlib.sha256(json.dumps([wanted.lines, own, str(python), stack]).encode()).hexdigest()[:32]


def _install(wanted: Wanted, python: Path, target: Path, notify: Callable[[str], None]) -> list[str]:
    """Install what the stack lacks, or has in another version, into `packages` of a folder."""
    links = [word for place in wanted.wheels for word in ("--find-links", str(place))]
    found = _resolved(wanted, python, target, links, notify)
    if not found:
        return []
    exact = [_exact(item) for item in found]
    # Without their dependencies: those that are missing are in the list themselves.
    _pip(python, "--quiet", "--no-deps", "--target", str(target / _PACKAGES), *links, *exact)
    return sorted(f"{item['metadata']['name']}=={item['metadata']['version']}" for item in found)


def _resolved(
    wanted: Wanted, python: Path, target: Path, links: list[str], notify: Callable[[str], None]
) -> list[dict[str, Any]]:
    """What pip would install, as its report has it."""
    file = target / "requirements.txt"
    ask = ("--dry-run", "--quiet", "--report", "-", *links, "-r", str(file))
    file.write_text("".join(f"{line}\n" for line in wanted.lines), encoding="utf-8")
    try:
        return list(json.loads(_pip(python, *ask))["install"])
    except UserError as error:
        if not any(_OTHER_PYTHON in str(line) for line in error.details):
            raise
    file.write_text("".join(f"{_EXACTLY.sub('<=', line)}\n" for line in wanted.lines), encoding="utf-8")
    found = list(json.loads(_pip(python, *ask))["install"])
    pinned = {_normal(each["name"]): each["version"] for line in wanted.lines if (each := _PINNED.match(line))}
    for item in found:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if pinned.get(_normal(name), version) != version:
            notify(
                f"warning: {name} {version} takes the place of {pinned[_normal(name)]}, which is not made for the Python "
                "of the serving stack"
            )
    return found


def _normal(name: str) -> str:
    """A name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _exact(item: dict[str, dict[str, str]]) -> str:
    """A requirement that only what pip has chosen satisfies."""
    name, version = item["metadata"]["name"], item["metadata"]["version"]
    return f"{name} @ {item['download_info']['url']}" if item.get("is_direct") else f"{name}=={version}"


def _pip(python: Path, *words: str) -> str:
    """What `pip install` prints.

    Raises:
        UserError: it failed.
    """
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *words]
    try:
        ran = subprocess.run(
            command,
            env=environment.for_pip(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(
            f"pip of the serving stack does not run: {error}", fix="run `sagepack serve.install`"
        ) from error
    if ran.returncode:
        raise UserError(
            "failed to install required packages",
            details=_reasons(ran.stderr) or [f"pip ended with status {ran.returncode} and no word"],
            fix="correct the requirements: a container of an endpoint would end at its start for the same reason",
        )
    return ran.stdout


def _reasons(said: str) -> list[str]:
    """The lines of pip that say why it failed."""
    lines = [line.rstrip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    offline = [line for line in lines if line.startswith("WARNING: Retrying")][:1]
    return ([*offline, *errors] if errors else lines)[-_SHOWN:]
