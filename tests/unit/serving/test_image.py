"""A package in a container of the real image, over a stand-in for docker that writes down what it is asked for."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.serving import image
from sagepack.serving.model_server import InferenceRequest
from tests.helpers.paths import ROOT
from tests.helpers.serving_stack import STACK

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = "763104351884.dkr.ecr.eu-west-1.amazonaws.com"
IMAGE = f"{REGISTRY}/huggingface-pytorch-inference@sha256:{'0' * 64}"
JSON = "application/json"
DOCKER = """
import json, os, pathlib, signal, sys
here = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (here / "calls").open("a") as file:
    file.write(json.dumps(words) + "\\n")
if words[:2] == ["image", "inspect"]:
    said = (here / "inspect").read_text() if (here / "inspect").exists() else ""
    sys.exit(said or 0)
if words[0] == "rm":
    os.kill(int((here / "pid").read_text()), signal.SIGKILL)
if words[0] == "run":
    (here / "pid").write_text(str(os.getpid()))
    at = lambda flag: words[words.index(flag) + 1]
    source = next(word for word in words if word.endswith("target=/opt/ml/model,readonly")).split("source=")[1].split(",")[0]
    os.environ["SAGEMAKER_BASE_DIR"] = str(pathlib.Path(source).parent)
    os.environ["SAGEMAKER_BIND_TO_PORT"] = at("--publish").split(":")[1]
    os.execv(sys.executable, [sys.executable, str(here / "stack.py")])
"""


class Docker:
    """The program, on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "docker.py").write_text(DOCKER)
        (folder / "stack.py").write_text(STACK)
        program = folder / "docker"
        program.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(folder / "docker.py"))} "$@"\n'
        )
        program.chmod(0o755)

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Docker(tmp_path)


def test_without_docker_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="there is no program docker on the PATH"):
        image.require(IMAGE, REGISTRY, "eu-west-1")


def test_an_image_that_is_there_is_enough(docker: Docker) -> None:
    image.require(IMAGE, REGISTRY, "eu-west-1")
    assert docker.calls() == [["image", "inspect", "--format", "{{.Id}}", IMAGE]]


def test_a_missing_image_is_told_with_the_commands_that_fetch_it(docker: Docker) -> None:
    (docker.folder / "inspect").write_text(f"Error response from daemon: No such image: {IMAGE}")
    with pytest.raises(UserError, match="this machine has not the image") as caught:
        image.require(IMAGE, REGISTRY, "eu-west-1")
    login, pull = caught.value.details
    assert login == (
        f"aws ecr get-login-password --region eu-west-1 | docker login --username AWS --password-stdin {REGISTRY}"
    )
    assert pull == f"docker pull {IMAGE}"


def test_a_docker_that_does_not_answer_is_told(docker: Docker) -> None:
    (docker.folder / "inspect").write_text("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    with pytest.raises(UserError, match="docker does not answer: Cannot connect to the Docker daemon"):
        image.require(IMAGE, REGISTRY, "eu-west-1")
    (docker.folder / "docker").write_text("no program")
    with pytest.raises(UserError, match="docker does not run"):
        image.require(IMAGE, REGISTRY, "eu-west-1")


def test_the_container_gets_the_package_read_only_and_is_removed(docker: Docker, tmp_path: Path) -> None:
    log: list[str] = []
    server = image.ImageServer(IMAGE, {"GREETING": "hello you"}, log.extend, [tmp_path / "models--a"])
    (server.package / "weights").touch()
    try:
        assert server.start() is None
        assert server.wait_loaded() is None
        status, body = server.post(InferenceRequest(b"{}", JSON, JSON, 10))
        assert (status, json.loads(body)["files"]) == (200, ["weights"])
    finally:
        server.stop()
    (run,) = (call for call in docker.calls() if call[0] == "run")
    name = run[run.index("--name") + 1]
    assert run[-2:] == [IMAGE, "serve"]
    assert "GREETING=hello you" in run
    assert "SAGEMAKER_MODEL_SERVER_WORKERS=1" in run
    assert run[run.index("--publish") + 1] == f"127.0.0.1:{server.port}:8080"
    assert [word for word in run if word.startswith("type=bind")] == [
        f"type=bind,source={server.package},target=/opt/ml/model,readonly",
        f"type=bind,source={tmp_path / 'models--a'},target={tmp_path / 'models--a'},readonly",
    ]
    assert ["rm", "--force", name] in docker.calls()
    assert not server.package.exists()


def test_a_container_is_removed_when_this_program_is_killed(docker: Docker, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nsys.path.insert(0, sys.argv[1])\nimport tempfile\ntempfile.tempdir = sys.argv[2]\n"
        "from sagepack.serving.image import ImageServer\n"
        "server = ImageServer('i', {}, lambda lines: None)\nassert server.start() is None\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(ROOT), str(tmp_path)], check=False, timeout=60)
    end = time.monotonic() + 20
    while not any(call[0] == "rm" for call in docker.calls()):
        assert time.monotonic() < end
        time.sleep(0.05)
