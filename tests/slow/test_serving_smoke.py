"""The smoke test of a deployment, on packages that are really broken, under the image's real serving stack."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from sagepack.serving import model_server
from tests.helpers.serving_project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]
LOADED = "def model_fn(model_dir):\n    return []\n\n"


@dataclass(frozen=True)
class Broken:
    """A package, and what the screen says of it.

    Attributes:
        code: its inference.py.
        told: regular expressions, in the order of what they find.
        settings: settings beside it.
    """

    code: str
    told: tuple[str, ...]
    settings: tuple[str, ...] = ()


BROKEN = {
    "model_fn raises": Broken(
        'def model_fn(model_dir):\n    return open(model_dir + "/weights.bin")\n\ndef predict_fn(data, model):\n    return model\n',
        (
            r"request 1 of 2: .*No such file or directory: '.*weights\.bin'",
            r'inference\.py", line 2, in model_fn',
            r"\| FileNotFoundError: ",
            r"put back and serves again",
            r"correct the handler",
        ),
    ),
    "its import raises": Broken(  # what does not parse is refused before anything is built
        'raise ImportError("libcudart.so.12: cannot open shared object file")\n' + LOADED,
        (
            r"request 1 of 2: .*libcudart\.so\.12: cannot open shared object file",
            r'inference\.py", line 1',
            r"\| ImportError: libcudart",
            r"correct the handler",
        ),
    ),
    "no memory on the GPU": Broken(
        LOADED
        + """def predict_fn(data, model):
    import torch
    if model:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.32 GiB.")
    model.append(data)
    return {"frames": ["/9j/"] * 4}
""",
        (
            r"request 2 of 2: .*CUDA out of memory\. Tried to allocate 1\.32 GiB",
            r"\| torch\.OutOfMemoryError: CUDA out of memory",
            r"set SAGEMAKER_MODEL_SERVER_WORKERS to 1",
        ),
    ),
    "no memory": Broken(
        LOADED
        + """def predict_fn(data, model):
    if model:
        raise MemoryError
    model.append(data)
    return {"frames": ["/9j/"] * 4}
""",
        (r"request 2 of 2: ", r'inference\.py", line 6, in predict_fn', r"\| MemoryError", r"more memory"),
    ),
    "the worker dies": Broken(
        LOADED
        + """def predict_fn(data, model):
    import os, signal
    if model:
        print("allocating the second video")
        os.kill(os.getpid(), signal.SIGKILL)
    model.append(data)
    return {"frames": ["/9j/"] * 4}
""",
        (r"request 2 of 2: .*\(500\): Worker died", r"\| allocating the second video", r"more memory"),
    ),
    "too large": Broken(
        LOADED + 'def predict_fn(data, model):\n    return {"frames": ["/9j/" + "A" * 50_000] * 4}\n',
        (
            r"request 1 of 2: .*\(500\): Worker died",
            r"\| .*Message size exceed limit: 200040",
            r"set MMS_MAX_RESPONSE_SIZE in the environment to 200040 bytes or more",
        ),
        ("environment.MMS_MAX_RESPONSE_SIZE=100000",),
    ),
    "not as expected": Broken(
        LOADED + 'def predict_fn(data, model):\n    return {"frames": ["/9j/"] * 3}\n',
        (r"request 1 of 2 .*not as expected: it has 3 items, and at least 4", r'the answer begins with .*"frames"'),
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose release is the miniature of Stable Video Diffusion."""
    project = Project(tmp_path_factory.mktemp("project"))
    run = project.invoke("deploy")
    assert run.returncode == 0, run.stderr
    assert re.search(r"request 1 of 2: answered as expected.*request 2 of 2: answered as", run.stderr, re.DOTALL)
    yield project
    project.invoke("sandbox.stop")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_no_release_its_cause_is_told_and_the_release_before_answers(
    project: Project, name: str
) -> None:
    broken, folder = BROKEN[name], project.root / "inference_code" / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(project.root / "inference_code" / "svd", folder)
    (folder / "inference.py").write_text(broken.code, encoding="utf-8")
    flags = [flag for each in ("code.path=inference_code/broken", *broken.settings) for flag in ("--set", each)]
    before = project.invoke("releases").stdout

    deployed = project.invoke("deploy", *flags)
    assert deployed.returncode == 3, deployed.stderr
    told = deployed.stderr[deployed.stderr.index("error: ") :]
    assert re.search(".*".join(broken.told), told, re.DOTALL), told
    assert len(told.splitlines()) < 20

    assert project.invoke("releases").stdout == before
    live = json.loads(project.invoke("status", "--json").stdout)["result"]
    assert live["release"]["smoke"]["passed"]
    planned = project.invoke("plan", "--to", "deploy", *flags)
    assert planned.returncode == 2
    assert "~ package" in planned.stdout
    answered = project.invoke("predict", "--output", "answer.json")
    assert answered.returncode == 0, answered.stderr
    assert [len(frame) > 100 for frame in project.answer()["frames"]] == [True] * 4


def test_the_container_of_a_release_writes_to_the_log_of_the_endpoint(project: Project) -> None:
    run = project.invoke("logs", "--json")
    assert run.returncode == 0, run.stderr
    lines = json.loads(run.stdout)["result"]["lines"]
    assert any("`transform_fn` implementation found" in line["text"] for line in lines)
