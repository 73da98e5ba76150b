"""A job's own lines: what a person reads when it failed, and the newest of them while it runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sagepack.api.fleet.log import LogFile, last_line
from sagepack.errors import Diagnostic

if TYPE_CHECKING:
    from pathlib import Path


def test_a_log_has_steps_notes_and_warnings_each_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    with path.open("w", encoding="utf-8") as file:
        progress = LogFile(file)
        with progress.activity("asking AWS"):
            progress.warn(Diagnostic(("code", "path"), "odd", "mend it", location="a.yaml:1:1"))
        with progress.step("upload", ["the package is not in S3"]), progress.bar("sending", 10) as add:
            add(10)
            progress.done("10 B sent")
        with pytest.raises(KeyError), progress.step("deploy", ["first run"]):
            raise KeyError
        progress.note("a\x1b[2Jb\nc")
    lines = path.read_text().splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in lines)
    assert [re.sub(r"\(.*\)", "(TIME)", line[9:]) for line in lines] == [
        "asking AWS ...",
        "warning: a.yaml:1:1: code.path: odd",
        "warning:   mend it",
        "upload: the package is not in S3",
        "upload: 10 B sent",
        "upload: ended (TIME)",
        "deploy: first run",
        "deploy: stopped (TIME)",
        r"a\x1b[2Jb\nc",
    ]
    assert last_line(path) == r"a\x1b[2Jb\nc"
    progress.note("from a thread that ends after its job")
    assert len(path.read_text().splitlines()) == len(lines)


def test_a_log_that_is_not_there_or_empty_has_no_last_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert [last_line(tmp_path / name) for name in ("empty", "missing")] == ["", ""]
