"""The handlers in process, under the packages of the image: torch, diffusers, transformers, Pillow. Needs `make serve-venv`.

The interpreter of the serving stack runs the tests in `in_image`, and those of the fast tier that are skipped for want of Pillow.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
from pathlib import Path

import pytest

from sagepack.sandbox.miniatures import models
from sagepack.scaffold import kinds, project
from sagepack.serving import model_server
from tests.helpers.paths import ROOT

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]
# pytest comes from this environment, after the packages of the image; so none of those is replaced.
PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main())"
PACKAGES = str(importlib.metadata.distribution("pytest").locate_file(""))


@pytest.mark.parametrize("name", ["svd", "llava", "frames", "pipelines", "fast"])
def test_the_handlers_do_under_the_packages_of_the_image_what_they_promise(name: str, tmp_path: Path) -> None:
    for model in models.MODELS:
        models.write(model, tmp_path / model.name.partition("/")[0])
    tests = "tests/unit/inference_code" if name == "fast" else f"tests/slow/in_image/test_{name}.py"
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "PYTEST_"))}
    plain = [kind for kind in map(kinds.kind_of, kinds.TASKS) if kind.handler == "pipeline"]
    samples = {kind.task: json.loads(project._sample(kind)) for kind in plain}
    settings = {
        "MODELS": str(tmp_path),
        "SAMPLES": json.dumps(samples),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "HF_HOME": str(tmp_path / "hub"),
    }
    command = [
        str(model_server.python()),
        "-c",
        PROGRAM,
        PACKAGES,
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
    ]
    run = subprocess.run(
        [*command, tests], cwd=ROOT, env={**kept, **settings}, capture_output=True, text=True, timeout=500, check=False
    )
    assert run.returncode == 0, run.stdout
    assert "passed" in run.stdout
    assert "skipped" not in run.stdout or name == "frames", run.stdout
