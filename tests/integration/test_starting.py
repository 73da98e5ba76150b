"""A project of one's own: made by `init` in an empty folder, and used by programs that know nothing of this repository."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack import __version__
from tests.helpers import documents
from tests.helpers.paths import ROOT, SCHEMAS
from tests.helpers.shipped import svd_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

SVD = "stabilityai/stable-video-diffusion-img2vid-xt-1-1"
LLAVA = "llava-hf/llava-1.5-7b-hf"
SAGEPACK = (sys.executable, "-m", "sagepack")
WAIT = 120


class Folder:
    """A folder whose name has a space, and the commands that are run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_", "MAKE"))}
        # What a stack on this machine answers is for the serving tests.
        stack = {"SAGEPACK_SERVE_PYTHON": str(root / "none")}
        self.environment = {**kept, **stack, "PYTHONPATH": str(ROOT), "HOME": str(root / "home")}

    def run(self, *command: str, cwd: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=cwd or self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT,
        )
        assert done.returncode == code, f"{command}: {done}"
        assert "Traceback" not in done.stderr
        return done

    def sagepack(self, *words: str, code: int = 0, cwd: Path | None = None) -> dict[str, Any]:
        """The document that a task prints."""
        return documents.checked(self.run(*SAGEPACK, *words, "--json", code=code, cwd=cwd).stdout)

    def init(self, *words: str) -> dict[str, Any]:
        result: dict[str, Any] = self.sagepack("init", "--model", SVD, "--name", "film", *words)["result"]
        return result

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    root = tmp_path / "a project"
    root.mkdir()
    made = Folder(root)
    yield made
    if (root / "config" / "env").is_dir():
        made.run(*SAGEPACK, "sandbox.stop")


@pytest.fixture
def installed(folder: Folder) -> Folder:
    """With `.venv/bin/sagepack`, as an installation leaves it."""
    script = folder.root / ".venv" / "bin" / "sagepack"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec {shlex.join(SAGEPACK)} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.slow
def test_a_new_project_is_packaged_deployed_and_destroyed_as_it_is(installed: Folder) -> None:
    before = installed.files()
    written = installed.init()
    assert sorted((*written["files"], *before)) == installed.files()
    assert (written["task"], written["spec"]) == ("image-to-video", "config/film.yaml")
    built = installed.sagepack("package", cwd=installed.root / "inference_code")["result"]
    assert built["manifest"] == svd_identity()
    assert built["archive"]["path"] == "dist/film/local/model.tar.gz"
    assert built["archive"]["sha256"] in installed.run("make", "package").stdout
    installed.run(sys.executable, "-m", "invoke", "deploy", "--config", "config/film.yaml")
    removed = installed.sagepack("destroy", "--yes")["result"]["removed"]
    assert {"kind": "endpoint", "name": "film"} in removed


def test_the_makefile_of_a_project_passes_on_tasks_and_values_as_they_are(installed: Folder) -> None:
    installed.init()
    script = installed.root / ".venv" / "bin" / "sagepack"
    script.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    shown = installed.run("make", "deploy", 'CONFIG=config/it\'s a "spec".yaml', "ENV=prod", "ARGS=--json --yes").stdout
    assert shown == '<deploy><--config><config/it\'s a "spec".yaml><--env><prod><--json><--yes>'
    (installed.root / "package").mkdir()  # no folder or file of that name is in the way
    assert "<package><--config><config/film.yaml><--env><local>" in installed.run("make", "package").stdout
    assert "<sandbox.stop>" in installed.run("make", "sandbox.stop").stdout
    assert "<sandbox.stop>" in installed.run("make", "sandbox-stop").stdout
    assert "<--env><a$(b)>" in installed.run("make", "package", "ENV=a$(b)").stdout
    assert "unknown variable env, there are ENV" in installed.run("make", "package", "env=prod", code=2).stderr
    assert installed.run("make", "new", "ARGS=chat --model a/b").stdout == "<new><chat><--model><a/b>"
    assert "<--list>" in installed.run("make").stdout
    script.write_text("#!/bin/sh\nexit 2\n")  # as a plan that found work
    installed.run("make", "plan")
    installed.run("make", "package", code=2)
    shutil.rmtree(installed.root / ".venv")
    installed.environment["PATH"] = "/usr/bin:/bin"
    assert "python3 -m venv .venv" in installed.run("make", "package", code=2).stderr


@pytest.mark.slow
def test_a_second_model_of_a_project_has_to_be_named(folder: Folder) -> None:
    folder.init()
    assert folder.sagepack("validate")["result"]["config"] == "config/film.yaml"
    added = folder.sagepack("new", "chat", "--model", LLAVA)["result"]
    assert added["files"] == [
        *("config/chat.yaml", "config/samples/chat.json"),
        *(f"inference_code/chat/handler_{name}.py" for name in ("answer", "files", "images", "model", "request")),
        *("inference_code/chat/inference.py", "inference_code/chat/request.schema.json"),
    ]
    error = folder.sagepack("validate", code=1)["error"]
    assert error["details"] == ["--config config/chat.yaml", "--config config/film.yaml"]
    for spec in ("config/chat.yaml", "config/film.yaml"):
        assert folder.sagepack("validate", "--config", spec)["result"]["config"] == spec


@pytest.fixture
def classifier(folder: Folder) -> Path:
    """The files of a tiny text classifier, its weights a header without tensors."""
    model = folder.root / "models" / "mood"
    model.mkdir(parents=True)
    (model / "config.json").write_text('{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}')
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return model


@pytest.mark.slow
def test_a_model_in_a_folder_is_packaged_and_deployed_as_it_is(folder: Folder, classifier: Path) -> None:
    path = os.path.relpath(classifier, folder.root)
    written = folder.sagepack("init", "--model-path", path, "--name", "mood")["result"]
    assert (written["task"], written["instance_type"]) == ("text-classification", "ml.m5.xlarge")
    assert f"  path: {path} #" in (folder.root / written["spec"]).read_text()
    assert folder.sagepack("deploy")["result"]["endpoint"]["name"] == "mood"


@pytest.mark.slow
def test_a_model_that_was_added_to_the_sandbox_is_known_with_its_commit(folder: Folder, classifier: Path) -> None:
    folder.init()
    added = folder.sagepack("sandbox.add", "acme/mood", str(classifier))["result"]
    written = folder.sagepack("new", "mood", "--model", "acme/mood")["result"]
    assert written["task"] == "text-classification"
    assert written["next"][0] == "sagepack package --config config/mood.yaml"
    assert added["revision"] in (folder.root / written["spec"]).read_text()
    assert folder.sagepack("package", "--config", written["spec"])["result"]["archive"]


def test_a_model_that_nobody_knows_gets_the_handler_of_its_task_and_the_way_into_the_sandbox(folder: Folder) -> None:
    folder.environment["HF_HUB_OFFLINE"] = "1"
    refused = folder.sagepack("init", "--model", "acme/mood", "--name", "mood", code=1)["error"]
    assert "HF_HUB_OFFLINE forbids asking the Hub" in refused["message"]
    assert "--task" in refused["fix"]
    assert folder.files() == []
    written = folder.sagepack("init", "--model", "acme/mood", "--name", "mood", "--task", "fill-mask")["result"]
    assert (written["task"], written["seen"]) == ("fill-mask", [])
    assert any("the Hub did not say what the model is" in note for note in written["assumptions"])
    assert written["next"][:2] == ["sagepack sandbox.add acme/mood FOLDER", "sagepack lock --pin"]
    assert written["next"][2:5] == ["sagepack package", "sagepack serve", "sagepack deploy"]
    assert "revision: main" in (folder.root / written["spec"]).read_text()


@pytest.mark.slow
def test_lock_brings_the_schemas_of_a_project_up_to_date(folder: Folder) -> None:
    folder.init()
    old, removed, kept = (
        folder.root / "config" / ".schemas" / f"{name}.schema.json" for name in ("spec", "lock", "overlay")
    )
    before = kept.stat().st_ino
    old.write_text("{}")
    removed.unlink()
    folder.sagepack("lock")
    assert old.read_bytes() == (SCHEMAS / old.name).read_bytes()
    assert not removed.exists()
    assert kept.stat().st_ino == before


@pytest.mark.slow
def test_what_is_there_is_kept_and_named(folder: Folder) -> None:
    (folder.root / "Makefile").write_text("mine")
    (folder.root / "README.md").write_text("mine")
    error = folder.sagepack("init", "--model", SVD, "--name", "film", code=1)["error"]
    assert error["details"] == ["Makefile"]
    assert folder.files() == ["Makefile", "README.md"]
    (folder.root / "Makefile").unlink()
    folder.init()
    again = folder.sagepack("init", "--model", SVD, "--name", "film", code=1)["error"]
    assert "a project already" in again["message"]


@pytest.mark.slow
def test_outside_of_a_project_a_task_that_needs_one_says_so(folder: Folder) -> None:
    for line in ("package", "sandbox.status", "new chat"):
        error = folder.sagepack(*line.split(), code=1)["error"]
        assert error["message"] == f"no project here: no folder from {folder.root} upward has config/env/"
        assert "`sagepack init`" in error["fix"]
    assert folder.run(*SAGEPACK, "--version").stdout == f"sagepack {__version__}\n"
    for words in (["--help"], ["--list"], ["--help", "init"]):
        assert "init" in folder.run(*SAGEPACK, *words).stdout
    assert folder.files() == []


def test_the_serving_stack_is_installed_before_there_is_a_project(folder: Folder) -> None:
    folder.environment["JAVA_HOME"] = str(folder.root / "none")
    error = folder.sagepack("serve.install", code=1)["error"]
    assert error["message"].startswith("the serving stack needs ")
    assert folder.files() == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "sagepack init --model owner/name --name NAME"),
        (("--model", "acme/My_Model"), "sagepack init --model acme/My_Model --name my-model"),
        (("--name", "film"), "sagepack init --model owner/name --name film"),
    ],
)
def test_without_a_terminal_init_says_what_to_type(folder: Folder, words: tuple[str, ...], line: str) -> None:
    assert folder.sagepack("init", *words, code=1)["error"]["fix"] == f"write: {line}"
    assert folder.files() == []


def test_on_a_terminal_init_asks(folder: Folder) -> None:
    terminal, other = pty.openpty()
    process = subprocess.Popen(
        [*SAGEPACK, "init"],
        cwd=folder.root,
        env=folder.environment,
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(terminal, f"{SVD}\n\n".encode())
    out, err = process.communicate(timeout=WAIT)
    os.close(other)
    os.close(terminal)
    assert process.returncode == 0, err
    assert "name [stable-video-diffusion-img2vid-xt-1-1]: " in err
    assert "wrote config/stable-video-diffusion-img2vid-xt-1-1.yaml" in out


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
def test_an_interrupted_init_leaves_all_or_nothing(folder: Folder, delay: float) -> None:
    process = subprocess.Popen(
        [*SAGEPACK, "init", "--model", SVD, "--name", "film"],
        cwd=folder.root,
        env=folder.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT)
    left = folder.files()
    assert left == [] or (len(left) == 19 and "config/film.yaml" in left)
    # At first Python itself meets the signal, in its own ways.
    assert process.returncode in (0, 130) if left else process.returncode != 0
