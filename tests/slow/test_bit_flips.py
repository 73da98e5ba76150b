"""Any flipped bit of what is kept on disk or in S3: right bytes, exit 1 or 4 with a message, or the work done again."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack.aws.s3 import S3, S3Uri
from sagepack.sandbox import process
from tests.helpers.publishing import connect
from tests.integration.test_whole_way import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

LOCAL_FLIPS = int(os.environ.get("SAGEPACK_FLIPS", "150"))
REMOTE_FLIPS = LOCAL_FLIPS // 2
KEPT = ("build", "dist", "config/locks", "inference_code")


class Flipped:
    """A project that was packaged and published, and its states to return to."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self.code = root / "inference_code" / "svd" / "inference.py"
        self.first = self.code.read_bytes()
        self.second = self.first + b"\n# edited\n"
        self.expected = {}
        for code in (self.second, self.first):
            self.code.write_bytes(code)
            self.project.invoke("upload")
            self.project.invoke("package")
            self.expected[code] = self.project.sha256()
        assert len(set(self.expected.values())) == 2
        # The state of one release, from which the other is made: the first code's.
        self.saved = root.parent / "saved"
        for name in KEPT:
            shutil.copytree(root / name, self.saved / name, symlinks=True, ignore=shutil.ignore_patterns("sandbox"))
        sandbox = process.status(root)
        assert sandbox is not None
        self.store: S3 = connect(sandbox.aws_url, sandbox)
        self.target = S3Uri("sagepack-sandbox", "models")

    @property
    def root(self) -> Path:
        return self.project.root

    def restore(self) -> None:
        """Everything but the running sandbox as it was; files that did not change keep their inodes and times."""
        for name in KEPT:
            for path in sorted((self.root / name).rglob("*"), reverse=True):
                relative = path.relative_to(self.root)
                if "sandbox" not in relative.parts and not path.is_dir() and not (self.saved / relative).exists():
                    path.unlink()
            for path in (self.saved / name).rglob("*"):
                there = self.root / path.relative_to(self.saved)
                if path.is_symlink() or path.is_dir():
                    continue
                if not there.is_file() or there.read_bytes() != path.read_bytes():
                    there.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, there)

    def files(self) -> list[Path]:
        """What may be flipped: all of `build/`, `dist/` and the lock, and the sandbox's Hugging Face cache."""
        sandbox = self.root / "build" / "sandbox"
        found = [path for name in ("build", "dist", "config/locks") for path in (self.root / name).rglob("*")]
        return sorted(
            path
            for path in found
            if path.is_file() and not path.is_symlink() and path.stat().st_size
            # Of the sandbox's own folder the cache alone, which stands for ~/.cache/huggingface.
            if not path.is_relative_to(sandbox) or "blobs" in path.parts
        )


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flipped]:
    flipped = Flipped(tmp_path_factory.mktemp("flips") / "project")
    yield flipped
    flipped.project.invoke("sandbox.stop")


def flip(path: Path, chance: random.Random) -> str:
    """Flip a bit of a file, now and then with the modification time put back; what was done, for messages."""
    before = path.stat()
    offset, bit, hidden = chance.randrange(before.st_size), chance.randrange(8), chance.random() < 0.3
    with path.open("r+b") as file:
        file.seek(offset)
        value = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([value ^ 1 << bit]))
    if hidden:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"bit {bit} of byte {offset} of {path}{', with its time put back' if hidden else ''}"


def test_any_flipped_bit_of_this_disk_gives_the_right_archive_or_a_message(flipped: Flipped) -> None:
    chance = random.Random(20300101)
    project = flipped.project
    outcomes: dict[int, int] = {}
    for number in range(LOCAL_FLIPS):
        flipped.restore()
        project.invoke("package", code=None)
        # A kind of file as often as another: blobs are large, records are many.
        by_kind: dict[str, list[Path]] = {}
        for path in flipped.files():
            by_kind.setdefault("blob" if "blobs" in path.parts else path.parent.name + path.suffix, []).append(path)
        path = chance.choice(by_kind[chance.choice(sorted(by_kind))])
        what = f"{number}: {flip(path, chance)}"
        code = chance.choice((flipped.first, flipped.second))
        flipped.code.write_bytes(code)
        ran = project.invoke("package", code=None)
        outcomes[ran.returncode] = outcomes.get(ran.returncode, 0) + 1
        assert ran.returncode in {0, 1, 4}, f"{what}: {ran}"
        assert "unexpected" not in ran.stderr, f"{what}: {ran}"
        if ran.returncode:
            assert "error: " in ran.stderr, f"{what}: {ran}"
        else:
            expected = flipped.expected[code]
            assert project.sha256() == expected, f"{what}: {ran}"
            sum_file = project.archive.with_name("model.tar.gz.sha256")
            assert sum_file.read_text() == f"{expected}  model.tar.gz\n", f"{what}: {ran}"
            project.invoke("verify")
    assert outcomes.get(0, 0) > LOCAL_FLIPS // 2


@pytest.mark.parametrize("remembers", [True, False], ids=["the machine that published", "another machine"])
def test_any_flipped_bit_of_s3_gives_the_right_package_or_a_message(flipped: Flipped, remembers: bool) -> None:
    chance = random.Random(20300102)
    project = flipped.project
    found_by_verify = pointers = 0
    for number in range(REMOTE_FLIPS):
        flipped.restore()
        for one in list(flipped.store.list(flipped.target)):
            flipped.store.delete(one.location)
        for code in (flipped.second, flipped.first):
            flipped.code.write_bytes(code)
            project.invoke("upload")
        if not remembers:
            shutil.rmtree(flipped.root / "build" / "verified")
        location = chance.choice([one.location for one in flipped.store.list(flipped.target)])
        pointers += "/contents/" in location.key
        data = bytearray(flipped.store.read(location) or b"")
        offset, bit = chance.randrange(len(data)), chance.randrange(8)
        data[offset] ^= 1 << bit
        flipped.store.put(location, bytes(data))
        what = f"{number}: bit {bit} of byte {offset} of {location}"
        third = flipped.first + f"\n# {number}\n".encode()
        flipped.code.write_bytes(third)
        ran = project.invoke("upload", code=None)
        assert ran.returncode in {0, 1, 4}, f"{what}: {ran}"
        assert "unexpected" not in ran.stderr, f"{what}: {ran}"
        assert ran.returncode == 0, f"{what}: a new release does not depend on a damaged old one: {ran}"
        plan = project.json("plan", "--to", "upload")
        assert plan["actions"][-1]["status"] == "skip", f"{what}: {plan}"
        assert project.invoke("verify", "--remote", "--deep", code=None).returncode == 0, what
        # The damaged package itself: nothing that is published again is wrong.
        for code in (flipped.first, flipped.second):
            flipped.code.write_bytes(code)
            found_by_verify += project.invoke("verify", "--remote", code=None).returncode == 4
            again = project.invoke("upload", code=None)
            assert again.returncode in {0, 4}, f"{what}: {again}"
            assert "unexpected" not in again.stderr, f"{what}: {again}"
    # Pointers belong to no package, and say nothing that is believed. Everything else is of one of the two.
    assert found_by_verify == REMOTE_FLIPS - pointers
