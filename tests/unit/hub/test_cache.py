from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.hub.cache import RepoCache, default_cache
from sagepack.package.lock import LockedFile
from sagepack.package.revision import Revision

AA, BB = "a" * 40, "b" * 64
REVISION = Revision("o/n", "0" * 40)
FILES = {"unet/deep/model.bin": AA, "config.json": "c" * 40, "other.bin": "d" * 40}  # path -> ETag
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
    cache = RepoCache(tmp_path, REVISION)
    for etag in (AA, BB):
        cache.blob(etag).parent.mkdir(parents=True, exist_ok=True)
        cache.blob(etag).write_text(etag)
    pointer = cache.link("sub/file", AA)
    assert pointer.readlink() == Path("../../../blobs", AA)
    assert cache.link("sub/file", BB).read_text() == BB
    pointer.unlink()
    pointer.write_text("a file")
    assert cache.link("sub/file", AA).read_text() == AA
    assert [path.name for path in pointer.parent.iterdir()] == ["file"]


def test_a_file_system_without_links_gets_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Path, _target: str) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    cache = RepoCache(tmp_path, REVISION)
    cache.blob(AA).parent.mkdir(parents=True)
    cache.blob(AA).write_text("content")
    pointer = cache.link("file", AA)
    assert (pointer.is_symlink(), pointer.read_text()) == (False, "content")


@pytest.mark.parametrize("path", ["../x", "/x", "a/../../x", "", "a//b", "a\\b"])
def test_no_path_leaves_the_snapshot(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError):
        RepoCache(tmp_path, REVISION).snapshot(path)


@pytest.mark.parametrize("name", ["", "../x", "/x", "a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n", "*" * 40, "main"])
def test_no_name_of_a_content_or_commit_leaves_its_folder(tmp_path: Path, name: str) -> None:
    cache = RepoCache(tmp_path, REVISION)
    uses: list[Callable[[], object]] = [
        lambda: cache.blob(name),
        lambda: cache.partial(name),
        lambda: cache.mismatch(name),
        lambda: cache.sweep(name),
        lambda: cache.link("file", name),
        lambda: RepoCache(tmp_path, Revision("o/n", name)).snapshot("file"),
    ]
    for use in uses:
        with pytest.raises(IntegrityError, match="40 or 64 hex digits"):
            use()
    assert list(tmp_path.rglob("*.*")) == []


def test_sweeping_takes_only_what_belongs_to_the_blob(tmp_path: Path) -> None:
    cache = RepoCache(tmp_path, REVISION)
    cache.blob(AA).parent.mkdir(parents=True)
    cache.lock_path.parent.mkdir(parents=True)
    for name in (AA, f"{AA}.incomplete", f"{AA}.12345678.incomplete", f"{AA}.sagepack-mismatch", f"{BB}.incomplete"):
        cache.blob(AA).with_name(name).write_text(name)
    cache.partial(AA).write_text("")
    cache.sweep(AA)
    assert sorted(file.name for file in cache.blob(AA).parent.iterdir()) == [AA, f"{BB}.incomplete"]


def test_a_content_may_be_wherever_it_is_listed_and_nowhere_else(tmp_path: Path) -> None:
    cache = RepoCache(tmp_path, REVISION)
    by_path, by_content, nowhere = (LockedFile(path, 1, Digest("sha256", BB), etag) for path, etag in FILES.items())
    assert not any(map(cache.inventory(), (by_path, by_content, nowhere)))
    cache.blob(by_content.etag).parent.mkdir(parents=True)
    cache.blob(by_content.etag).write_text("x")
    cache.partial(nowhere.etag).write_text("x")
    pointer = cache.snapshot(by_path.path)
    pointer.parent.mkdir(parents=True)
    pointer.symlink_to("gone")
    assert [*map(cache.inventory(), (by_path, by_content, nowhere))] == [True, True, False]
