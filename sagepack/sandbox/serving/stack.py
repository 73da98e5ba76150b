"""Where the image's serving stack is on this machine, and how it gets there.

The stack needs its own Python environment, because the toolkit requires an older huggingface_hub than this program. Its
place is `.venv-serve` of the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_FOLDER = ".venv-serve"
_OLDEST = 3, 11  # some of the requirements have no wheel for an older Python


def interpreter(root: Path) -> Path:
    """The interpreter for a project's endpoints; the file may not exist.

    Args:
        root: the project. Without a `.venv-serve` of its own it takes the one beside the environment of this program.
    """
    if named := os.environ.get(PYTHON):
        return Path(named)
    own, beside = (folder / "bin" / "python" for folder in (root / _FOLDER, Path(sys.prefix).with_name(_FOLDER)))
    return beside if beside.is_file() and not own.is_file() else own


def install(root: Path, notify: Callable[[str], None]) -> Path:
    """Make `.venv-serve` in the project; what pip says goes to stderr.

    Args:
        root: the project.
        notify: gets a line that says what is installed, when nothing is missing for it.

    Returns:
        The interpreter.

    Raises:
        UserError: this Python is too old for the stack, there is no Java, or the disk refuses.
        RemoteError: pip failed.
    """
    if sys.version_info[:2] < _OLDEST:
        fix = "install sagepack under Python 3.11 or later"
        raise UserError(f"the serving stack needs Python 3.11 or later, and this is {sys.version.split()[0]}", fix=fix)
    if not _has_java():
        fix = "install a Java runtime, such as the package openjdk-17-jre-headless, and run the same command again"
        raise UserError("the serving stack needs Java on the PATH", fix=fix)
    notify(f"installing the image's serving stack with torch into {_FOLDER}: 1.4 GB, two minutes or more")
    python = root / _FOLDER / "bin" / "python"
    with files.disk_errors(root / _FOLDER):
        _run([sys.executable, "-m", "venv", str(root / _FOLDER)])
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    quiet = [] if sys.stderr is not None and sys.stderr.isatty() else ["--quiet"]
    _run([*pip, *quiet, "-r", str(_REQUIREMENTS)])
    _run([*pip, *quiet, "--no-deps", *TOOLKIT])
    return python


def _has_java() -> bool:
    """Whether Java runs; on macOS there is a program of that name without it."""
    java = shutil.which("java")
    return java is not None and subprocess.run([java, "-version"], capture_output=True, check=False).returncode == 0


def _run(command: list[str]) -> None:
    """Run a command with its output on stderr.

    Raises:
        RemoteError: it failed.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, check=False)
    if done.returncode:
        message = f"{' '.join(command[1:4])} ended with status {done.returncode}"
        raise RemoteError(message, where=_FOLDER, fix="read what it printed above, and run the same command again")
