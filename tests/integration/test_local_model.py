"""A model in a folder: packaged, published and verified like one of the Hub, and looked at by each command."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from sagepack import Project, sandbox
from sagepack.errors import SagepackError, SpecError, UserError
from sagepack.hub import hash_cache
from sagepack.progress import Silent
from sagepack.sandbox import adding
from tests.helpers import model_samples
from tests.helpers.paths import ROOT, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sagepack.api.results import Built

SPEC = """\
name: mine
model:
  path: models/mine
code:
  path: code_of/mine
image:
  repository: huggingface-pytorch-inference
  tag: 2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04
endpoint:
  name: mine
  instance_type: ml.g5.2xlarge
"""
NUMBERS = os.urandom(6 << 20) + b"0"  # more than the 5 MiB from which S3 copies
WEIGHTS = model_samples.safetensors({"w": model_samples.tensor(0, len(NUMBERS))}, NUMBERS)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    (root / "config" / "env").mkdir(parents=True)
    shutil.copyfile(ROOT / "config" / "env" / "local.yaml", root / "config" / "env" / "local.yaml")
    (root / "config" / "mine.yaml").write_text(SPEC)
    (root / "code_of" / "mine").mkdir(parents=True)
    (root / "code_of" / "mine" / "inference.py").write_text("def model_fn(model_dir): ...\n")
    yield root
    sandbox.stop(root)


@pytest.fixture
def root(home: Path) -> Path:
    """The project, whose model is as it was in the beginning."""
    shutil.rmtree(home / "models", ignore_errors=True)
    write(home, "config.json", b'{"model_type": "bert"}')
    write(home, "model.safetensors", WEIGHTS)
    write(home, "README.md", b"a model")
    return home


def write(root: Path, path: str, content: bytes) -> Path:
    """Write a file that is old enough for its digest to be kept."""
    file = root / "models" / "mine" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (time.time() - 60,) * 2)
    return file


def project(root: Path) -> Project:
    return Project(root, "config/mine.yaml")


def ran(built: Built) -> list[str]:
    return [action.step for action in built.actions if action.runs]


def reasons(root: Path) -> list[str]:
    return [reason for action in project(root).plan("lock").actions for reason in action.reasons]


def test_a_second_run_does_nothing_and_reads_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(root).package()
    monkeypatch.setattr(hash_cache, "_hash", None)
    assert ran(project(root).package(locked=True)) == []


def test_the_lock_names_the_folder_and_the_digest_of_each_chosen_file(root: Path) -> None:
    locked = project(root).lock(update=True)
    assert (locked.folder, locked.repo, locked.commit, locked.files) == ("models/mine", None, None, 2)
    document = yaml.safe_load((root / locked.path).read_text())
    jsonschema.validate(document, json.loads((SCHEMAS / "lock.schema.json").read_text()))
    assert [file["path"] for file in document["model"]["files"]] == ["config.json", "model.safetensors"]
    assert document["model"]["excluded"] == {"files": 1, "bytes": 7}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        ("model.safetensors", WEIGHTS[:-1] + b"x", "models/mine/model.safetensors changed"),
        ("vocab.txt", b"a", "models/mine/vocab.txt is new"),
        ("config.json", None, "models/mine/config.json is gone"),
    ],
)
def test_what_changed_in_the_folder_is_work_for_lock_and_refused_by_locked(
    root: Path, path: str, content: bytes | None, reason: str
) -> None:
    project(root).package()
    if content is None:
        (root / "models" / "mine" / path).unlink()
    else:
        write(root, path, content)
    assert reason in reasons(root)
    with pytest.raises(UserError, match="--locked"):
        project(root).package(locked=True)
    assert {"lock", "checksum", "tar"} <= set(ran(project(root).package()))
    assert project(root).verify(rebuild=True).rebuilt
    assert ran(project(root).package(locked=True)) == []


def test_it_is_published_once_and_after_an_edit_of_the_code_only_the_code_is_sent(root: Path) -> None:
    project(root).upload(stream=True)
    handler = root / "code_of" / "mine" / "inference.py"
    handler.write_text(handler.read_text() + f"# {time.time_ns()}\n")
    shutil.rmtree(root / "models")  # a machine that does not hold the weights
    plan = project(root).plan("upload")
    sent = {content.path: content.sent for content in plan.contents or ()}
    assert sent["model.safetensors"] == 0
    assert "upload" in ran(project(root).upload(locked=True))
    assert project(root).verify_remote(deep=True).files == 3
    with pytest.raises(UserError, match=r"models/mine/.*not on this machine"):
        project(root).package()


def test_code_that_cannot_serve_is_refused_by_a_build_until_it_is_corrected(root: Path) -> None:
    handler = root / "code_of" / "mine" / "inference.py"
    good = handler.read_text()
    handler.write_text(good + "\ndef predict_fn(data): ...\n")
    try:
        for run in (project(root).package, lambda: project(root).plan("package"), project(root).package):
            with pytest.raises(SpecError) as caught:
                run()
            (problem,) = caught.value.diagnostics
            assert problem.location.startswith("code_of/mine/inference.py:")
            assert "predict_fn has 1 parameter" in problem.message
    finally:
        handler.write_text(good)
    project(root).package()


def test_a_file_that_was_written_a_moment_ago_is_packaged_and_published(root: Path) -> None:
    (root / "models" / "mine" / "vocab.txt").write_text(f"{time.time_ns()}")
    assert "upload" in ran(project(root).upload())
    assert "tar" in ran(project(root).package())
    assert project(root).verify().files == 4


def test_a_diffusers_folder_gives_the_components_of_its_index(root: Path) -> None:
    (root / "models" / "mine" / "config.json").unlink()
    write(root, "model_index.json", b'{"_class_name": "P", "unet": ["diffusers", "UNet"]}')
    for path in ("unet/model.safetensors", "unet/model.fp16.safetensors", "vae/model.safetensors"):
        write(root, path, WEIGHTS[:-1] + path[:1].encode())
    locked = project(root).lock()
    text = (root / locked.path).read_text()
    assert "unet/model.fp16.safetensors" in text
    assert "unet/model.safetensors" not in text
    assert "vae/" not in text


def test_nothing_that_must_not_be_published_gets_into_the_lock(root: Path) -> None:
    before = (root / project(root).lock().path).read_bytes()
    write(root, ".aws/credentials", b"x")
    (root / "models" / "mine" / "vocab.txt").symlink_to("/etc/passwd")
    os.mkfifo(root / "models" / "mine" / "pipe.json")
    with pytest.raises(SpecError) as caught:
        project(root).lock()
    assert {found.location for found in caught.value.diagnostics} == {
        "models/mine/.aws",
        "models/mine/vocab.txt",
        "models/mine/pipe.json",
    }
    shutil.rmtree(root / "models" / "mine" / ".aws")
    for path in ("vocab.txt", "pipe.json"):
        (root / "models" / "mine" / path).unlink()
    write(root, "tokenizer.json", ('{"hf_token": "hf_' + 'abcdefghijklmnopqrstuvwxyzABCDEFGH"}').encode())
    with pytest.raises(SpecError, match=r"models/mine/tokenizer.json:1: contains"):
        project(root).plan("lock")
    assert (root / "config" / "locks" / "mine-local.lock.yaml").read_bytes() == before


def test_a_pointer_of_git_lfs_is_not_taken_for_the_file(root: Path) -> None:
    write(root, "model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    for _ in range(2):  # its digest is known the second time
        with pytest.raises(SpecError, match=r"(?s)model\.safetensors: this is a pointer.*git lfs pull"):
            project(root).package()


@pytest.mark.parametrize(
    ("path", "told"),
    [("code/inference.py", "folder of the inference code"), ("a\tb.json", "control character")],
)
def test_a_path_that_no_package_can_hold_is_refused_by_lock_with_what_to_do(root: Path, path: str, told: str) -> None:
    write(root, path, b"x")
    with pytest.raises(UserError, match=told) as caught:
        project(root).lock()
    assert "model.exclude" in (caught.value.fix or "")


def test_plan_needs_to_write_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project(root).package()
    write(root, "model.safetensors", WEIGHTS[:-1] + b"z")

    def refuse(_self: object) -> None:
        raise PermissionError

    monkeypatch.setattr(hash_cache.HashCache, "save", refuse)
    assert "models/mine/model.safetensors changed" in reasons(root)


def test_a_folder_without_a_file_or_that_is_not_there_is_told_as_such(root: Path) -> None:
    (root / "models" / "empty").mkdir()
    for path, told in (("models/empty", "holds no file"), ("models/nope", "no such folder")):
        (root / "config" / "other.yaml").write_text(SPEC.replace("models/mine", path).replace(": mine", ": other"))
        with pytest.raises(UserError, match=told):
            Project(root, "config/other.yaml").lock()
    (root / "config" / "other.yaml").unlink()


class Meddler(Silent):
    """Writes to the model as soon as the manifest is made."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def step(self, name: str, reasons: Sequence[str]) -> Iterator[None]:  # noqa: ARG002
        yield
        if name == "checksum":
            write(self.root, "model.safetensors", WEIGHTS[:-1] + b"x")


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["package", "upload"])
def test_a_file_that_changes_during_a_run_is_found_and_the_next_run_takes_it(root: Path, goal: str) -> None:
    write(root, "model.safetensors", WEIGHTS[:-1] + goal[:1].encode())
    meddled = Project(root, "config/mine.yaml", progress=Meddler(root))
    with pytest.raises(SagepackError, match=r"model\.safetensors"):
        meddled.build(goal)
    built = project(root).build(goal)
    assert {"lock", "checksum"} <= set(ran(built))
    assert ran(project(root).build(goal, locked=True)) == []
    assert goal == "package" or project(root).verify_remote(deep=True).files == 3


def test_a_folder_and_a_repository_of_the_same_files_give_the_same_package(root: Path) -> None:
    folder = project(root).package()
    spec = root / "config" / "added.yaml"
    named = SPEC.replace(": mine", ": added")
    spec.write_text(named.replace("  path: models/mine", f"  id: acme/mine\n  revision: {'a' * 40}"))
    with pytest.raises(UserError, match=r"(?s)sandbox's Hub holds only .*sandbox\.add acme/mine FOLDER"):
        Project(root, "config/added.yaml").package()
    commit = adding.add(sandbox.ensure(root), "acme/mine", root / "models" / "mine")
    spec.write_text(named.replace("  path: models/mine", f'  id: acme/mine\n  revision: "{commit}"'))
    added = Project(root, "config/added.yaml").package()
    spec.unlink()
    assert added.manifest == folder.manifest
    assert added.archive is not None
    assert folder.archive is not None
    assert added.archive.sha256 == folder.archive.sha256
