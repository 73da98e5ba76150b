"""Downloads from the sandbox's Hub, with the faults a network has, judged by the real client."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import HfApi, snapshot_download

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.fetch.cachelayout import RepoCache
from sagepack.fetch.download import download, survey
from sagepack.fetch.locking import locked_files
from sagepack.fetch.partial import PIECE
from sagepack.fetch.trust import Trust
from sagepack.progress import Silent
from sagepack.remote.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sagepack.lock import LockedFile
    from sagepack.sandbox.faults import Faults, Request
    from sagepack.sandbox.service import Service

REPO = "me/large"
LARGE = "model.safetensors"
LARGE_SIZE = 5 * PIECE + 12_345


class Told:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.total = self.added = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        assert label
        self.total += total
        lock = threading.Lock()

        def add(count: int) -> None:
            with lock:
                self.added += count

        yield add


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    (folder / LARGE).write_bytes(random.Random(1).randbytes(LARGE_SIZE))
    (folder / "config.json").write_text("{}")
    (folder / "empty.txt").write_text("")
    (folder / "sub").mkdir()
    (folder / "sub/config.json").write_text("{}")
    (folder / "sub/small.safetensors").write_bytes(b"small weights")
    return folder


class Scene:
    """One repository at the sandbox, a cache that is empty at first, and a client of ours."""

    def __init__(self, sandbox: Service, folder: Path, home: Path) -> None:
        self.sandbox, self.folder, self.home = sandbox, folder, home
        self.commit = sandbox.hub.content.add(REPO, folder)
        self.hub = Hub(sandbox.hub_url, sandbox.hf_token, home / "hub", backoff=0.01)
        self.cache = RepoCache(home / "hub", REPO)
        self.told = Told()
        self.files: list[LockedFile] = locked_files(self.hub, REPO, self.commit, self.hub.files(REPO, self.commit))
        sandbox.faults.clear()

    @property
    def large(self) -> LockedFile:
        return next(file for file in self.files if file.path == LARGE)

    def get(self, **options: Any) -> dict[str, Path]:
        options.setdefault("files", self.files)
        trust = Trust(self.home / "trust.json")
        files = options.pop("files")
        return download(self.hub, REPO, self.commit, files, trust=trust, progress=self.told, **options)

    def check(self, got: dict[str, Path]) -> None:
        assert {path: file.read_bytes() for path, file in got.items()} == {
            file.path: (self.folder / file.path).read_bytes() for file in self.files
        }

    def leftovers(self) -> list[str]:
        known = {file.blob for file in self.files}
        return sorted(file.name for file in (self.cache.folder / "blobs").iterdir() if file.name not in known)

    def bodies(self, path: str = LARGE) -> list[Request]:
        return [
            request
            for request in self.sandbox.faults.log
            if request.method == "GET" and request.path.endswith(path) and request.status in {200, 206} and request.sent
        ]


@pytest.fixture
def scene(sandbox: Service, model: Path, tmp_path: Path) -> Scene:
    return Scene(sandbox, model, tmp_path)


def test_every_file_arrives_as_it_is(scene: Scene) -> None:
    scene.check(scene.get())
    assert scene.leftovers() == []
    assert scene.told.added == scene.told.total == sum({file.blob: file.size for file in scene.files}.values())
