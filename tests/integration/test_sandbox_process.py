"""The sandbox's background process: started once, found again, ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2 as httpx
import pytest

from sagepack import sandbox
from sagepack.errors import UserError
from sagepack.sandbox import process

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    sandbox.stop(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose sandbox another program started, with pipes for its output."""
    root = tmp_path_factory.mktemp("project")
    program = f"import pathlib; from sagepack import sandbox; sandbox.ensure(pathlib.Path({str(root)!r}))"
    # A pipe that somebody still held would never end, and `run` never return.
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert ran.stderr == b""
    yield root
    sandbox.stop(root)


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_two_commands_at_once_start_one_process_that_a_third_finds(project: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(sandbox.ensure, [project, project])
    assert first == second == sandbox.ensure(project) == sandbox.status(project)
    assert sandbox.stop(project)
    assert gone(first.pid)
    assert not (process.folder(project) / "state.json").exists()
    assert sandbox.status(project) is None
    assert not sandbox.stop(project)


def test_both_servers_answer(shared: Path) -> None:
    found = sandbox.ensure(shared)
    with httpx.Client() as http:
        token = {"Authorization": f"Bearer {found.hf_token}"}
        assert http.get(f"{found.hub_url}/api/whoami-v2", headers=token).is_success
        assert http.get(found.aws_url).is_success


def test_it_is_nobodys_child_and_its_secrets_are_its_owners(shared: Path) -> None:
    found = sandbox.ensure(shared)
    assert os.getsid(found.pid) != os.getsid(0)
    assert stat.S_IMODE((process.folder(shared) / "state.json").stat().st_mode) == 0o600
    assert found.control not in repr(found)
    assert found.control not in str(process.document(found))


def test_a_state_file_is_believed_only_if_the_server_knows_its_token(shared: Path, tmp_path: Path) -> None:
    real, folder = sandbox.ensure(shared), process.folder(tmp_path)
    folder.mkdir(parents=True)
    claims = {"hub_url": real.hub_url, "aws_url": real.aws_url, "pid": real.pid, "control": real.control}
    (folder / "state.json").write_text(json.dumps(claims))
    assert sandbox.status(tmp_path)
    for wrong in ({"control": "guess"}, {"pid": os.getpid()}, {"hub_url": "http://127.0.0.1:1"}, {"pid": "x"}):
        (folder / "state.json").write_text(json.dumps({**claims, **wrong}))
        assert sandbox.status(tmp_path) is None, wrong
    for text in ("", "[]", "{", "null"):
        (folder / "state.json").write_text(text)
        assert sandbox.status(tmp_path) is None, text


def test_a_process_of_other_code_is_replaced_and_a_killed_one_noticed(project: Path) -> None:
    first = sandbox.ensure(project)
    state = process.folder(project) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "fingerprint": "of older code"}))
    second = sandbox.ensure(project)
    assert second.pid != first.pid
    assert gone(first.pid)
    os.kill(second.pid, signal.SIGKILL)
    assert gone(second.pid)
    assert sandbox.status(project) is None


def test_it_ends_when_it_is_idle(project: Path) -> None:
    idle = sandbox.ensure(project, idle=0.2)
    assert gone(idle.pid)
    assert "idle" in idle.log.read_text()


def test_it_ends_when_its_project_is_gone(project: Path) -> None:
    orphan = sandbox.ensure(project)
    shutil.rmtree(project / "build")
    assert gone(orphan.pid)


def test_a_death_at_the_start_is_told_with_the_log(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = project / "broken" / "moto"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('moto is broken here')")
    environment = {**process._environment(), "PYTHONPATH": f"{broken.parent}{os.pathsep}{ROOT}"}
    monkeypatch.setattr(process, "_environment", lambda: environment)
    with pytest.raises(UserError, match="moto is broken here"):
        sandbox.ensure(project)


def test_missing_packages_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find_spec", lambda name: None if name == "moto" else object())
    with pytest.raises(UserError, match="not installed: moto"):
        sandbox.ensure(project)


def test_neither_credentials_nor_settings_reach_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MOTO_S3_DEFAULT_MAX_KEYS"):
        monkeypatch.setenv(name, "x")
    assert not {"AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "MOTO_S3_DEFAULT_MAX_KEYS"} & set(process._environment())
