"""The sandbox package as commands import it."""

from __future__ import annotations

import subprocess
import sys

from tests.helpers.paths import ROOT

PROGRAM = """
import sys
import sagepack.sandbox
print(*sorted({name for name in sys.modules if name.startswith(("sagepack.sandbox", "sagepack.serving"))}))
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_importing_the_sandbox_imports_neither_its_servers_nor_moto() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    own, packages = (set(line.split()) for line in run.stdout.splitlines())
    assert own == {
        *(f"sagepack.sandbox{name}" for name in ("", ".identity", ".process")),
        *(f"sagepack.serving{name}" for name in ("", ".environment", ".stack")),
    }
    assert not packages & {"moto", "flask", "werkzeug", "boto3", "botocore", "filelock", "http"}
