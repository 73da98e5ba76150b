"""What running a package here imports."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.paths import ROOT

PROGRAM = """
import sys
from sagepack.api import direct, served_package, serving, trial, watching
from sagepack.serving import image, stack
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_a_package_runs_here_without_what_the_sandbox_needs_and_without_boto3() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"moto", "flask", "werkzeug", "boto3", "botocore", "huggingface_hub", "torch"}
