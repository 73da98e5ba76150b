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

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "sagepack")
WAIT = 120

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    for name in ("config", "inference_code", "schemas"):
        shutil.copytree(REPOSITORY / name, root / name)
    shutil.copyfile(REPOSITORY / "tasks.py", root / "tasks.py")
    assert end(start(root, "package")) == (0, True)
    yield root
    end(start(root, "sandbox.stop"))


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
    pipe = subprocess.PIPE
    environment = {**kept, "PYTHONPATH": str(REPOSITORY), "HOME": str(root / "home")}
    return subprocess.Popen([*COMMAND, *words], cwd=root, env=environment, text=True, stdout=pipe, stderr=pipe)


def end(command: subprocess.Popen[str], line: str = "") -> tuple[int, bool]:
    """The exit code, and whether `line` is the last that was said, without a traceback."""
    try:
        _, err = command.communicate(timeout=WAIT)
    finally:
        command.kill()
    return command.returncode, "Traceback" not in err and (not line or err.endswith(f"{line}\n"))


def begin_python() -> float:
    """Seconds until Python reaches the first line of a program, generously."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import signal"], check=True, timeout=WAIT)
    return 2 * (time.monotonic() - begun)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("cold", [False, True], ids=["nothing to do", "cold"])
def test_at_any_instant_a_signal_is_one_line_and_its_code(
    project: Path, number: int, code: int, word: str, cold: bool
) -> None:
    ended = []
    for instant in range(40):
        if cold:
            for name in ("build/svd-local", "dist", "build/sandbox/huggingface"):
                shutil.rmtree(project / name, ignore_errors=True)
        delay = begin_python() + instant / 40
        command = start(project, "package")
        time.sleep(delay)
        command.send_signal(number)
        ended.append(end(command, f"{word}; the same command continues" if command.poll() != 0 else ""))
    assert set(ended) <= {(code, True), (0, True), (0, False)}
    assert (code, True) in ended
    assert end(start(project, "package")) == (0, True)
    assert end(start(project, "verify")) == (0, True)


def test_clean_all_beside_packages_lets_all_of_them_finish(project: Path) -> None:
    for _ in range(4):
        commands = [start(project, *words) for words in (("package",), ("clean", "--all"), ("package",), ("clean",))]
        assert [end(command) for command in commands] == [(0, True)] * 4
    assert end(start(project, "package")) == (0, True)
    assert end(start(project, "verify")) == (0, True)
