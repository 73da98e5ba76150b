"""Containers, over a stand-in for the image's serving stack."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.sandbox.aws import model_data
from sagepack.serving import containers, model_server, runner, stack
from tests.helpers import serving_stack
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIND = "application/json"


@pytest.fixture(autouse=True)
def _stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serving_stack.install(tmp_path, monkeypatch)


@pytest.fixture
def running() -> Iterator[containers.Containers]:
    value = containers.Containers()
    yield value
    value.stop()


class Client:
    """Invokes packages and counts how often one was extracted."""

    def __init__(self, running: containers.Containers) -> None:
        self.running = running
        self.unpacked = 0
        self.log: list[str] = []

    def unpack(self, folder: Path) -> None:
        self.unpacked += 1
        (folder / "weights").write_bytes(b"w")

    def __call__(
        self, name: str, body: bytes = b"{}", environment: dict[str, str] | None = None, limit: float = 20
    ) -> dict[str, object]:
        package = containers.Package({"name": name}, environment or {}, self.unpack, self.log.extend)
        status, body = self.running.invoke(package, model_server.InferenceRequest(body, KIND, KIND, limit))
        assert status == 200
        document: dict[str, object] = json.loads(body)
        return document


@pytest.fixture
def invoke(running: containers.Containers) -> Client:
    return Client(running)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def test_a_package_is_extracted_and_started_once_for_many_requests(invoke: Client) -> None:
    first, second = invoke("a", b"1"), invoke("a", b"2")
    assert first["pid"] == second["pid"]
    assert (first["files"], first["type"], second["body"]) == (["weights"], KIND, "2")
    assert invoke.unpacked == 1


def test_at_most_two_containers_run_and_the_least_recently_used_one_is_stopped(invoke: Client) -> None:
    pids = {name: invoke(name)["pid"] for name in ("a", "b")}
    assert invoke("a")["pid"] == pids["a"]
    invoke("c")
    assert invoke("a")["pid"] == pids["a"]
    assert invoke("b")["pid"] != pids["b"]


def test_a_container_that_died_is_started_again(invoke: Client) -> None:
    first = invoke("a")["pid"]
    with pytest.raises(OSError, match=r"incomplete response|reset"):
        invoke("a", b"die")
    (container,) = invoke.running._running.values()
    wait_for(lambda: container.server is None or not container.server.alive())
    assert invoke("a")["pid"] != first


def test_the_error_of_a_container_that_does_not_start_has_its_log(invoke: Client) -> None:
    with pytest.raises(containers.StartError, match=r"status 3\nstarting\nwhat went wrong"):
        invoke("a", environment={"EXIT": "1"})


def test_what_a_container_writes_is_passed_on_line_by_line_until_it_is_stopped(invoke: Client) -> None:
    invoke("a", b"chatty")
    wait_for(lambda: len(invoke.log) > 100)
    assert set(invoke.log) - {"Model model loaded io_fd=1"} == {"starting", "again"}
    invoke.running.stop()
    known = len(invoke.log)
    time.sleep(0.05)
    assert len(invoke.log) == known


def test_a_package_that_does_not_respond_in_time_is_a_timeout_error(invoke: Client) -> None:
    invoke("a")
    with pytest.raises(TimeoutError):
        invoke("a", b"slow", limit=0.1)


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


def test_the_packages_code_sees_its_own_environment_and_no_secret_of_the_user(
    invoke: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
    response = invoke("a", environment=given)
    found = response["environment"]
    assert isinstance(found, dict)
    wanted = {"MMS_MAX_RESPONSE_SIZE": "7", "TORCH_HOME": "/opt/ml/torch", "HF_HUB_OFFLINE": "1"}
    wanted |= {"LC_TIME": "C", "OMP_NUM_THREADS": "3", "https_proxy": "http://proxy.example"}
    wanted |= {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
    assert {name: found.get(name) for name in wanted} == wanted
    assert found["MMS_INFERENCE_ADDRESS"].startswith("http://127.0.0.1:")
    assert "users-own" not in json.dumps(found)
    assert not set(SECRETS) - {"TORCH_HOME"} & set(found)
    assert (Path(str(response["home"])).parent.parent, response["below"]) == (tmp_path, [])


def test_objects_below_a_prefix_are_written_only_into_the_folder_of_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = {"S3DataSource": {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix"}}
    for path in ("../../outside", "a/../../outside", "/outside", "a//b", "./a"):
        monkeypatch.setattr("sagepack.sandbox.aws.moto_state.read_below", lambda _uri, path=path: [(path, b"x")])
        with pytest.raises(OSError, match="leaves the folder"):
            model_data.unpack({"ModelDataSource": source}, tmp_path / "1" / "2")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("harm", ["cut", "flipped", "none"])
def test_a_damaged_archive_fails_the_request(
    harm: str, monkeypatch: pytest.MonkeyPatch, running: containers.Containers
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("weights")
        member.size = 100_000
        archive.addfile(member, io.BytesIO(os.urandom(member.size)))
    whole = packed.getvalue()
    damaged = {"cut": whole[:5000], "flipped": whole[:50] + b"\xff" * 50 + whole[100:], "none": b""}[harm]
    monkeypatch.setattr(model_server, "unavailable", lambda: None)
    monkeypatch.setattr("sagepack.sandbox.aws.moto_state.read", lambda _uri: damaged)
    container = {"ModelDataUrl": "s3://b/model.tar.gz"}
    package = containers.Package(container, {}, partial(model_data.unpack, container), print)
    status, body = runner.invoke(running, package, model_server.InferenceRequest(b"{}", KIND, KIND, 20))
    assert status == 500
    assert "Failed to extract model data archive" in json.loads(body)["message"]


def test_stopping_the_containers_leaves_no_process_and_no_file(invoke: Client, tmp_path: Path) -> None:
    pid = invoke("a")["pid"]
    invoke.running.stop()
    assert isinstance(pid, int)
    assert gone(pid)
    assert not list(tmp_path.glob("mms-*"))


def test_stopping_does_not_wait_for_a_container_that_is_starting(invoke: Client, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        invoked = pool.submit(invoke, "a", environment={"HANG": "1"})
        try:
            wait_for(lambda: "starting" in invoke.log)
        finally:
            invoke.running.stop()
        with pytest.raises(containers.StartError):
            invoked.result(timeout=10)
    assert not list(tmp_path.glob("mms-*"))


@pytest.mark.slow
def test_a_container_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from sagepack.serving.containers import Containers, Package
from sagepack.serving.model_server import InferenceRequest
package = Package({{}}, {{}}, lambda folder: None, lambda lines: None)
status, body = Containers().invoke(package, InferenceRequest(b"{{}}", "{KIND}", "{KIND}", 20))
print(__import__("json").loads(body)["pid"], flush=True)
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


def test_the_reason_why_the_serving_stack_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(stack.PYTHON, str(tmp_path / "none"))
    assert model_server.problem() == (
        f"SAGEPACK_SERVE_PYTHON names no Python: there is no file {tmp_path / 'none'}",
        "correct SAGEPACK_SERVE_PYTHON, or remove it from the environment",
    )
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv(stack.PYTHON, sys.executable)
    assert "needs Java" in str(model_server.unavailable())
    with pytest.raises(UserError, match="needs Java") as caught:
        model_server.require(tmp_path)
    assert caught.value.fix == stack.JAVA_FIX


def test_the_java_of_java_home_is_the_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"  # multi-model-server starts no other
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"JAVA_HOME names a folder without bin/java: {tmp_path}" in str(stack.java_problem())
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_392\"' >&2\n")
    java.chmod(0o755)
    assert f"{java} is 1.8.0_392" in str(stack.java_problem())


def test_the_modules_that_the_python_of_the_stack_cannot_import_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/java")
    monkeypatch.setenv(stack.PYTHON, sys.executable)
    monkeypatch.setattr(model_server, "MODULES", ("json", "no_such_module"))
    model_server._missing_modules.cache_clear()
    assert "cannot import no_such_module" in str(model_server.unavailable())
    monkeypatch.setattr(model_server, "MODULES", ("json",))
    model_server._missing_modules.cache_clear()
    assert model_server.unavailable() is None
    model_server._missing_modules.cache_clear()
