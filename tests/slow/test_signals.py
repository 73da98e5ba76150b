"""Signals at many instants of whole commands, and commands beside `clean --all`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

COMMAND = (sys.executable, "-X", "importtime", "-m", "sagepack")
WAIT = 120

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    for name in ("config", "inference_code", "schemas"):
        shutil.copytree(ROOT / name, root / name)
    shutil.copyfile(ROOT / "tasks.py", root / "tasks.py")
    assert succeeded(start(root, "package"))
    yield root
    end(start(root, "sandbox.stop"))


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
    pipe = subprocess.PIPE
    environment = {**kept, "PYTHONPATH": str(ROOT), "HOME": str(root / "home")}
    return subprocess.Popen([*COMMAND, *words], cwd=root, env=environment, text=True, stdout=pipe, stderr=pipe)


def end(command: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said, without Python's own report of imports."""
    try:
        _, err = command.communicate(timeout=WAIT)
    finally:
        command.kill()
    return command.returncode, "".join(line for line in err.splitlines(True) if not line.startswith("import time:"))


def succeeded(command: subprocess.Popen[str]) -> bool:
    code, said = end(command)
    assert code == 0, said
    return True


def wait_for_the_first_line_of_the_program(command: subprocess.Popen[str]) -> None:
    """Python reports each import; the one after `interrupts` begins when signals are taken care of."""
    assert command.stderr is not None
    for line in command.stderr:
        if line.endswith(" sagepack.cli.interrupts\n"):
            break
    next(command.stderr)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("cold", [False, True], ids=["nothing to do", "cold"])
def test_at_any_instant_a_signal_is_one_line_and_its_code(
    project: Path, number: int, code: int, word: str, cold: bool
) -> None:
    codes = set()
    for instant in range(40):
        if cold:
            for name in ("build/svd-local", "dist", "build/sandbox/huggingface"):
                shutil.rmtree(project / name, ignore_errors=True)
        command = start(project, "package")
        wait_for_the_first_line_of_the_program(command)
        time.sleep(instant / 40)
        command.send_signal(number)
        returned, said = end(command)
        codes.add(returned)
        assert "Traceback" not in said
        assert returned in {0, code}, said
        assert returned == 0 or said.endswith(f"{word}; the same command continues\n")
    assert code in codes
    assert succeeded(start(project, "package"))
    assert succeeded(start(project, "verify"))


def test_clean_all_beside_packages_lets_all_of_them_finish(project: Path) -> None:
    for _ in range(4):
        commands = [start(project, *words) for words in (("package",), ("clean", "--all"), ("package",), ("clean",))]
        assert all([succeeded(command) for command in commands])  # noqa: C419 - each is waited for
    assert succeeded(start(project, "package"))
    assert succeeded(start(project, "verify"))
