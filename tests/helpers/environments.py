"""Virtual environments of programs that nobody here wrote, which tests and benchmarks run beside this one."""

from __future__ import annotations

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
