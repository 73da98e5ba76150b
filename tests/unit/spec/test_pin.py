"""The commit is written in place of the branch, and nothing else of the file changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.spec import loader
from sagepack.spec.pin import with_revision, write_commit
from tests.helpers.specs import COMMIT, SPEC, project

if TYPE_CHECKING:
    from pathlib import Path

DIGITS = "1" * 40


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("  revision: main\n", f"  revision: {COMMIT}\n"),
        ("  revision:   'main'   # of today\n", f"  revision:   {COMMIT}   # of today\n"),
        ('  "revision" : "ma\\u0069n"', f'  "revision" : {COMMIT}'),
        ("  revision:\n    main\n  exclude: [größe]\n", f"  revision:\n    {COMMIT}\n  exclude: [größe]\n"),
        ("  revision: refs/pr/1\r\n  variant: fp16\r\n", f"  revision: {COMMIT}\r\n  variant: fp16\r\n"),
    ],
)
def test_only_the_value_of_the_revision_changes(before: str, after: str) -> None:
    head = "# größe 😀\nname: toy # main\nmodel:\n  id: a/main\n"
    assert with_revision(head + before, COMMIT) == head + after


def test_a_map_on_one_line_and_a_mark_of_the_byte_order_stay_as_they_are() -> None:
    text = "\ufeff{name: toy, model: {revision: main, id: main/main}}\n"
    assert with_revision(text, COMMIT) == text.replace("revision: main", f"revision: {COMMIT}")


def test_a_commit_of_digits_stays_text() -> None:
    assert with_revision("model:\n  revision: main\n", DIGITS) == f'model:\n  revision: "{DIGITS}"\n'


@pytest.mark.parametrize(
    "text",
    [
        "name: &r main\nmodel: {revision: *r}\n",
        "model: {revision: &r main}\nname: *r\n",
        "base: &m {revision: main}\nmodel: *m\n",
        "model: [revision, main]\n",
        "model: {id: a/b}\n",
        "model: {revision: {a: b}}\n",
        "model: main\n",
        "model: {revision: main\n",
        "",
    ],
)
def test_what_is_written_in_another_way_is_left_to_the_user(text: str) -> None:
    assert with_revision(text, COMMIT) is None


def test_the_layer_that_names_the_branch_gets_the_commit(tmp_path: Path) -> None:
    config = project(tmp_path, SPEC.replace(COMMIT, "main"))
    overlay = config.parent / "env" / "test.yaml"
    overlay.write_text(overlay.read_text() + "model:\n  revision: v2\n")
    overlay.chmod(0o640)
    spec = config.read_bytes()
    document, files = loader.load(config, "test", (), tmp_path), loader.files_of(config, "test", tmp_path)
    assert write_commit(document, files, DIGITS) == "config/env/test.yaml"
    assert overlay.read_text().endswith(f'model:\n  revision: "{DIGITS}"\n')
    assert config.read_bytes() == spec
    assert overlay.stat().st_mode & 0o777 == 0o640


def test_a_branch_from_the_command_line_is_in_no_file(tmp_path: Path) -> None:
    config = project(tmp_path)
    document = loader.load(config, "test", ["model.revision=main"], tmp_path)
    with pytest.raises(UserError, match=r"(?s)--set model.revision.*without --set"):
        write_commit(document, loader.files_of(config, "test", tmp_path), DIGITS)
