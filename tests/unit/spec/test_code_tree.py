"""What of the folder of inference code is packaged, excluded and refused."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sagepack.digest import Digest
from sagepack.errors import SpecError, UserError
from sagepack.package.contents import manifest_of
from sagepack.package.lock import Lock, LockedFile
from sagepack.package.revision import Revision
from sagepack.spec.code_tree import CodeTree, describe_excluded, scan
from sagepack.spec.inspection import Inspection
from sagepack.spec.secrets import texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    (folder / "helpers").mkdir(parents=True)
    (folder / "inference.py").write_text("x = 1\n")
    (folder / "helpers" / "images.py").write_text("")
    return folder


def assembled(folder: Path, requirements: str = "") -> CodeTree:
    inspection = Inspection(texts)
    generated = {"code/requirements.txt": requirements} if requirements else {}
    made = scan(folder.parent, (folder.name,), generated, inspection)
    if inspection.diagnostics:
        raise SpecError(inspection.diagnostics)
    return made


def paths(folder: Path, requirements: str = "") -> list[str]:
    return [file.path for file in assembled(folder, requirements).files]


def locked(*names: str) -> Lock:
    files = tuple(LockedFile(name, 0, Digest.sha256(b""), "0" * 40) for name in names)
    return Lock(Digest.sha256(b""), Revision("o/n", "0" * 40), files, (0, 0), "r:t", Digest.sha256(b""), "h")


def test_the_folder_becomes_code(folder: Path) -> None:
    assert paths(folder) == ["code/helpers/images.py", "code/inference.py"]


@pytest.mark.parametrize(
    "junk",
    ["__pycache__/a.cpython-311.pyc", "a.pyc", ".DS_Store", "._inference.py", ".git/HEAD", "inference.py~", ".x.swp"],
)
def test_what_tools_leave_behind_is_no_part_of_a_program(folder: Path, junk: str) -> None:
    (folder / junk).parent.mkdir(exist_ok=True)
    (folder / junk).write_text("junk")
    assert paths(folder) == ["code/helpers/images.py", "code/inference.py"]


def test_where_python_does_not_read_names_as_utf8_the_locale_is_to_blame(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / os.fsdecode(b"a\xff.py")).write_text("")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "ascii")
    with pytest.raises(UserError, match="set LC_ALL"):
        paths(folder)


def test_a_name_that_is_not_unicode_is_refused(folder: Path) -> None:
    (folder / os.fsdecode(b"a\xff.py")).write_text("")
    with pytest.raises(UserError, match="not UTF-8"):
        paths(folder)


def test_an_excluded_name_that_is_not_unicode_is_printable(folder: Path) -> None:
    (folder / os.fsdecode(b"a\xff.py~")).write_text("")
    (folder / os.fsdecode(b"b\xff")).mkdir()
    (folder / os.fsdecode(b"b\xff") / "pyvenv.cfg").write_text("")
    assert describe_excluded(assembled(folder).excluded).encode() == (
        b"left out 2: a\\xff.py~ (left by tools), b\\xff/ (a virtual environment)"
    )


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edited(_self: Inspection, path: Path, _where: str) -> Digest:
        path.write_text("longer than before\n")
        return Digest.sha256(b"")

    monkeypatch.setattr(Inspection, "read", edited)
    with pytest.raises(UserError, match="changed while it was read"):
        paths(folder)


def test_requirements_of_the_spec_become_a_file(folder: Path) -> None:
    parts = assembled(folder, "av==1.0\nx==2\n").files
    assert parts[-1].path == "code/requirements.txt"
    assert parts[-1].source == b"av==1.0\nx==2\n"


def test_two_places_for_requirements_are_refused(folder: Path) -> None:
    (folder / "requirements.txt").write_text("av\n")
    with pytest.raises(UserError, match=r"has a requirements\.txt"):
        paths(folder, "av==1.0\n")


def test_a_link_inside_the_folder_is_followed_and_one_out_of_it_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "same.py").symlink_to("inference.py")
    assert "code/same.py" in paths(folder)
    (tmp_path / "secret").write_text("x")
    (folder / "leak.py").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="points out of the folder"):
        paths(folder)


@pytest.mark.parametrize(
    ("name", "target", "text"), [("a", "gone", "broken link"), ("b", "helpers", "link to a folder")]
)
def test_links_that_an_archive_cannot_hold_are_refused(folder: Path, name: str, target: str, text: str) -> None:
    (folder / name).symlink_to(target)
    with pytest.raises(UserError, match=text):
        paths(folder)


def test_a_pipe_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        paths(folder)


def test_a_missing_folder_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"code\.path"):
        paths(tmp_path / "gone")


def test_the_executable_bit_is_part_of_the_inputs(folder: Path) -> None:
    before = assembled(folder).inputs
    (folder / "inference.py").chmod(0o755)
    assert assembled(folder).inputs != before


@pytest.mark.parametrize("name", ["code/inference.py", "code", "Code/x"])
def test_a_model_file_where_the_code_goes_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match="in the folder of the inference code"):
        manifest_of(locked(name), assembled(folder))


def test_model_and_code_make_one_manifest(folder: Path) -> None:
    manifest = manifest_of(locked("unet/config.json"), assembled(folder))
    assert [m.path for m in manifest.members] == ["unet/config.json", "code/helpers/images.py", "code/inference.py"]


def test_shared_folders_go_into_the_code_next_to_the_program(folder: Path) -> None:
    shared = folder.parent / "shared"
    shared.mkdir()
    (shared / "pictures.py").write_text("y = 2\n")
    inspection = Inspection(texts)
    tree = scan(folder.parent, (folder.name, "shared"), {}, inspection)
    assert inspection.diagnostics == []
    assert [file.path for file in tree.files] == ["code/helpers/images.py", "code/inference.py", "code/pictures.py"]


def test_two_folders_may_not_hold_the_same_file(folder: Path) -> None:
    shared = folder.parent / "shared"
    shared.mkdir()
    (shared / "inference.py").write_text("y = 2\n")
    inspection = Inspection(texts)
    scan(folder.parent, (folder.name, "shared"), {}, inspection)
    assert [found.location for found in inspection.diagnostics] == ["shared/inference.py"]
