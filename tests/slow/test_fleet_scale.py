"""From 10 jobs to 600: what a job costs does not depend on how many there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import model_samples
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

pytestmark = pytest.mark.slow

SPECS, ENVS, MODELS = 200, ("dev", "test", "prod"), 25
WEIGHTS = {"weights": {"dtype": "U8", "shape": [20_000], "data_offsets": [0, 20_000]}}
SPEC = """\
name: {name}
model: {{id: acme/{model}, revision: {commit}, include: [model.safetensors, config.json]}}
code: {{path: code}}
image: {{repository: huggingface-pytorch-inference, tag: 2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04}}
endpoint: {{name: {name}, instance_type: ml.g5.2xlarge}}
"""
OVERLAY = """\
aws: {{account: "123456789012", region: us-east-1, role: "arn:aws:iam::123456789012:role/sagepack-sandbox"}}
artifact: {{target: "s3://sagepack-sandbox/{env}"}}
"""
# Prints what a process knows of a fleet that it ran: jobs by status, bytes, and its own peak memory in bytes.
PROGRAM = """\
import collections, json, resource, sys
from sagepack import Fleet
goal, select, envs = sys.argv[1:]
fleet = Fleet(".", select, envs.split(","))
run = fleet.plan("upload") if goal == "plan" else fleet.run(goal)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
wrong = [job.error.message for job in run.jobs if job.error][:3]
print(json.dumps([dict(collections.Counter(job.status for job in run.jobs)), run.send, peak, wrong]))
"""


class Many:
    """A project of 200 specs, and the sandbox that stands for AWS and the Hub.

    Attributes:
        root: the project's folder.
        requests: how many requests the last fleet sent.
    """

    def __init__(self, root: Path, servers: Servers) -> None:
        self.root, self.servers, self.requests = root, servers, 0
        commits = []
        for number in range(MODELS):
            folder = root / "models" / str(number)
            folder.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(model_samples.safetensors(WEIGHTS, os.urandom(20_000)))
            (folder / "config.json").write_text("{}")
            commits.append(servers.hub.repositories.add(f"acme/m{number}", folder))
        (root / "config" / "env").mkdir(parents=True)
        for env in ENVS:
            (root / "config" / "env" / f"{env}.yaml").write_text(OVERLAY.format(env=env))
        (root / "code").mkdir()
        (root / "code" / "inference.py").write_text("def model_fn(model_dir): ...\n")
        for number in range(SPECS):
            model, name = number % MODELS, f"spec-{number:03}"
            text = SPEC.format(name=name, model=f"m{model}", commit=commits[model])
            (root / "config" / f"{name}.yaml").write_text(text)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        keys = {"AWS_ACCESS_KEY_ID": servers.access_key, "AWS_SECRET_ACCESS_KEY": servers.secret_key}
        hub = {"HF_ENDPOINT": servers.hub_url, "HF_TOKEN": servers.hf_token, "HF_HUB_CACHE": str(root / "cache")}
        self._environment = {**kept, **keys, **hub, "AWS_ENDPOINT_URL": servers.aws_url, "PYTHONPATH": str(ROOT)}

    def run(self, goal: str, select: str, *envs: str) -> tuple[dict[str, int], int, int]:
        """A fleet in a process of its own: jobs by status, bytes to send, and its peak memory."""
        faults = (self.servers.faults, self.servers.aws.faults)
        for each in faults:
            each.clear()
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, goal, select, ",".join(envs)],
            cwd=self.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=1500,
        )
        self.requests = sum(len(each.log) for each in faults)
        found: tuple[dict[str, int], int, int, Any] = json.loads(ran.stdout)
        assert found[3] == []
        return found[:3]


def test_requests_and_memory_of_a_job_are_those_of_one_of_ten(sandbox: Servers, tmp_path: Path) -> None:
    many = Many(tmp_path, sandbox)
    assert many.run("upload", "config/*.yaml", *ENVS)[0] == {"done": 600}
    requests, memory = dict[int, int](), dict[int, int]()
    for count, select, envs in (
        (10, "config/spec-00*.yaml", ("dev",)),
        (60, "config/spec-0[01]*.yaml", ENVS),
        (600, "config/*.yaml", ENVS),
    ):
        statuses, send, memory[count] = many.run("plan", select, *envs)
        assert (statuses, send) == ({"unchanged": count}, 0)
        requests[count] = many.requests
    assert requests[600] == 60 * requests[10]
    assert requests[60] == 6 * requests[10]
    assert memory[600] < memory[10] + (64 << 20)
