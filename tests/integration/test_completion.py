"""What a shell offers at TAB: tasks, flags and values, as a person at a terminal gets them."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from invoke.completion.complete import print_completion_script

from sagepack.cli import completion
from tests.helpers.paths import ROOT

WAIT = 30


# One word a line at the first TAB; Control-G shows the line.
SETTINGS = r"""
PS1='READY\n'
bind 'set show-all-if-ambiguous on'
bind 'set completion-display-width 0'
bind 'set page-completions off'
bind 'set completion-query-items 0'
bind -x '"\C-g": printf "<<%s>>\n" "$READLINE_LINE"'
"""


def programs(folder: Path) -> Path:
    """A folder with the commands `sagepack` and `invoke`."""
    place = folder / "bin"
    place.mkdir()
    for name in ("sagepack", "invoke"):
        (place / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
        (place / name).chmod(0o755)
    return place


class Shell:
    """An interactive bash in a project, with the completion script for `sagepack` and `invoke` read."""

    def __init__(self, folder: Path, script: str) -> None:
        (folder / "settings").write_text(SETTINGS + script)
        environment = {
            "PATH": f"{programs(folder)}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "TERM": "dumb",
            "PS1": "",
            "INPUTRC": os.devnull,
        }
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(ROOT)
            os.execvpe("bash", ["bash", "--rcfile", str(folder / "settings"), "-i"], environment)  # noqa: S606

        self.until("READY")

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until the terminal shows this."""
        shown, end = "", time.monotonic() + WAIT
        while not (found := re.search(pattern, shown)):
            assert time.monotonic() < end, shown
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += os.read(self.terminal, 1 << 16).decode(errors="replace")
        return found

    def tab(self, line: str) -> tuple[str, list[str]]:
        """What bash makes of a line at TAB, and the words that it lists for the one at the cursor."""
        os.write(self.terminal, f"{line}\t\x07\x15".encode())
        found = self.until(r"<<(.*)>>")
        listed = found.string[: found.start()].replace("\r", "").split("\n")
        # The other lines are the prompt and the line itself, drawn again.
        words = [word for line in listed if (word := line.strip()) and " " not in word and word != "READY"]
        return found[1], words

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.fixture(scope="module", params=["sagepack's script", "invoke's script"])
def bash(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Shell]:
    if request.param == "sagepack's script":
        text = completion.script("bash")
    else:
        written = io.StringIO()
        with redirect_stdout(written):
            print_completion_script("bash", ["invoke", "sagepack"])
        text = written.getvalue()
    shell = Shell(tmp_path_factory.mktemp("shell"), text)
    yield shell
    shell.close()


def test_after_a_key_of_the_spec_its_value_can_be_typed(bash: Shell, request: pytest.FixtureRequest) -> None:
    line, _ = bash.tab("sagepack plan --set image.t")
    blank = " " if "invoke's" in request.node.name else ""  # the script of invoke always adds one
    assert line == f"sagepack plan --set image.tag={blank}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "completed", "listed"),
    [
        ("invoke pla", "invoke plan ", []),
        ("sagepack sandbox.st", "sagepack sandbox.st", ["sandbox.status", "sandbox.stop"]),
        ("invoke plan --en", "invoke plan --env ", []),
        ("invoke plan --env ", "invoke plan --env ", ["dev", "local", "prod"]),
        ("sagepack plan --env=p", "sagepack plan --env=prod ", []),
        ("invoke lock --json --config config/l", "invoke lock --json --config config/llava.yaml ", []),
        ("sagepack plan --to pa", "sagepack plan --to package ", []),
        (
            "sagepack plan --set image.tag=1",
            "sagepack plan --set image.tag=1.13.1-transformers4.26.0-",
            ["1.13.1-transformers4.26.0-cpu-py39-ubuntu20.04", "1.13.1-transformers4.26.0-gpu-py39-cu117-ubuntu20.04"],
        ),
        (
            "invoke plan --set endpoint.instance_type=ml.g4dn.8",
            "invoke plan --set endpoint.instance_type=ml.g4dn.8xlarge ",
            [],
        ),
        ("invoke plan --set artifact.layout=", "invoke plan --set artifact.layout=", ["archive", "prefix"]),
        ("invoke predict --input READ", "invoke predict --input README.md ", []),
    ],
)
def test_bash_completes_tasks_flags_and_values(bash: Shell, line: str, completed: str, listed: list[str]) -> None:
    assert bash.tab(line) == (completed, listed)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_tasks_flags_and_values(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(completion.script("fish"))
    path = f"{programs(tmp_path)}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for line, offered in (
        ("sagepack pla", ["plan"]),
        ("invoke plan --env=p", ["--env=prod"]),
        ("sagepack plan --set artifact.layout=", ["artifact.layout=archive", "artifact.layout=prefix"]),
    ):
        command = ["fish", "-c", f"source {tmp_path}/script; complete -C '{line}'"]
        shown = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=True).stdout
        assert shown.split() == offered


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_its_script(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(completion.script("zsh"))
    subprocess.run(["zsh", "-n", str(tmp_path / "script")], check=True)
