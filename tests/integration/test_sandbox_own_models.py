"""Models of the user's own in the sandbox's Hub: they outlive the process, and a commit never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from sagepack import sandbox
from sagepack.errors import UserError
from sagepack.hub import address
from sagepack.hub.client import Hub
from sagepack.package.revision import Revision
from sagepack.sandbox import adding, process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "acme/sst2"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    sandbox.stop(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    for path in ("config.json", "model.safetensors", ".gitattributes", ".git/HEAD", ".cache/huggingface/x.metadata"):
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_text(path)
    return model


def files(project: Path, commit: str) -> list[str]:
    box = sandbox.ensure(project)
    return sorted(HfApi(endpoint=box.hub_url, token=box.hf_token).list_repo_files(NAME, revision=commit))


@pytest.mark.slow
def test_a_model_outlives_the_sandbox_and_is_forgotten_with_its_files(project: Path, folder: Path) -> None:
    commit = adding.add(sandbox.ensure(project), NAME, folder)
    assert adding.add(sandbox.ensure(project), NAME, folder) == commit
    # As `hf upload` leaves out what git and `hf download` keep beside the files.
    assert files(project, commit) == [".gitattributes", "config.json", "model.safetensors"]
    assert sandbox.stop(project)
    assert files(project, commit) == files(project, "main") != []
    sandbox.remove(project)
    with pytest.raises(RepositoryNotFoundError):
        files(project, commit)


def test_a_commit_is_not_served_with_other_content(project: Path, folder: Path) -> None:
    box = sandbox.ensure(project)
    before = adding.add(box, NAME, folder)
    hub = Hub(box.hub_url, box.hf_token, source=address.SANDBOX, backoff=0.001)
    assert b"".join(hub.open(Revision(NAME, before), "model.safetensors")) == b"model.safetensors"
    (folder / "model.safetensors").write_text("other weights")
    for ask in (
        lambda: hub.files(Revision(NAME, before)),
        lambda: list(hub.open(Revision(NAME, before), "config.json")),
    ):
        (folder / "config.json").write_text("{ }")
        with pytest.raises(UserError, match=rf"(?s)has changed since it was added.*sandbox.add {NAME} FOLDER"):
            ask()
    after = adding.add(box, NAME, folder)
    assert after != before
    assert b"".join(hub.open(Revision(NAME, after), "model.safetensors")) == b"other weights"
    with pytest.raises(RevisionNotFoundError):
        files(project, before)


@pytest.mark.slow
def test_a_folder_that_is_gone_does_not_keep_the_sandbox_from_its_start(project: Path, folder: Path) -> None:
    commit = adding.add(sandbox.ensure(project), NAME, folder)
    sandbox.stop(project)
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(RevisionNotFoundError):
        files(project, commit)
    folder.with_name("elsewhere").rename(folder)
    assert "config.json" in files(project, commit)
    (process.folder(project) / process.OWN_MODELS).write_text("{")
    sandbox.stop(project)
    with pytest.raises(RepositoryNotFoundError):
        files(project, commit)


def test_a_file_that_cannot_be_read_is_the_users_to_correct(project: Path, folder: Path) -> None:
    (folder / "gone").symlink_to("nowhere")
    with pytest.raises(UserError, match="No such file"):
        adding.add(sandbox.ensure(project), NAME, folder)
