"""Readers that nobody here wrote list and extract archives of every kind with the right contents.

A judge that is not installed is skipped by name. On Debian: apt-get install libarchive-tools busybox default-jdk nodejs
npm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack.package.archive.source import Source
from sagepack.package.archive.writer import write
from sagepack.package.manifest import archive_order
from tests.helpers import archives

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.package.archive.source import Written

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"LC_ALL": "C.UTF-8"}
HERE = Path(__file__).parent / "judges"
Found = dict[str, tuple[int, str]]  # size and SHA-256 by path


@dataclass(frozen=True)
class Package:
    """An archive, what should be in it, and room beside it."""

    archive: Path
    files: dict[str, tuple[int, str]]
    modes: dict[str, int]

    @property
    def is_large(self) -> bool:
        """Too large to unpack it to the disk, or to decompress it more often than needed."""
        return sum(size for size, _ in self.files.values()) > 1 << 30


def built(folder: Path, found: list[Source]) -> tuple[Package, Written]:
    written = write(found, folder / "model.tar.gz")
    files = {c.path: (c.size, c.digest.value) for c in written.contents}
    modes = {c.path: 0o755 if c.executable else 0o644 for c in written.contents}
    return Package(folder / "model.tar.gz", files, modes), written


def small(folder: Path) -> Package:
    files = archives.small_package()
    archives.lay_out(folder / "in", files)
    return built(folder, archives.sources(folder / "in", files))[0]


def many(folder: Path) -> Package:
    files = {f"shard-{i % 97}/part-{i}.bin": (b"%d " % i) * (i % 300) for i in range(20_000)}
    archives.lay_out(folder / "in", files)
    return built(folder, archives.sources(folder / "in", files))[0]


def sparse(size: int) -> Callable[[Path], Package]:
    """A file of `size` bytes, nearly all of them holes, and one after it."""

    def make(folder: Path) -> Package:
        weights, code = folder / "weights", folder / "inference.py"
        with weights.open("wb") as file:
            file.write(b"first")
            file.seek(size // 2)
            file.write(b"middle")
            file.seek(size - 4)
            file.write(b"last")
        code.write_text("pass\n")
        found = [Source("unet/weights", size, False, weights), Source("code/inference.py", 5, False, code)]
        return built(folder, sorted(found, key=lambda source: archive_order(source.path)))[0]

    return make


KINDS = {
    "every-kind-of-name": small,
    "20000-files": many,
    "over-4-GiB": sparse((4 << 30) + 3),  # ISIZE wraps
    "member-over-8-GiB": sparse((8 << 30) + 1),  # 12 octal digits: pax says the size
}


@pytest.fixture(scope="module", params=KINDS)
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    folder = tmp_path_factory.mktemp(request.param)
    yield KINDS[request.param](folder)
    shutil.rmtree(folder)  # gigabytes


def require(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def assert_lists(command: list[str], package: Package) -> None:
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=600)
    assert run.stdout.splitlines() == list(package.files)


def assert_extracts(command: list[str], package: Package, folder: Path) -> None:
    folder.mkdir()
    run = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=600)
    assert run.stderr == ""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
            assert path.stat().st_mode & 0o777 == package.modes[name]
    assert found == package.files
    shutil.rmtree(folder)


def assert_streams(command: list[str], package: Package) -> None:
    """All contents to standard output: cut at the sizes, each has its digest."""
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for path, (size, digest) in package.files.items():
            content, left = hashlib.sha256(), size
            while left:
                data = process.stdout.read(min(left, 1 << 20))
                assert data, f"{path} ended too early"
                content.update(data)
                left -= len(data)
            assert content.hexdigest() == digest, path
        assert process.stdout.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("programs", "flags"), [(["tar"], ["--quoting-style=literal"]), (["bsdtar"], []), (["busybox", "tar"], [])]
)
def test_tars_list_and_extract_it(package: Package, tmp_path: Path, programs: list[str], flags: list[str]) -> None:
    require(programs[0])
    archive = str(package.archive)
    if not package.is_large:
        assert_lists([*programs, *flags, "-tzf", archive], package)
        assert_extracts([*programs, "-xzf", archive], package, tmp_path / "out")
    assert_streams([*programs, "-xzOf", archive], package)


@pytest.mark.parametrize("command", [["gzip", "-t"], ["busybox", "gzip", "-t"], ["pigz", "-t"]])
def test_decompressors_find_nothing_wrong(package: Package, command: list[str]) -> None:
    require(command[0])
    run = subprocess.run([*command, str(package.archive)], capture_output=True, text=True, check=False, timeout=600)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_python_reads_it_as_a_stream(package: Package) -> None:
    found, modes = {}, {}
    with tarfile.open(package.archive, mode="r:gz") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            digest = hashlib.sha256()
            while data := content.read(1 << 20):
                digest.update(data)
            found[member.name], modes[member.name] = (member.size, digest.hexdigest()), member.mode
    assert (found, modes) == (package.files, package.modes)


def assert_prints(command: list[str], package: Package) -> None:
    """A judge that prints `size sha256 mode path` for each member."""
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=True, timeout=600)
    wanted = [f"{s} {d} {package.modes[p]:o} {p}" for p, (s, d) in package.files.items()]
    assert run.stdout.splitlines() == wanted


def test_java_reads_it(package: Package) -> None:
    require("java", "javac")
    assert_prints(["java", "-Dfile.encoding=UTF-8", str(HERE / "Judge.java"), str(package.archive)], package)


def test_node_reads_it(package: Package) -> None:
    require("node", "npm")
    run = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, check=True, timeout=600)
    modules = Path(run.stdout.strip()) / "npm"
    if not (modules / "node_modules" / "tar").exists():
        pytest.skip("this npm does not bring the tar package")
    assert_prints(["node", str(HERE / "judge.mjs"), str(package.archive), str(modules)], package)
