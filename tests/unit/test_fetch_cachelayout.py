from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sagepack.errors import UserError
from sagepack.fetch.cachelayout import RepoCache, default_cache

COMMIT = "0" * 40
ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"XDG_CACHE_HOME": "/x"},
    {"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/x"},
    {"HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/h"},
    {"HF_HUB_CACHE": "$HOME/c", "HUGGINGFACE_HUB_CACHE": "/old"},
]


def test_the_default_cache_is_the_clients() -> None:
    ours, theirs = [], []
    for environment in ENVIRONMENTS:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours.append(str(default_cache(environment)))
        program = "import json; from huggingface_hub import constants; print(json.dumps(constants.HF_HUB_CACHE))"
        run = subprocess.run(
            [sys.executable, "-c", program], env={**kept, **environment}, capture_output=True, check=True, timeout=120
        )
        theirs.append(json.loads(run.stdout))
    assert ours == theirs


def test_a_link_replaces_whatever_was_there(tmp_path: Path) -> None:
    cache = RepoCache(tmp_path, "o/n")
    for etag in ("aa", "bb"):
        cache.blob(etag).parent.mkdir(parents=True, exist_ok=True)
        cache.blob(etag).write_text(etag)
    pointer = cache.link(COMMIT, "sub/file", "aa")
    assert pointer.readlink() == Path("../../../blobs/aa")
    assert cache.link(COMMIT, "sub/file", "bb").read_text() == "bb"
    pointer.unlink()
    pointer.write_text("a file")
    assert cache.link(COMMIT, "sub/file", "aa").read_text() == "aa"
    assert [path.name for path in pointer.parent.iterdir()] == ["file"]


def test_a_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _target: str) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    cache = RepoCache(tmp_path, "o/n")
    cache.blob("aa").parent.mkdir(parents=True)
    cache.blob("aa").write_text("content")
    pointer = cache.link(COMMIT, "file", "aa")
    assert (pointer.is_symlink(), pointer.read_text()) == (False, "content")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a//b", "a\\b"])
def test_no_path_leaves_the_snapshot(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError):
        RepoCache(tmp_path, "o/n").snapshot(COMMIT, path)


def test_sweeping_takes_only_what_belongs_to_the_blob(tmp_path: Path) -> None:
    cache = RepoCache(tmp_path, "o/n")
    cache.blob("aa").parent.mkdir(parents=True)
    cache.lock.parent.mkdir(parents=True)
    for name in ("aa", "aa.incomplete", "aa.12345678.incomplete", "aa.sagepack-mismatch", "ab.incomplete"):
        cache.blob(name).write_text(name)
    cache.partial("aa").write_text("")
    cache.sweep("aa")
    assert sorted(file.name for file in cache.blob("aa").parent.iterdir()) == ["aa", "ab.incomplete"]
