"""A fleet of plans with nothing to do beside one such plan: what a job takes among 10, 60 and 600 of them."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.timing import table

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
SPECS, ENVS = 200, ("dev", "test", "prod")
SPEC = """\
name: {name}
model: {{id: bench/tiny, revision: {commit}, include: [model.safetensors, config.json]}}
code: {{path: code}}
image: {{repository: huggingface-pytorch-inference, tag: 2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04}}
endpoint: {{name: {name}, instance_type: ml.g5.2xlarge}}
"""
OVERLAY = """\
sandbox: true
aws: {{account: "123456789012", region: us-east-1, role: "arn:aws:iam::123456789012:role/sagepack-sandbox"}}
artifact: {{target: "s3://sagepack-sandbox/{env}"}}
"""
# Publishes all, then times plans in turns; prints seconds and processor seconds of one plan and of a job of each fleet, and
# the peak memory in bytes.
PROGRAM = """\
import json, resource, statistics, sys, time
from sagepack import Fleet, Project

runs, envs = int(sys.argv[1]), sys.argv[2].split(",")
done = Fleet(".", envs=envs).run("upload")
assert done.exit_code == 0, [job.error for job in done.jobs if job.error][:1]
sizes = {10: ("config/m00*.yaml", envs[:1]), 60: ("config/m0[01]*.yaml", envs), 600: ("config/*.yaml", envs)}
seconds = {name: [] for name in (1, *sizes)}

def timed(name, count, work):
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    seconds[name].append(((time.perf_counter() - begun) / count, (time.process_time() - cpu) / count))

for _ in range(runs):
    for number in range(60):
        one = Project(".", f"config/m{number % 20:03}.yaml", envs[number // 20])
        timed(1, 1, lambda: one.plan("upload"))
    for count, (select, chosen) in sizes.items():
        timed(count, count, lambda: Fleet(".", select, chosen).plan("upload"))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps([{name: [statistics.median(each) for each in zip(*found)] for name, found in seconds.items()}, peak]))
"""


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the model's size has no part in it
    """Publish 200 specs in three environments of a sandbox, then time plans of some of them."""
    project = folder / "fleet"
    (project / "config" / "env").mkdir(parents=True)
    for env in ENVS:
        (project / "config" / "env" / f"{env}.yaml").write_text(OVERLAY.format(env=env))
    model = folder / "tiny"
    model.mkdir()
    header = json.dumps({"weights": {"dtype": "U8", "shape": [20_000], "data_offsets": [0, 20_000]}}).encode()
    (model / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + os.urandom(20_000))
    (model / "config.json").write_text("{}")
    (project / "code").mkdir()
    (project / "code" / "inference.py").write_text("def model_fn(model_dir): ...\n")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def run(*words: str) -> str:
        command = [sys.executable, *words]
        ran = subprocess.run(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout

    added = json.loads(run("-m", "sagepack", "sandbox.add", "bench/tiny", str(model), "--json"))
    for number in range(SPECS):
        text = SPEC.format(name=f"m{number:03}", commit=added["result"]["revision"])
        (project / "config" / f"m{number:03}.yaml").write_text(text)
    try:
        seconds, peak = json.loads(run("-c", PROGRAM, str(runs), ",".join(ENVS)))
    finally:
        run("-m", "sagepack", "sandbox.stop")
    rows = [("plan with nothing to do", "seconds", "ratio", "processor seconds", "ratio")]
    for name, key in (("one", "1"), *((f"each of {count}", count) for count in ("10", "60", "600"))):
        wall, cpu = seconds[key]
        ratios = f"{wall / seconds['1'][0]:.2f}", f"{cpu / seconds['1'][1]:.2f}"
        rows.append((name, f"{wall:.4f}", ratios[0], f"{cpu:.4f}", ratios[1]))
    return f"### A fleet\n\n{table(rows)}\n\nPeak memory {peak / 2**20:.0f} MiB.\n"
