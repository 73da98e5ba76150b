"""Containers of the sandbox over a stand-in for the serving stack: a script that listens where the stack would."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack.sandbox.serving import containers, model_server, runner
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STACK = """import http.server, json, os, sys, threading, time
if "HANG" in os.environ: time.sleep(60)
if "EXIT" in os.environ:
    print("what went wrong", file=sys.stderr)
    sys.exit(3)
def watch():
    while os.read(0, 1): pass
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
model = os.path.join(os.environ["SAGEMAKER_BASE_DIR"], "model")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"slow": time.sleep(30)
        if body == b"die": os._exit(1)
        seen = {"pid": os.getpid(), "body": body.decode(), "type": self.headers["Content-Type"],
                "files": os.listdir(model), "environment": dict(os.environ),
                "home": os.path.expanduser("~"), "below": os.listdir(os.path.expanduser("~"))}
        self.answer(json.dumps(seen).encode())
    def answer(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
KIND = "application/json"


@pytest.fixture(autouse=True)
def _stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack, script = tmp_path / "stack.py", tmp_path / "python"
    stack.write_text(STACK, encoding="utf-8")
    # A path with a space cannot stand behind `#!`.
    script.write_text(f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(stack))}\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv(model_server.PYTHON, str(script))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def running() -> Iterator[containers.Containers]:
    value = containers.Containers()
    yield value
    value.stop()


class Asker:
    """Asks containers for answers and counts how often a package was extracted."""

    def __init__(self, held: containers.Containers) -> None:
        self.held = held
        self.unpacked = 0

    def unpack(self, folder: Path) -> None:
        self.unpacked += 1
        (folder / "weights").write_bytes(b"w")

    def __call__(
        self, name: str, body: bytes = b"{}", environment: dict[str, str] | None = None, limit: float = 20
    ) -> dict[str, object]:
        request = (body, KIND, KIND, limit)
        status, answer = self.held.answer({"name": name}, self.unpack, environment or {}, request)
        assert status == 200
        found: dict[str, object] = json.loads(answer)
        return found


@pytest.fixture
def ask(running: containers.Containers) -> Asker:
    return Asker(running)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def test_a_package_is_extracted_and_started_once_for_many_requests(ask: Asker) -> None:
    first, second = ask("a", b"1"), ask("a", b"2")
    assert first["pid"] == second["pid"]
    assert (first["files"], first["type"], second["body"]) == (["weights"], KIND, "2")
    assert ask.unpacked == 1


def test_no_more_run_than_there_is_room_for_and_the_longest_unused_ends(ask: Asker) -> None:
    pids = {name: ask(name)["pid"] for name in ("a", "b")}
    assert ask("a")["pid"] == pids["a"]
    ask("c")
    assert ask("a")["pid"] == pids["a"]
    assert ask("b")["pid"] != pids["b"]


def test_a_container_that_died_is_started_again(ask: Asker) -> None:
    first = ask("a")["pid"]
    with pytest.raises(OSError, match=r"no whole answer|reset"):
        ask("a", b"die")
    (container,) = ask.held._held.values()
    wait_for(lambda: container.server is None or not container.server.alive())
    assert ask("a")["pid"] != first


def test_a_container_that_does_not_come_up_shows_its_log(ask: Asker) -> None:
    with pytest.raises(containers.StartError, match=r"status 3\nwhat went wrong"):
        ask("a", environment={"EXIT": "1"})


def test_no_answer_in_time_is_an_error_of_its_own(ask: Asker) -> None:
    ask("a")
    with pytest.raises(TimeoutError):
        ask("a", b"slow", limit=0.1)


SECRETS = dict.fromkeys(
    (
        *(
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "HF_TOKEN",
        ),
        *("HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "GITHUB_TOKEN", "SSH_AUTH_SOCK", "DOCKER_HOST", "KUBECONFIG"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "PIP_INDEX_URL", "NETRC", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "HF_HOME"),
        *(
            "TORCH_HOME",
            "PYTHONPATH",
            "SAGEPACK_X",
            "DBUS_SESSION_BUS_ADDRESS",
            "JAVA_TOOL_OPTIONS",
            "A_NAME_OF_TOMORROW",
        ),
    ),
    "users-own",
)


def test_the_code_sees_its_own_environment_and_nothing_that_opens_anything(
    ask: Asker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    users = tmp_path / "users"
    (users / ".aws").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(users))
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:users-own@proxy.example")
    monkeypatch.setenv("https_proxy", "http://proxy.example")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    given = {"MMS_MAX_RESPONSE_SIZE": "7", "HF_HUB_OFFLINE": "0", "HOME": str(users), "TORCH_HOME": "/opt/ml/torch"}
    answer = ask("a", environment=given)
    found = answer["environment"]
    assert isinstance(found, dict)
    wanted = {"MMS_MAX_RESPONSE_SIZE": "7", "TORCH_HOME": "/opt/ml/torch", "HF_HUB_OFFLINE": "1"}
    wanted |= {"LC_TIME": "C", "OMP_NUM_THREADS": "3", "https_proxy": "http://proxy.example"}
    wanted |= {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    assert {name: found.get(name) for name in wanted} == wanted
    assert found["MMS_INFERENCE_ADDRESS"].startswith("http://127.0.0.1:")
    assert "users-own" not in json.dumps(found)
    assert not set(SECRETS) - {"TORCH_HOME"} & set(found)
    assert (Path(str(answer["home"])).parent.parent, answer["below"]) == (tmp_path, [])


def test_a_package_in_s3_writes_only_into_its_own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = {"S3DataSource": {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix"}}
    for path in ("../../outside", "a/../../outside", "/outside", "a//b", "./a"):
        monkeypatch.setattr("sagepack.sandbox.aws.moto_state.read_below", lambda _uri, path=path: [(path, b"x")])
        with pytest.raises(OSError, match="leaves the folder"):
            runner._unpack({"ModelDataSource": source}, tmp_path / "1" / "2")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("harm", ["cut", "flipped", "none"])
def test_a_damaged_archive_fails_the_request(harm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("weights")
        member.size = 100_000
        archive.addfile(member, io.BytesIO(os.urandom(member.size)))
    whole = packed.getvalue()
    damaged = {"cut": whole[:5000], "flipped": whole[:50] + b"\xff" * 50 + whole[100:], "none": b""}[harm]
    monkeypatch.setattr(model_server, "available", lambda: None)
    monkeypatch.setattr("sagepack.sandbox.aws.moto_state.read", lambda _uri: damaged)
    model = {"PrimaryContainer": {"ModelDataUrl": "s3://b/model.tar.gz"}}
    status, body = runner.answer(model, b"{}", KIND, KIND, 20)
    assert status == 500
    assert "Failed to extract model data archive" in json.loads(body)["message"]


def test_after_the_end_no_process_and_no_file_is_left(ask: Asker, tmp_path: Path) -> None:
    pid = ask("a")["pid"]
    ask.held.stop()
    assert isinstance(pid, int)
    assert gone(pid)
    assert not list(tmp_path.glob("mms-*"))


def test_the_end_does_not_wait_for_a_container_that_is_starting(ask: Asker, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, "a", environment={"HANG": "1"})
        try:
            wait_for(lambda: asked.done() or bool(list(tmp_path.glob("mms-*/log"))))
        finally:
            ask.held.stop()
        with pytest.raises(containers.StartError):
            asked.result(timeout=10)
    assert not list(tmp_path.glob("mms-*"))


def test_a_container_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from sagepack.sandbox.serving.containers import Containers
answer = Containers().answer({{}}, lambda folder: None, {{}}, (b"{{}}", "{KIND}", "{KIND}", 20))
print(__import__("json").loads(answer[1])["pid"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    root = str(ROOT)
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert run.returncode == -signal.SIGKILL
    assert gone(int(run.stdout))


def gone(pid: int) -> bool:
    """Whether a process ends within ten seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_why_the_stack_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(model_server.PYTHON, str(tmp_path / "none"))
    assert f"there is no {tmp_path / 'none'}" in str(model_server.available())
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(model_server.PYTHON, sys.executable)
    assert "needs Java" in str(model_server.available())


def test_a_python_without_the_stack_is_told_from_one_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/java")
    monkeypatch.setenv(model_server.PYTHON, sys.executable)
    monkeypatch.setattr(model_server, "MODULES", ("json", "no_such_module"))
    model_server._missing.cache_clear()
    assert "lacks no_such_module" in str(model_server.available())
    monkeypatch.setattr(model_server, "MODULES", ("json",))
    model_server._missing.cache_clear()
    assert model_server.available() is None
    model_server._missing.cache_clear()
