"""The processing jobs of the sandbox: what is left of one when the sandbox ends."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import processing
from sagepack.sandbox.aws.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SLEEP = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


def test_a_job_that_runs_when_the_sandbox_ends_leaves_no_process_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(processing, "check_role", lambda _: None)
    jobs = processing.ProcessingJobs(Clock())
    monkeypatch.setattr(jobs, "_fetch", lambda *_: None)
    body: dict[str, Any] = {
        "ProcessingJobName": "a",
        "RoleArn": "arn:aws:iam::123456789012:role/sagepack-sandbox",
        "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge"}},
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "-c", SLEEP]},
    }
    jobs.call("CreateProcessingJob", "us-east-1", body)
    (job,) = jobs._jobs.values()
    end = time.monotonic() + 10
    while job.process is None and time.monotonic() < end:
        time.sleep(0.01)
    assert job.process is not None
    assert list(tmp_path.iterdir())
    jobs.reset()
    assert job.process.returncode is not None
    assert not list(tmp_path.iterdir())
