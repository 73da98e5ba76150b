"""From a spec to an endpoint and back, with the commands a user types, on the embedded sandbox."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
INVOKE = (sys.executable, "-m", "invoke")


class Project:
    """A copy of what a user's project holds, with a sandbox of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("config", "inference_code", "schemas", "tasks.py"):
            source = REPOSITORY / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        self.environment = {**kept, "PYTHONPATH": str(REPOSITORY), "HOME": str(root / "home"), "NO_COLOR": "1"}

    def invoke(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        run = subprocess.run(
            [*INVOKE, *words],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code is None or run.returncode == code, f"{words}: {run.returncode}\n{run.stdout}\n{run.stderr}"
        assert "Traceback" not in run.stderr
        return run

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.invoke(*words, "--json", code=code).stdout)

    def actions(self, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
        return {action["step"]: action for action in self.json(*words, code=code)["actions"]}

    def runs(self, *words: str, code: int = 0) -> list[str]:
        return [step for step, action in self.actions(*words, code=code).items() if action["run"]]

    @property
    def archive(self) -> Path:
        return self.root / "dist" / "svd" / "local" / "model.tar.gz"

    def sha256(self) -> str:
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.invoke("sandbox.stop")


@pytest.fixture
def packaged(project: Project) -> Project:
    project.invoke("package")
    return project


def edit(project: Project) -> None:
    path = project.root / "inference_code" / "svd" / "inference.py"
    path.write_text(path.read_text() + f"\n# edited at {time.monotonic_ns()}\n")


def test_a_package_is_whole_readable_and_named_by_its_sum(packaged: Project) -> None:
    dist = packaged.archive.parent
    assert sorted(path.name for path in dist.iterdir()) == ["manifest.json", "model.tar.gz", "model.tar.gz.sha256"]
    assert (dist / "model.tar.gz.sha256").read_text() == f"{packaged.sha256()}  model.tar.gz\n"
    members = {m["path"]: m for m in json.loads((dist / "manifest.json").read_text())["members"]}
    with tarfile.open(packaged.archive) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            assert hashlib.sha256(content.read()).hexdigest() == members.pop(entry.name)["sha256"]
    assert members == {}
    subprocess.run(["gzip", "-t", packaged.archive], check=True)
    subprocess.run(["tar", "-tzf", packaged.archive], check=True, capture_output=True)


def test_one_weight_variant_is_chosen_and_the_saving_told(packaged: Project) -> None:
    with gzip.open(packaged.archive) as stream, tarfile.open(fileobj=stream) as archive:
        weights = [name for name in archive.getnames() if name.endswith(".safetensors")]
    assert weights
    assert all(".fp16." in name for name in weights)
    told = packaged.invoke("lock", "--update").stderr
    assert "left out save" in told


def test_a_second_run_does_nothing_and_says_why(packaged: Project) -> None:
    before = packaged.archive.stat()
    again = packaged.actions("package")
    assert not any(action["run"] for action in again.values())
    assert all(action["reasons"] for action in again.values())
    assert packaged.archive.stat().st_mtime_ns == before.st_mtime_ns
    packaged.invoke("plan", code=0)


def test_a_run_with_nothing_to_do_imports_no_client(packaged: Project) -> None:
    program = """
import sys
from pathlib import Path
from sagepack import cli, commands
assert commands.reach(cli.Options(Path(".").resolve(), json=True), "package") == 0
slow = {"boto3", "botocore", "huggingface_hub", "jsonschema", "moto", "awscrt", "httpx2", "filelock", "tqdm"}
print(sorted(slow & set(sys.modules)), file=sys.stderr)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=packaged.root,
        env=packaged.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr.strip() == "[]"
    assert not any(action["run"] for action in json.loads(run.stdout)["actions"])


def test_an_edit_of_one_line_runs_three_steps_and_downloads_nothing(packaged: Project) -> None:
    edit(packaged)
    assert packaged.runs("plan", code=2) == ["assemble", "checksum", "tar"]
    shown = packaged.invoke("plan", code=2).stdout
    assert "code/inference.py changed" in shown
    before = packaged.sha256()
    assert packaged.runs("package") == ["assemble", "checksum", "tar"]
    assert packaged.sha256() != before


def test_a_branch_is_refused_by_everything_but_lock(project: Project) -> None:
    project.invoke("package")
    branch = ("--set", "model.revision=main")
    for task in ("validate", "plan", "download", "package", "upload", "deploy"):
        assert "main" in project.invoke(task, *branch, code=1).stderr
    lock = project.root / "config" / "locks" / "svd-local.lock.yaml"
    before = lock.read_text()
    told = project.invoke("lock", *branch).stderr
    assert "043843887ccd51926e3efed36270444a838e7861" in told
    lock.write_text(before)


def test_a_locked_run_refuses_to_change_the_lock(packaged: Project) -> None:
    packaged.invoke("package", "--locked")
    told = packaged.invoke("package", "--locked", "--set", "model.exclude=[LICENSE.md]", code=1).stderr
    assert "--locked" in told


def test_a_lost_output_is_made_again_with_the_same_bytes(packaged: Project) -> None:
    before = packaged.sha256()
    packaged.archive.unlink()
    assert packaged.runs("package") == ["tar"]
    assert packaged.sha256() == before
    packaged.archive.write_bytes(b"short")
    assert packaged.runs("package") == ["tar"]
    assert packaged.sha256() == before


def test_without_any_local_state_the_same_bytes_come_again(packaged: Project) -> None:
    before = packaged.sha256()
    packaged.invoke("clean")
    assert not packaged.archive.exists()
    assert packaged.runs("package") == ["assemble", "checksum", "tar"]
    assert packaged.sha256() == before


def test_deploying_twice_does_it_once_and_destroy_leaves_nothing(packaged: Project) -> None:
    packaged.invoke("deploy")
    assert packaged.runs("deploy") == []
    assert packaged.runs("plan", "--to", "deploy") == []
    edit(packaged)
    again = packaged.actions("deploy")
    assert [step for step, action in again.items() if action["run"]] == ["assemble", "checksum", "upload", "deploy"]
    packaged.invoke("destroy", "--yes")
    packaged.invoke("destroy", "--yes")
    assert "deploy" in packaged.runs("plan", "--to", "deploy", code=2)


def test_predict_waits_on_both_paths_and_tells_the_failure(packaged: Project) -> None:
    packaged.invoke("deploy")
    # Without the serving stack of the image the sandbox's endpoint fails every request, and says so.
    run = packaged.invoke("predict", "--timeout", "60", code=None)
    assert run.returncode in (0, 3)
    if run.returncode:
        assert "serving" in run.stderr
    packaged.invoke("destroy", "--yes")


def test_killed_at_any_moment_the_same_command_finishes(packaged: Project) -> None:
    expected = packaged.sha256()
    for delay in (0.2, 0.35, 0.5, 0.7, 0.9, 1.2):
        packaged.invoke("clean")
        shutil.rmtree(packaged.root / "build" / "sandbox" / "huggingface", ignore_errors=True)
        command = subprocess.Popen(
            [*INVOKE, "package"],
            cwd=packaged.root,
            env=packaged.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        command.send_signal(signal.SIGKILL)
        command.wait()
        packaged.invoke("package")
        assert packaged.sha256() == expected
        assert sorted(path.name for path in packaged.archive.parent.iterdir()) == [
            "manifest.json",
            "model.tar.gz",
            "model.tar.gz.sha256",
        ]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("package", "--env", "prd"), "prod"),
        (("package", "--config", "config/nothing.yaml"), "config/nothing.yaml"),
        (("package", "--set", "endpoint.instanse_type=ml.g5.xlarge"), "instance_type"),
        (("package", "--set", "nonsense"), "key=value"),
        (("validate", "--set", "environment.HF_MODEL_ID=a/b"), "HF_MODEL_ID"),
    ],
)
def test_a_wrong_word_is_told_with_what_was_meant(project: Project, words: tuple[str, ...], text: str) -> None:
    assert text in project.invoke(*words, code=1).stderr


def test_no_command_prints_a_secret(packaged: Project) -> None:
    packaged.environment["HF_TOKEN"] = "hf_" + "s" * 34
    try:
        run = packaged.invoke("package", "--debug")
        assert "hf_sss" not in run.stdout + run.stderr
        for path in (packaged.root / "build").rglob("*.json"):
            assert b"hf_sss" not in path.read_bytes()
    finally:
        del packaged.environment["HF_TOKEN"]
