"""Virtual environments of programs that nobody here wrote, which tests and benchmarks run beside this one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from filelock import FileLock

from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

JUDGES = ROOT / "build" / "judges"
AWSCLI = ["awscli>=1.42,<2"]


def environment(name: str, requirements: list[str]) -> Path:
    """The `bin` folder of a virtual environment with these requirements, made in `build/judges/` if it is not there."""
    folder = JUDGES / name
    JUDGES.mkdir(parents=True, exist_ok=True)
    with FileLock(JUDGES / f"{name}.lock"):
        stamp = folder / "requirements.txt"
        wanted = "\n".join(requirements)
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=1800)
            pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, *requirements], check=True, timeout=1800)
            stamp.write_text(wanted)
    return folder / "bin"


def node_modules(name: str, package: Path) -> Path:
    """The `node_modules` folder of a package.json, installed in `build/judges/` if it is not there."""
    folder = JUDGES / name
    JUDGES.mkdir(parents=True, exist_ok=True)
    with FileLock(JUDGES / f"{name}.lock"):
        stamp = folder / "installed.json"
        if not stamp.exists() or stamp.read_text() != package.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            shutil.copy(package, folder / "package.json")
            command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--legacy-peer-deps"]
            subprocess.run(command, cwd=folder, check=True, timeout=1800, capture_output=True)
            shutil.copy(package, stamp)
    return folder / "node_modules"
