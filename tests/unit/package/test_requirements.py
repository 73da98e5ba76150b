"""Requirements are locked through pip, for the image's Python and not for this one."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from sagepack.errors import RemoteError, UserError
from sagepack.package import requirements
from sagepack.package.lock import LockedRequirement

TAG = "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"


class Pip:
    """Stands for pip: keeps the command and answers as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stdout: str = "", stderr: str = "", code: int = 0) -> None:
        self.command: list[str] = []

        def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
            self.command = command
            return subprocess.CompletedProcess(command, code, stdout, stderr)

        monkeypatch.setattr(subprocess, "run", run)


def test_without_requirements_pip_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pip = Pip(monkeypatch, code=1)
    assert requirements.lock((), TAG) == ()
    assert pip.command == []


def test_each_requirement_gets_the_hash_of_its_file_whatever_the_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    item = {
        "metadata": {"name": "Some_Package", "version": "1.0"},
        "download_info": {"archive_info": {"hashes": {"sha256": "ab"}}},
    }
    pip = Pip(monkeypatch, json.dumps({"install": [item]}))
    assert requirements.lock(("some.package[extra]==1.0",), TAG) == (
        LockedRequirement("some.package[extra]==1.0", ("sha256:ab",)),
    )
    assert pip.command[pip.command.index("--python-version") + 1] == "3.12"


@pytest.mark.parametrize(
    ("stderr", "error"),
    [
        ("ERROR: No matching distribution found for x==9", UserError),
        ("ERROR: connection refused", RemoteError),
        ("", RemoteError),
    ],
)
def test_what_pip_says_is_reported(monkeypatch: pytest.MonkeyPatch, stderr: str, error: type[Exception]) -> None:
    Pip(monkeypatch, stderr=stderr, code=1)
    with pytest.raises(error, match=r"x==9|connection refused|printed no message"):
        requirements.lock(("x==9",), TAG)
