"""Damage on this disk: whatever is flipped, the next `package` gives the right bytes, or says what is wrong.

A real package of the sandbox's miniature, built by the steps themselves; what is attacked lies on a real file system.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sagepack.aws.session import AwsConnection
from sagepack.digest import fingerprint
from sagepack.engine import executor
from sagepack.engine import verify as verifying
from sagepack.engine.clients import Clients, Connections
from sagepack.engine.context import BuildContext
from sagepack.engine.steps import steps_to
from sagepack.engine.workspace import Workspace
from sagepack.errors import IntegrityError, UserError
from sagepack.files import FileStamp, backdate_mtime
from sagepack.progress import Silent
from sagepack.spec import loader
from sagepack.spec.program import check
from tests.helpers.cloud import check_once
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.servers import Servers

CODE = "inference_code/svd/inference.py"


class Project:
    """A project that is packaged in this process, and the sums of its two states: with and without an edit."""

    def __init__(self, root: Path, sandbox: Servers) -> None:
        self.root = root
        for name in ("config", "inference_code"):
            shutil.copytree(ROOT / name, root / name)
        self.work = Workspace(root, "svd", "local")
        self._aws = AwsConnection(sandbox.region, None, sandbox.aws_url, sandbox.access_key, sandbox.secret_key)
        self._connections = Connections(self._aws, sandbox.hub_url, sandbox.hf_token)
        self._code = (root / CODE).read_bytes()
        self.sums: list[str] = []
        for edited in (True, False):
            self.edit(edited=edited)
            self.package()
            self.sums.insert(0, self.sha256())
        assert self.sums[0] != self.sums[1]

    def build(self) -> BuildContext:
        spec = loader.load(self.root / "config" / "svd.yaml", "local", [], self.root).spec()
        progress = Silent()
        return BuildContext(
            spec,
            self.work,
            steps_to("package"),
            lambda cache: Clients(self._connections, spec.artifact, cache, progress.note),
            self.root / "hub",
            progress,
            keep_lock=True,
        )

    def edit(self, *, edited: bool) -> None:
        (self.root / CODE).write_bytes(self._code + (b"# edited\n" if edited else b""))

    def package(self) -> list[str]:
        return [action.step for action in executor.run(self.build())[1] if action.runs]

    def verify(self) -> None:
        verifying.verify_local(self.build())

    def sha256(self) -> str:
        return hashlib.sha256(self.work.archive_path.read_bytes()).hexdigest()

    def check(self, *, edited: bool = False) -> None:
        """Archive, sum and manifest are those of a build on a machine where nothing is ever damaged."""
        assert self.sha256() == self.sums[edited]
        assert self.work.archive_sha256_path.read_text() == f"{self.sums[edited]}  model.tar.gz\n"
        assert self.work.dist_manifest_path.read_bytes() == self.work.manifest_path.read_bytes()

    def weights(self) -> Path:
        """The largest file of the cache."""
        return max((path for path in (self.root / "hub").rglob("blobs/*")), key=lambda path: path.stat().st_size)


@pytest.fixture
def project(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(check, "check", check_once)
    return Project(tmp_path / "project", sandbox)


def flip(path: Path, bit: int) -> None:
    """Flip one bit and put the modification time back, as rot does; the change time nobody can put back."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_whatever_bit_is_flipped_the_next_package_has_the_right_bytes(project: Project) -> None:
    """Each file of `build/` and `dist/` in turn, and the records most often; every second time the code is edited too."""
    noise = random.Random(11)
    places = [path for path in sorted(project.root.glob("build/**/*")) if path.is_file() and path.stat().st_size]
    places += sorted(project.work.dist_path.iterdir())
    assert {"tar.json", "assemble.json", "checksum.json", "hash-cache.json", "manifest.json", "model.tar.gz"} <= {
        path.name for path in places
    }
    records = [path for path in places if path.suffix == ".json"]
    edited = False
    for turn, path in enumerate([*places, *records, *records]):
        flip(path, noise.randrange(8 * path.stat().st_size))
        edited ^= bool(turn % 2)
        project.edit(edited=edited)
        project.package()
        project.check(edited=edited)


@pytest.mark.slow
def test_a_flipped_bit_anywhere_in_the_record_of_the_archive_is_never_believed(project: Project) -> None:
    """A wrong CRC or SHA-256 state there would give a wrong archive, or a wrong sum, at the next edit of the code."""
    record = project.work.build_path / "records" / "tar.json"
    for turn in range(40):
        flip(record, 8 * (turn * (record.stat().st_size - 1) // 39) + turn % 3)
        project.edit(edited=turn % 2 == 0)
        project.package()
        project.check(edited=turn % 2 == 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", '{"format": 3}', "[" * 50_000, "\x00" * 100],
    ids=["empty", "cut", "list", "bare", "deep", "zeros"],
)
def test_whatever_is_in_a_record_the_step_runs_again(project: Project, text: str) -> None:
    for path in (*(project.work.build_path / "records").iterdir(), project.root / "build" / "hash-cache.json"):
        path.write_text(text)
    project.package()
    project.check()


def rot(project: Project) -> None:
    """Let the largest file of the cache hold another byte than when it was hashed, under the same stamp."""
    weights = project.weights()
    with weights.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as view:
        byte = view[1000]
        view[1000] = byte  # from now on the page is writable
        backdate_mtime(weights)
        before = FileStamp.of(weights.stat())
        project.build().hash_cache.forget([weights])
        trust = project.build().hash_cache
        trust.digest(weights)
        trust.save()
        view[1000] = byte ^ 1
        assert FileStamp.of(weights.stat()) == before
        assert trust.get(weights) is not None, "the stamp shows nothing"


def test_a_rotten_file_under_its_old_stamp_is_not_packaged_and_is_fetched_again(project: Project) -> None:
    rot(project)
    project.work.archive_path.unlink()
    with pytest.raises(IntegrityError, match="other bytes than when it was hashed") as caught:
        project.package()
    assert str(project.root / "hub") in (caught.value.where or "")
    assert project.package() == ["download", "tar"]
    project.check()
    project.verify()


def test_the_old_archive_stays_when_a_file_turns_out_to_be_rotten(project: Project) -> None:
    rot(project)
    (project.work.build_path / "records" / "tar.json").unlink()
    with pytest.raises(IntegrityError):
        project.package()
    project.check()


def rotten_archive(project: Project) -> None:
    """An archive that was written from a rotten file before anybody noticed, and its sum fits."""
    rot(project)
    data, weights = bytearray(project.work.archive_path.read_bytes()), project.weights().read_bytes()
    place = data.index(weights[1001:1200])
    data[place - 1] = weights[1000]
    project.work.archive_path.write_bytes(data)


def test_verify_that_refuses_is_never_followed_by_a_package_that_leaves_it_so(project: Project) -> None:
    for damage in (rot, rotten_archive, lambda project: flip(project.work.archive_path, 8 * 100_000)):
        damage(project)
        flip(project.work.archive_path, 8 * 5000)
        with pytest.raises(IntegrityError, match="offset") as caught:
            project.verify()
        assert "invoke package" in (caught.value.fix or "")
        assert str(project.root / "hub") in (caught.value.fix or "")
        project.package()
        project.check()
        project.verify()


@pytest.mark.slow
@pytest.mark.parametrize("bit", [3, 8 * 30, 8 * 64 + 1, 8 * 65 + 1, 8 * 66, 8 * 77 + 2, 8 * 78])
def test_verify_reads_the_sum_and_the_name_as_sha256sum_does(project: Project, bit: int) -> None:
    flip(project.work.archive_sha256_path, bit)
    with pytest.raises(IntegrityError, match="the file says") as caught:
        project.verify()
    assert caught.value.where == "dist/svd/local/model.tar.gz.sha256"
    assert "\n" not in caught.value.message
    assert project.package() == ["tar"]
    project.check()


def test_a_manifest_next_to_the_archive_is_checked_before_it_is_used(project: Project) -> None:
    whole = project.work.dist_manifest_path.read_bytes()
    for old, new in ((b'"size": ', b'"size": -'), (b'"size": ', b'"size": "9", "x": '), (b"{", b"[" * 50_000)):
        project.work.dist_manifest_path.write_bytes(whole.replace(old, new, 1))
        with pytest.raises(IntegrityError, match="this is not a manifest") as caught:
            project.verify()
        assert not any(name in str(caught.value) for name in ("Error", "Exception"))
        assert project.package() == ["tar"]
        project.check()


def test_after_a_restart_of_the_machine_everything_is_read_once_and_nothing_is_written_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode = project.work.archive_path.stat().st_ino
    monkeypatch.setattr("sagepack.files.boot", lambda: "another")
    monkeypatch.setattr("sagepack.hub.hash_cache.boot", lambda: "another")
    monkeypatch.setattr("sagepack.engine.steps.tar.boot", lambda: "another")
    assert project.package() == ["download", "tar"]
    project.check()
    assert project.work.archive_path.stat().st_ino == inode
    assert project.package() == []


def test_an_archive_that_was_changed_before_a_restart_is_written_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a power cut: a file of the right size and time that holds zeros."""
    status = project.work.archive_path.stat()
    with project.work.archive_path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))
    os.utime(project.work.archive_path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for module in ("files", "hub.hash_cache", "engine.steps.tar"):
        monkeypatch.setattr(f"sagepack.{module}.boot", lambda: "another")
    project.package()
    project.check()


def with_an_etag_that_is_a_path(data: bytes) -> bytes:
    """What a pull request may bring: the sum fits, and a download would write where the ETag says."""
    document = yaml.safe_load(data)
    del document["sum"]
    document["model"]["files"][0] |= {"etag": "../../../../../../pwned", "sha256": "0" * 64}
    return json.dumps(document | {"sum": str(fingerprint(document))}).encode()


LOCKS: list[tuple[Callable[[bytes], bytes], str]] = [
    (lambda _: b"", "is empty"),
    (lambda data: data[: len(data) // 2], "lock"),
    (lambda data: data.replace(b"etag: ", b"etag: ../../../../../../pwned/"), "edited or damaged"),
    (with_an_etag_that_is_a_path, r"model.files\[0\].etag"),
    (lambda data: b"<<<<<<< HEAD\n" + data, "merge conflict"),
    (lambda _: b"{a: " * 50_000, "nested deeper"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "text"), LOCKS)
def test_a_lock_that_is_none_stops_everything_in_one_line(
    project: Project, change: Callable[[bytes], bytes], text: str
) -> None:
    project.work.lock_path.write_bytes(change(project.work.lock_path.read_bytes()))
    before = sorted(path for path in project.root.parent.rglob("*"))
    with pytest.raises(UserError, match=text) as caught:
        project.package()
    assert "\n" not in caught.value.message
    assert sorted(path for path in project.root.parent.rglob("*")) == before


@pytest.mark.slow
def test_no_flipped_bit_of_a_lock_gives_another_archive(project: Project) -> None:
    whole, noise = project.work.lock_path.read_bytes(), random.Random(5)
    for _ in range(40):
        project.work.lock_path.write_bytes(whole)
        flip(project.work.lock_path, noise.randrange(8 * len(whole)))
        with suppress(UserError, IntegrityError):
            project.package()
        project.check()
