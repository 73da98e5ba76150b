"""Small packages to archive, and readers nobody here wrote."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.package.archive import reuse
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.source import Previous, Source
from sagepack.package.archive.writer import write
from sagepack.package.manifest import Manifest, Member, archive_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagepack.package.archive.source import Written

Files = dict[str, bytes]

LARGE: Files = {"unet/weights": random.Random(3).randbytes(5_000_000), "a": b"", "code/x.py": b"pass\n"}

BASE: Files = {
    "config.json": b"{}",
    "unet/weights": random.Random(5).randbytes(2_000_000),
    "vae/weights": random.Random(6).randbytes(70_000),
    "code/inference.py": b"def model_fn(folder):\n    return folder\n",
    "code/requirements.txt": b"diffusers\n",
}
EDITED: Files = BASE | {"code/inference.py": b"def model_fn(folder):\n    return None\n" * 500}


def small_package() -> Files:
    """One of each kind of member: empty, around block and padding limits, long and non-ASCII names, executable code."""
    noise = random.Random(7)
    return {
        "empty": b"",
        "block": noise.randbytes(65535),
        "block-and-one": noise.randbytes(65536),
        "padded": noise.randbytes(512),
        "unet/weights.safetensors": noise.randbytes(300_000),
        "n" * 100: b"a name of 100 bytes",
        "p" * 60 + "/" + "n" * 90: b"a name that ustar splits",
        "s/" * 140 + "deep": b"a path that only pax can say",
        "q" * 120: b"a name of 120 bytes without a slash",
        "modèle/Größe.json": b"{}",
        "模型/" * 40 + "重み": b"long and not ASCII",
        "code/inference.py": b"def model_fn(folder):\n    return folder\n",
        "code/run.sh": b"#!/bin/sh\n",
    }


def is_executable(path: str) -> bool:
    """Whether the tests' packages have the member with mode 0755."""
    return path.endswith(".sh")


def lay_out(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` below `folder`."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def sources(folder: Path, files: Mapping[str, bytes], trusted: tuple[str, ...] | None = ()) -> list[Source]:
    """Sources in archive order; `trusted` names those that bring digest and CRC-32 of their content, None all."""
    return [
        Source(path, len(content), is_executable(path), folder / path, Digest.sha256(content), zlib.crc32(content))
        if trusted is None or path in trusted
        else Source(path, len(content), is_executable(path), folder / path)
        for path, content in sorted(files.items(), key=lambda item: archive_order(item[0]))
    ]


def manifest(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of `files`."""
    return Manifest.of(Member(p, len(c), Digest.sha256(c), is_executable(p)) for p, c in files.items())


def manifest_of(written: Written) -> Manifest:
    """The manifest of an archive that was written."""
    return Manifest.of(Member(c.path, c.size, c.digest, c.executable) for c in written.contents)


def layout(files: Mapping[str, bytes]) -> Layout:
    """The layout of `files`."""
    return Layout.of(manifest(files).members)


def by_tarfile(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Mode and content of each member as Python's tarfile and gzip see them, which must find nothing but plain files."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive)), mode="r:") as tar:
        for member in tar:
            assert member.isreg()
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = (member.mode, content.read())
    return found


def expected(files: Mapping[str, bytes]) -> dict[str, tuple[int, bytes]]:
    """What `by_tarfile` should find, in archive order."""
    return {p: (0o755 if is_executable(p) else 0o644, files[p]) for p in sorted(files, key=archive_order)}


def leftovers(folder: Path) -> list[str]:
    """Names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


class Bench:
    """A folder of inputs and an archive of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "out" / "model.tar.gz"

    def build(self, files: Files, previous: Previous | None = None, target: Path | None = None) -> Written:
        shutil.rmtree(self.root / "in", ignore_errors=True)
        lay_out(self.root / "in", files)
        trusted = tuple(path for path in files if not path.startswith("code/"))
        found = sources(self.root / "in", files, trusted)
        return write(found, target or self.target, previous=previous)

    def edit(self, files: Files, before: Written, target: Path | None = None) -> Written:
        return self.build(files, Previous(self.target, before), target)

    def check(self, files: Files, written: Written, target: Path | None = None) -> None:
        """All that is known of the archive is what a build from nothing says."""
        target = target or self.target
        full = self.build(files, target=self.root / "full" / "a")
        assert replace(written, stamp=full.stamp, reused=0) == full
        assert target.read_bytes() == (self.root / "full" / "a").read_bytes()
        assert reuse.is_current(Previous(target, written))
        assert leftovers(target.parent) == [target.name]
