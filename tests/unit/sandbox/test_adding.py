"""What may be added to the sandbox's Hub."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.sandbox import adding
from sagepack.sandbox.miniatures import models as miniatures

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    (model / "unet").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "unet" / "config.json").symlink_to("../config.json")
    return model


def refused(name: str, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        adding.check(name, folder)
    assert caught.value.exit_code == 1
    return "\n".join([str(caught.value), *caught.value.details])


def test_a_folder_of_files_and_links_within_it_may_be_added(folder: Path) -> None:
    adding.check("acme/sst2", folder)


@pytest.mark.parametrize("name", ["sst2", "", "acme/", "/sst2", "a/b/c", "acme/ß", "acme/.git", "acme/a--b", "../b"])
def test_a_name_that_the_hub_would_not_take_is_refused_with_its_form(name: str, folder: Path) -> None:
    assert "write it as owner/name" in refused(name, folder)


def test_a_miniature_keeps_its_name(folder: Path) -> None:
    for model in miniatures.MODELS:
        assert "choose another name" in refused(model.name.upper(), folder)


def test_a_folder_that_is_missing_empty_or_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    (tmp_path / "empty" / ".git" / "HEAD").write_text("x")
    assert "no such folder" in refused("acme/sst2", tmp_path / "nope")
    assert "not a folder" in refused("acme/sst2", folder / "config.json")
    assert "no file" in refused("acme/sst2", tmp_path / "empty")


def test_everything_that_no_repository_can_hold_is_told_at_once(folder: Path, tmp_path: Path) -> None:
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "secret").write_text("x")
    (folder / "secret").symlink_to(tmp_path / "secret")
    (folder / "vae").symlink_to("unet")
    os.mkfifo(folder / "pipe")
    (folder / "model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    told = refused("acme/sst2", folder)
    for line in (
        "out: broken link",
        "secret: the link points out",
        "vae: a link to a folder",
        "pipe: this is neither",
        "model.bin: a pointer of git LFS",
    ):
        assert line in told


def test_a_snapshot_of_the_hugging_face_cache_may_be_added_although_it_is_made_of_links(tmp_path: Path) -> None:
    cache = tmp_path / "models--acme--sst2"
    snapshot = cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    (cache / "blobs" / "abc").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blobs/abc")
    adding.check("acme/sst2", snapshot)
