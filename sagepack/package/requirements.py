"""Resolves extra Python requirements with pip: the distribution file of each, for the Python of the image."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

from sagepack.errors import RemoteError, UserError
from sagepack.package.lock import LockedRequirement

_PYTHON = re.compile(r"-py(\d)(\d+)")
# The images are x86-64 Ubuntu 20.04 or 22.04 (reference: sagemaker-hosting.md, Images): glibc 2.31 at least.
_PLATFORMS = ("manylinux_2_31_x86_64", "manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "any")


def lock(requirements: tuple[str, ...], tag: str) -> tuple[LockedRequirement, ...]:
    """The SHA-256 of the distribution file that pip would choose for each requirement under the image's Python.

    Dependencies are not followed: the image brings most of them, and which ones only the image knows.

    Raises:
        UserError: the index has no such version for the image's Python.
        RemoteError: pip could not reach the index.
    """
    if not requirements:
        return ()
    report = _report(requirements, tag)
    found = {
        _normal(item["metadata"]["name"]): item["download_info"]["archive_info"]["hashes"]["sha256"]
        for item in report["install"]
    }
    return tuple(LockedRequirement(line, (f"sha256:{found[_normal(_name(line))]}",)) for line in requirements)


def _report(requirements: tuple[str, ...], tag: str) -> Any:
    python = _PYTHON.search(tag)
    version = f"{python[1]}.{python[2]}" if python else f"{sys.version_info[0]}.{sys.version_info[1]}"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--python-version", version, "--report", "-"]
    command += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    # pip demands a target with a foreign platform; a dry run writes nothing there.
    run = subprocess.run([*command, "--target", "unused", *requirements], capture_output=True, text=True, check=False)
    if run.returncode == 0:
        return json.loads(run.stdout)
    text = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "pip printed no message"
    if "No matching distribution" in run.stderr:
        raise UserError(text, where="code.requirements", fix=f"choose a version that has a wheel for Python {version}")
    raise RemoteError(f"pip could not resolve the requirements: {text}", where="code.requirements")


def _name(requirement: str) -> str:
    return re.split(r"[\[=<>!~; ]", requirement, maxsplit=1)[0]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
