"""`invoke sandbox.env` prints everything that other programs need to use the sandbox."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack import sandbox
from sagepack.api import connect
from sagepack.sandbox.miniatures import models
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

USERS = {
    "AWS_PROFILE": "nobody",
    "AWS_SESSION_TOKEN": "users-own",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "users-own",
    "HF_TOKEN": "hf_users_own",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}
PROGRAM = f"""
import boto3, huggingface_hub, json
buckets = boto3.client("s3").list_buckets()["Buckets"]
file = huggingface_hub.hf_hub_download("{models.SVD.name}", "unet/diffusion_pytorch_model.fp16.safetensors")
print(json.dumps([[bucket["Name"] for bucket in buckets], file]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("it's ü $HOME")
    for name in ("config", "inference_code", "tasks.py"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
    yield root
    sandbox.stop(root)


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_"))}
    environment = {**kept, **USERS, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=project, env=environment, capture_output=True, encoding="utf-8", timeout=120, check=True
    )


INVOKE = (sys.executable, "-m", "invoke")


@pytest.mark.slow
def test_sandbox_env_starts_the_sandbox_and_other_programs_need_no_more_than_its_output(project: Path) -> None:
    script = f'set -e; eval "$({shlex.join(INVOKE)} sandbox.env)"; exec {shlex.join([sys.executable, "-c", PROGRAM])}'
    first, second = run(project, "sh", "-c", script), run(project, *INVOKE, "sandbox.env")
    buckets, file = json.loads(first.stdout)
    assert buckets == ["sagepack-sandbox"]
    assert Path(file).is_relative_to(project / "build" / "sandbox")  # the user's own cache holds the real model
    assert "starting" not in second.stderr  # what the first of them started goes on


def test_sandbox_env_has_the_same_values_as_json(project: Path) -> None:
    found = json.loads(run(project, *INVOKE, "sandbox.env", "--json").stdout)["result"]
    box = sandbox.ensure(project)
    assert found["export"]["AWS_SECRET_ACCESS_KEY"] == box.secret_key
    assert found["export"]["HF_TOKEN"] == box.hf_token
    assert "AWS_SESSION_TOKEN" in found["unset"]


def test_sandbox_status_shows_no_secret(project: Path) -> None:
    box = sandbox.ensure(project)
    for words in (["sandbox.status"], ["sandbox.status", "--json"]):
        shown = run(project, *INVOKE, *words).stdout
        assert box.hub_url in shown
        assert not any(secret in shown for secret in (box.secret_key, box.hf_token, box.control_token))


def test_a_build_in_the_sandbox_does_not_use_the_users_proxy(project: Path) -> None:
    run(project, *INVOKE, "package")
    assert (project / "dist" / "svd" / "local" / "model.tar.gz").exists()


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("", "127.0.0.1,localhost"),
        ("localhost", "localhost,127.0.0.1"),
        (".example,127.0.0.1,localhost", ".example,127.0.0.1,localhost"),
    ],
)
def test_hosts_that_are_exempt_from_the_proxy_stay_exempt(known: str, expected: str) -> None:
    assert connect.past_proxies(known) == expected
