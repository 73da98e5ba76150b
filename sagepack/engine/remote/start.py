"""Begins the job in its container: `python3 start.py ADDRESS`, the address being that of this input in S3. Only Python's own library is there yet.

It unpacks what lies beside it, installs what the program needs if the image does not have it, and becomes the program that travels
along, whichever that is. pip gets the versions and hashes of the list that travels along, and accepts no other file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent  # /opt/ml/processing/input/sagepack
BASE = HERE.parents[2]  # /opt/ml
OLDEST = (3, 10)
IN_JOB = "--in-job"
"""The first word of the program's command line, by which it knows what to do; the project, the file for an error and ADDRESS follow."""


def main() -> None:
    """Become the program; end with 1 if this Python is too old or a package cannot be installed."""
    if sys.version_info[:2] < OLDEST:
        sys.exit(f"this image has Python {sys.version.split()[0]}: set remote.image to one with Python 3.10 or newer")
    work = BASE / "processing" / "sagepack"
    with tarfile.open(HERE / "input.tar.gz") as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(work, filter="data")
        else:  # Python before 3.10.12; the members are regular files with relative names
            archive.extractall(work)  # noqa: S202
    packages, program = work / "packages", work / "program"
    install(work / "requirements.txt", packages)
    message = BASE / "output" / "message"
    message.parent.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (packages, program))),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_CACHE": str(work / "cache"),
    }
    sys.stdout.flush()
    (package,) = program.iterdir()
    command = [sys.executable, "-m", package.name, IN_JOB, str(work / "project"), str(message), *sys.argv[1:]]
    os.execve(sys.executable, command, environment)  # noqa: S606 - it becomes the program, which gets the signals


def install(requirements: Path, packages: Path) -> None:
    """Install what this program needs into a folder of its own, unless this Python has exactly that."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    listed = ["--require-hashes", "--requirement", str(requirements)]
    here = subprocess.run([*pip, "--dry-run", "--no-index", *listed], capture_output=True, check=False)
    if here.returncode == 0:
        return
    print("installing what sagepack needs, which the image does not have", flush=True)  # noqa: T201 - the job's log
    target = ["--target", str(packages), "--only-binary", ":all:", "--root-user-action", "ignore"]
    if subprocess.run([*pip, *target, *listed], check=False).returncode:
        sys.exit("pip could not install what sagepack needs: the job needs a way to PyPI, or an image that has it")


if __name__ == "__main__":
    main()
