"""The wheel is the whole tool: installed in an empty folder, with no checkout in reach, it makes a project and does the job."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers import documents
from tests.helpers.paths import ROOT
from tests.helpers.shipped import svd_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
SVD = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
# What a build leaves is no source; setuptools would put it into the next wheel.
_NO_SOURCE = shutil.ignore_patterns(".git", ".venv*", "build", "dist", "*.egg-info", ".*_cache", ".hypothesis")


class Installed:
    """An empty folder, whose name has a space, with a virtual environment that holds the wheel and the sandbox's packages."""

    def __init__(self, root: Path, wheel: Path) -> None:
        self.root = root
        root.mkdir()
        self.environment = {"HOME": str(root / "home"), "PATH": "/usr/bin:/bin"}
        self.run(sys.executable, "-m", "venv", ".venv")
        self.run(".venv/bin/python", "-m", "pip", "install", "--quiet", f"{wheel}[sandbox]")

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == code, f"{command}: {done}"
        return done.stdout

    def sagepack(self, *words: str) -> dict[str, Any]:
        return documents.checked(self.run(".venv/bin/sagepack", *words, "--json"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=_NO_SOURCE)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(folder / "source")], check=True, timeout=300)
    (built,) = folder.glob("sagepack-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    made = Installed(tmp_path_factory.mktemp("outside") / "a project", wheel)
    made.sagepack("init", "--model", SVD, "--name", "film")
    yield made
    made.run(".venv/bin/sagepack", "sandbox.stop")


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {
        path.relative_to(ROOT).as_posix()
        for folder in (ROOT / "sagepack", *(path for path in (ROOT / "sagepack" / "templates").iterdir()))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    linked = {
        f"sagepack/templates/handlers/{path.relative_to(ROOT / 'inference_code').as_posix()}"
        for path in (ROOT / "inference_code").rglob("*.py")
    }
    assert held == package | linked


def test_what_is_installed_makes_a_project_and_does_the_whole_job(installed: Installed) -> None:
    built = installed.sagepack("package")["result"]
    assert built["manifest"] == svd_identity()  # of the same model and the same handler
    assert built["archive"]["sha256"] in installed.run("make", "package")
    installed.run(".venv/bin/invoke", "deploy", "--config", "config/film.yaml")
    removed = installed.sagepack("destroy", "--yes")["result"]["removed"]
    assert {"kind": "endpoint", "name": "film"} in removed
    for path in (installed.root / "config").rglob("*.yaml"):
        (schema,) = re.findall(r"^# yaml-language-server: \$schema=(.*)$", path.read_text(), re.MULTILINE)
        assert (path.parent / schema).is_file()


def test_a_model_of_ones_own_is_deployed_by_what_is_installed(installed: Installed) -> None:
    model = installed.root / "models" / "mood"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}')
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    spec = installed.sagepack("new", "mood", "--model-path", "models/mood")["result"]["spec"]
    assert installed.sagepack("deploy", "--config", spec)["result"]["endpoint"]["name"] == "mood"
    assert installed.sagepack("destroy", "--yes", "--config", spec)["result"]["removed"]
    shutil.rmtree(installed.root / "inference_code" / "mood")
    (installed.root / spec).unlink()


def test_a_sandbox_that_is_not_installed_is_named_by_its_packages(installed: Installed) -> None:
    installed.run(".venv/bin/sagepack", "sandbox.stop")
    moto = next(installed.root.glob(".venv/lib/python*/site-packages/moto"))
    hidden = moto.rename(moto.with_name("moto.hidden"))
    try:
        told = installed.run(".venv/bin/sagepack", "sandbox.env", "--json", code=1)
    finally:
        hidden.rename(moto)
    assert "-m pip install moto==5.2.5 " in documents.checked(told)["error"]["fix"]
