"""Where the image's serving stack is on this machine, and how it gets there.

The stack needs its own Python environment, because the toolkit requires an older huggingface_hub than this program. Its
place is `.venv-serve` of the project.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = "SAGEPACK_SERVE_PYTHON"
"""The environment variable with the path of the interpreter, if it is another than that in `.venv-serve`."""
# They come without their dependencies, which name audio packages that nothing here uses.
TOOLKIT = (
    "sagemaker-huggingface-inference-toolkit==2.6.0",
    "sagemaker-inference==1.10.1",
    "multi-model-server==1.1.11",
)
JAVA_FIX = "install a Java runtime, such as the package openjdk-17-jre-headless; JAVA_HOME, where it is set, has to name its folder"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_FOLDER = ".venv-serve"
_OLDEST = 3, 11  # some of the requirements have no wheel for an older Python
_OLDEST_JAVA = 11
_JAVA_VERSION = re.compile(r'version "(?P<version>(?P<major>\d+)[^"]*)"')
_JAVA_SECONDS = 60.0


def interpreter(root: Path) -> Path:
    """The interpreter for a project's endpoints; the file may not exist.

    Args:
        root: the project. Without a `.venv-serve` of its own it takes the one beside the environment of this program.
    """
    if named := os.environ.get(PYTHON):
        return Path(named)
    own, beside = (folder / "bin" / "python" for folder in (root / _FOLDER, Path(sys.prefix).with_name(_FOLDER)))
    return beside if beside.is_file() and not own.is_file() else own


def is_named(python: Path) -> bool:
    """Whether the user has named the interpreter: the sandbox's process finds the one of its project in the same variable."""
    return bool(os.environ.get(PYTHON)) and python.parent.parent.name != _FOLDER


def install(root: Path, notify: Callable[[str], None]) -> Path:
    """Make `.venv-serve` in the project; what pip says goes to stderr.

    Args:
        root: the project.
        notify: gets a line that says what is installed, when nothing is missing for it.

    Returns:
        The interpreter.

    Raises:
        UserError: this Python or the Java of this machine is too old for the stack, there is no Java, or the disk refuses.
        RemoteError: pip failed.
    """
    if sys.version_info[:2] < _OLDEST:
        fix = "install sagepack under Python 3.11 or later"
        raise UserError(f"the serving stack needs Python 3.11 or later, and this is {sys.version.split()[0]}", fix=fix)
    if problem := java_problem():
        raise UserError(problem, fix=JAVA_FIX)
    notify(f"installing the image's serving stack with torch into {_FOLDER}: 1.4 GB, two minutes or more")
    python = root / _FOLDER / "bin" / "python"
    with files.disk_errors(root / _FOLDER):
        _run([sys.executable, "-m", "venv", str(root / _FOLDER)])
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    quiet = [] if sys.stderr is not None and sys.stderr.isatty() else ["--quiet"]
    _run([*pip, *quiet, "-r", str(_REQUIREMENTS)])
    _run([*pip, *quiet, "--no-deps", *TOOLKIT])
    return python


def java_problem() -> str | None:
    """Why the image's server cannot run on the Java of this machine; None if it can."""
    home = os.environ.get("JAVA_HOME")  # multi-model-server asks it first, and has no other then
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        where = f", and JAVA_HOME names a folder without bin/java: {home}" if home else " on the PATH"
        return f"the serving stack needs Java {_OLDEST_JAVA} or later{where}"
    return _judge_java(java, Path(java).stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _judge_java(java: str, _changed: int) -> str | None:
    """As `java_problem`, of a program as it is since a time: to ask it takes a tenth of a second."""
    try:
        asked = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=_JAVA_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the serving stack needs Java, and {java} does not run: {error}"
    if asked.returncode:  # on macOS there is a program of that name without Java
        said = (asked.stderr or asked.stdout).strip().partition("\n")[0] or f"it ends with status {asked.returncode}"
        return f"the serving stack needs Java, and {java} does not run: {said}"
    found = _JAVA_VERSION.search(asked.stderr + asked.stdout)
    if found and int(found["major"]) < _OLDEST_JAVA:  # Java 8 calls itself 1.8
        return f"the serving stack needs Java {_OLDEST_JAVA} or later, and {java} is {found['version']}"
    return None


def _run(command: list[str]) -> None:
    """Run a command with its output on stderr.

    Raises:
        RemoteError: it failed.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode:
        message = f"{' '.join(command[1:4])} ended with status {done.returncode}"
        raise RemoteError(message, where=_FOLDER, fix="read what it printed above, and run the same command again")
