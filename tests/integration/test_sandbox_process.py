"""The sandbox's background process: it is started once, found again and stopped, and no other program is taken for it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socketserver
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx2 as httpx
import pytest

from sagepack import sandbox
from sagepack.errors import UserError
from sagepack.sandbox import process
from sagepack.serving import model_server
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "users-own",
    "HF_TOKEN": "users-own",
    "OPENAI_API_KEY": "users-own",
    "GITHUB_TOKEN": "users-own",
    "SSH_AUTH_SOCK": "users-own",
    "DOCKER_HOST": "users-own",
    "MOTO_S3_DEFAULT_MAX_KEYS": "users-own",
    "HTTPS_PROXY": "http://me:users-own@127.0.0.1:9",
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    sandbox.stop(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose sandbox another program started, with pipes for its output."""
    root = tmp_path_factory.mktemp("project")
    program = f"import pathlib; from sagepack import sandbox; sandbox.ensure(pathlib.Path({str(root)!r}))"
    # If the process kept one of the pipes open, `run` would not return.
    command, environment = [sys.executable, "-c", program], {**os.environ, **SECRETS}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=60)
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


@pytest.mark.slow
def test_two_commands_at_once_start_one_process_that_a_third_finds(project: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(sandbox.ensure, [project, project])
    assert first == second == sandbox.ensure(project) == sandbox.status(project)
    assert sandbox.stop(project)
    assert gone(first.pid)
    assert not (process.folder(project) / "state.json").exists()
    assert sandbox.status(project) is None
    assert not sandbox.stop(project)


def test_both_servers_accept_requests(shared: Path) -> None:
    found = sandbox.ensure(shared)
    with httpx.Client() as http:
        token = {"Authorization": f"Bearer {found.hf_token}"}
        assert http.get(f"{found.hub_url}/api/whoami-v2", headers=token).is_success
    keys = {"aws_access_key_id": found.access_key, "aws_secret_access_key": found.secret_key}
    sts = boto3.client("sts", region_name="us-east-1", endpoint_url=found.aws_url, **keys)
    assert sts.get_caller_identity()["Account"] == found.account


def test_the_process_has_its_own_session_and_only_its_owner_can_read_its_files(shared: Path) -> None:
    found, folder = sandbox.ensure(shared), process.folder(shared)
    assert os.getsid(found.pid) != os.getsid(0)
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "state.json", found.log)}
    assert rights == {"sandbox": 0o700, "state.json": 0o600, "log": 0o600}


def test_a_sandbox_says_whether_its_endpoints_can_answer(shared: Path) -> None:
    box, without = sandbox.ensure(shared), model_server.unavailable()  # as on this machine
    assert sandbox.unanswerable(box) == without
    headers = {"X-Sandbox-Token": box.control_token}
    for times, answers in ((1, True), (0, False)):
        httpx.post(f"{box.aws_url}/_sandbox/reset", headers=headers)
        httpx.post(f"{box.aws_url}/_sandbox/results", json={"body": "{}", "times": times}, headers=headers)
        assert (sandbox.unanswerable(box) is None) == (answers or without is None)


def test_a_sandbox_that_does_not_say_whether_it_can_answer_is_a_user_error(shared: Path) -> None:
    other = dataclasses.replace(sandbox.ensure(shared), control_token="0" * 32)
    with pytest.raises(UserError, match="does not say whether it can answer"):
        sandbox.unanswerable(other)


def test_the_repr_of_a_sandbox_shows_no_secret(shared: Path) -> None:
    found = sandbox.ensure(shared)
    for secret in (found.control_token, found.hf_token, found.secret_key):
        assert secret not in repr(found)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="shows no environment of other processes")
def test_the_users_secrets_do_not_reach_the_process(shared: Path) -> None:
    seen = Path(f"/proc/{sandbox.ensure(shared).pid}/environ").read_bytes()
    assert b"PATH=" in seen
    assert b"users-own" not in seen


def test_a_state_file_is_believed_only_if_the_server_proves_that_it_knows_its_secret(
    shared: Path, tmp_path: Path
) -> None:
    sandbox.ensure(shared)
    state = tmp_path / "build" / "sandbox" / "state.json"
    state.parent.mkdir(parents=True)
    claims = json.loads((process.folder(shared) / "state.json").read_text())
    state.write_text(json.dumps(claims))
    assert sandbox.status(tmp_path)
    for wrong in ({"control": "0" * 32}, {"pid": os.getpid()}, {"hub_url": "http://127.0.0.1:1"}):
        state.write_text(json.dumps({**claims, **wrong}))
        assert sandbox.status(tmp_path) is None, wrong
    state.write_text(json.dumps(claims))
    assert sandbox.status(tmp_path)


WRONG = [
    *({"pid": value} for value in (0, -1, 1, True, None, "7", 1.5, 1 << 40)),
    *(
        {"hub_url": f"http://{value}"}
        for value in ("127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1", "[::1")
    ),
    *({"aws_url": value} for value in ("http://evil.example:80", "https://127.0.0.1:80", "http://127.0.0.1:80/\n", 80)),
    *({"secret_key": value} for value in (None, "", "\x1b[31m", ["x"])),
    *({"fingerprint": value} for value in (None, "of other code", 7)),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_state_file_with_an_invalid_field_is_ignored(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    sandbox.ensure(shared)
    folder = process.folder(tmp_path)
    folder.mkdir(parents=True)
    claims = json.loads((process.folder(shared) / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**claims, **wrong}))
    monkeypatch.setattr(process, "_is_alive", lambda _: pytest.fail("the state file was believed"))
    assert sandbox.status(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{", b"null", b"\xff", b"[" * 60_000, b'{"pid": 5' + b" " * 100_000 + b"}"],
    ids=lambda t: t[:8],
)
def test_a_state_file_that_is_not_a_json_object_is_ignored(tmp_path: Path, text: bytes) -> None:
    folder = process.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "state.json").write_bytes(text)
    assert sandbox.status(tmp_path) is None
    assert not sandbox.stop(tmp_path)


@contextmanager
def impostor(root: Path, say: Callable[[Any], None], pid: int) -> Iterator[None]:
    """Another program that listens on the port of an ended sandbox, whose process id `pid` belongs to another program, too."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            with suppress(OSError):
                say(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        folder = process.folder(root)
        folder.mkdir(parents=True)
        url = f"http://127.0.0.1:{server.server_address[1]}"
        state = {"pid": pid, "hub_url": url, "aws_url": url, "control": "0" * 32, "hf_token": f"hf_{'0' * 34}"}
        state |= {"access_key": "A" * 20, "secret_key": "s" * 40, "fingerprint": process.fingerprint()}
        (folder / "state.json").write_text(json.dumps(state))
        yield
        server.shutdown()


def sends(document: object) -> Callable[[Any], None]:
    body = json.dumps(document).encode()
    return lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_another_program_on_the_port_is_not_taken_for_a_sandbox_and_no_process_is_signalled(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        documents: list[object] = [{"pid": victim.pid}, {"pid": victim.pid, "proof": "0" * 64}, [], None]
        for number, document in enumerate(documents):
            root = tmp_path / str(number)
            with impostor(root, sends(document), victim.pid):
                assert sandbox.status(root) is None
                assert not sandbox.stop(root)
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(0.3)
        victim.kill()


def endless(connection: Any) -> None:
    for _ in range(10_000):
        connection.sendall(b"x" * 100_000)


def drips(connection: Any) -> None:
    for _ in range(10_000):
        connection.sendall(b"x")
        time.sleep(0.01)


@pytest.mark.parametrize("say", [endless, drips])
def test_a_response_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[Any], None]
) -> None:
    monkeypatch.setattr(process, "_RESPONSE_SECONDS", 0.3)
    with impostor(tmp_path, say, os.getpid()):
        assert sandbox.status(tmp_path) is None


def test_the_log_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    folder, precious = process.folder(tmp_path), tmp_path / "precious"
    folder.mkdir(parents=True)
    precious.write_text("kept")
    (folder / "log").symlink_to(precious)
    with pytest.raises(UserError, match="cannot write its files"):
        sandbox.ensure(tmp_path)
    assert precious.read_text() == "kept"


@pytest.mark.slow
def test_a_process_with_other_code_is_replaced_and_a_killed_one_is_not_found(project: Path) -> None:
    first = sandbox.ensure(project)
    state = process.folder(project) / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "fingerprint": "0" * 64}))
    second = sandbox.ensure(project)
    assert second.pid != first.pid
    assert gone(first.pid)
    for name in ("access_key", "secret_key", "hf_token", "control_token"):
        assert getattr(second, name) != getattr(first, name)
    os.kill(second.pid, signal.SIGKILL)
    assert gone(second.pid)
    assert sandbox.status(project) is None


@pytest.mark.slow
def test_the_process_ends_when_it_is_idle(project: Path) -> None:
    idle = sandbox.ensure(project, idle=0.2)
    assert gone(idle.pid)
    assert "idle" in idle.log.read_text()


@pytest.mark.slow
def test_the_process_ends_when_its_project_is_removed(project: Path) -> None:
    orphan = sandbox.ensure(project)
    shutil.rmtree(project / "build")
    assert gone(orphan.pid)


def test_the_error_of_a_failed_start_has_the_end_of_the_log(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = project / "broken" / "moto"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('moto is broken here')")
    environment = {**process._environment(project), "PYTHONPATH": f"{broken.parent}{os.pathsep}{ROOT}"}
    monkeypatch.setattr(process, "_environment", lambda _root: environment)
    with pytest.raises(UserError, match="moto is broken here"):
        sandbox.ensure(project)


def test_packages_that_are_not_installed_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find_spec", lambda name: None if name == "moto" else object())
    with pytest.raises(UserError, match="not installed: moto"):
        sandbox.ensure(project)


@pytest.mark.slow
def test_a_process_whose_state_file_is_incomplete_is_replaced(project: Path) -> None:
    first = sandbox.ensure(project)
    (process.folder(project) / "state.json").write_text(json.dumps({"pid": first.pid, "control": first.control_token}))
    assert sandbox.status(project) is None
    assert sandbox.ensure(project).pid != first.pid
    assert gone(first.pid)
