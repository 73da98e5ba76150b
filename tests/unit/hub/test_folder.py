"""A folder in the place of a repository: which files it has, and why one of them cannot be packaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sagepack.errors import UserError
from sagepack.hub.folder import ModelFolder


def model(tmp_path: Path, *paths: str) -> ModelFolder:
    for path in paths:
        file = tmp_path / "models" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return ModelFolder(tmp_path / "models", "./models/")


def test_files_have_their_paths_and_sizes_and_what_tools_leave_is_no_part_of_the_model(tmp_path: Path) -> None:
    left = (
        ".git/HEAD",
        ".gitattributes",
        ".cache/huggingface/download/a.metadata",
        "unet/.DS_Store",
        "a/__pycache__/b.pyc",
    )
    folder = model(tmp_path, "config.json", "unet/größe.bin", ".cache/mine", *left)
    assert [(file.path, file.size, file.problem) for file in folder.files()] == [
        (".cache/mine", 11, None),
        ("config.json", 11, None),
        ("unet/größe.bin", 16, None),
    ]


def test_what_cannot_be_packaged_is_listed_with_the_reason_so_that_it_can_be_excluded(tmp_path: Path) -> None:
    folder = model(tmp_path, "config.json")
    (folder.folder / "alias.json").symlink_to("config.json")
    (folder.folder / "out").symlink_to("/etc/passwd")
    (folder.folder / "self").symlink_to("self")
    (folder.folder / "vae").symlink_to(".")
    os.mkfifo(folder.folder / "pipe")
    Path(os.fsdecode(os.fsencode(folder.folder) + b"/\xff")).write_text("x")
    found = {file.path: (file.problem or ("",))[0] for file in folder.files()}
    assert found.pop("alias.json") == found.pop("config.json") == ""
    assert [found[name].split(",")[0] for name in sorted(found)] == [
        "the name is not UTF-8",
        "the link points out of the folder",
        "this is neither a file nor a folder",
        "broken link",
        "a link to a folder cannot be packaged",
    ]


def test_the_snapshot_of_a_cache_is_a_folder_of_files(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--o--n" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--o--n" / "blob").write_text("{}")
    (tmp_path / "elsewhere").write_text("{}")
    (snapshot / "config.json").symlink_to("../../blob")
    (snapshot / "other.json").symlink_to("../../../elsewhere")
    config, other = ModelFolder(snapshot, "snapshot").files()
    assert config.problem is None
    assert other.problem is not None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\\b"])
def test_no_path_leads_out_of_the_folder(path: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="path"):
        model(tmp_path, "a").snapshot(path)


def test_messages_name_a_file_as_the_spec_names_the_folder(tmp_path: Path) -> None:
    assert model(tmp_path, "a").display("unet/a") == "models/unet/a"
