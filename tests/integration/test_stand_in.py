"""The page about other stand-ins for AWS: its commands, one after the other, against a plain moto server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

pytestmark = pytest.mark.slow  # a page is typed whole, which takes as long as it takes a user

PAGE = ROOT / "docs" / "how-to" / "stand-ins.md"


def blocks(kind: str) -> list[str]:
    """The code of the page."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def moto_url() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(30)


class Shell:
    """A shell in a project, with the variables that the page exports and a Hub."""

    def __init__(self, root: Path, url: str, box: Servers) -> None:
        self.root, self.url = root, url
        for name in ("config", "inference_code", "tasks.py"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        (root / "config" / "llava.yaml").unlink()  # with one spec in the project no command has to name it
        (root / "config" / "env" / "moto.yaml").write_text(blocks("yaml")[0])
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        (exports,) = re.findall(r"^export (AWS_.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        given = dict(word.split("=", 1) for word in shlex.split(exports))
        hub = {"HF_ENDPOINT": box.hub_url, "HF_TOKEN": box.hf_token, "HF_HUB_CACHE": str(root / "cache")}
        self.environment = {**kept, **given, **hub, "AWS_ENDPOINT_URL": url, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}

    def run(self, line: str) -> str:
        """Run a command of the page; the AWS CLI is boto3 here, which has the same operations and parameters."""
        words, _, target = line.partition(" > ")
        program, *arguments = shlex.split(words)
        if program == "aws":
            self._aws(arguments)
            return ""
        assert program == "sagepack"
        command = [sys.executable, "-m", "sagepack", *arguments]
        ran = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{line}: {ran.stdout}{ran.stderr}"
        if target:
            (self.root / target).write_text(ran.stdout)
        return ran.stdout

    def _aws(self, arguments: list[str]) -> None:
        service, operation, *rest = arguments
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client(service, region_name="us-east-1", endpoint_url=self.url, **keys)
        if operation == "mb":
            client.create_bucket(Bucket=rest[0].removeprefix("s3://"))
            return
        method = operation.replace("-", "_")
        members = client.meta.service_model.operation_model(
            client.meta.method_to_api_mapping[method]
        ).input_shape.members
        names = {name.lower(): name for name in members}
        given: dict[str, Any] = {}
        for flag, value in zip(rest[::2], rest[1::2], strict=True):
            text = (self.root / value.removeprefix("file://")).read_text() if value.startswith("file://") else value
            given[names[flag.removeprefix("--").replace("-", "")]] = text
        getattr(client, method)(**given)


def test_the_commands_of_the_page_deploy_to_a_plain_moto_server(
    tmp_path: Path, moto_url: str, sandbox: Servers
) -> None:
    shell = Shell(tmp_path, moto_url, sandbox)
    *_, prepare, deploy = blocks("sh")
    printed = {line: shell.run(line) for line in (*prepare.splitlines(), *deploy.splitlines())}
    doctor = printed["sagepack doctor --env moto"]
    assert not re.search(r"^failed", doctor, re.MULTILINE)
    assert re.search(r"unknown\s+instance quota", doctor)
    assert "endpoint svd serves" in printed["sagepack plan --to deploy --env moto"]
    assert '{"default": "response"}' in printed["sagepack predict --env moto"] + "".join(
        path.read_text() for path in (tmp_path / "build" / "answers").rglob("*.json")
    )
    assert "removed" in printed["sagepack destroy --env moto --yes"]
