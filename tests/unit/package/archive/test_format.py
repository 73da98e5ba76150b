"""Programs that nobody here wrote read the archive; tests/slow/test_archive_judges.py asks more of them, for more."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from sagepack.package.archive.tar_header import END
from sagepack.package.archive.writer import write
from tests.helpers import archives

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = os.environ | {"LC_ALL": "C.UTF-8"}


def is_gnu_tar() -> bool:
    tar = shutil.which("tar")
    return (
        tar is not None
        and "GNU" in subprocess.run([tar, "--version"], capture_output=True, text=True, check=True, timeout=120).stdout
    )


needs_gnu_tar = pytest.mark.skipif(not is_gnu_tar(), reason="tar is not GNU tar here")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files in `in` and their archive beside it."""
    folder = tmp_path_factory.mktemp("package")
    files = archives.small_package()
    archives.lay_out(folder / "in", files)
    for path in files:
        (folder / "in" / path).chmod(0o755 if archives.is_executable(path) else 0o644)
    write(archives.sources(folder / "in", files), folder / "model.tar.gz")
    return folder


@needs_gnu_tar
def test_gnu_tar_extracts_every_file_with_its_content_and_mode(package: Path, tmp_path: Path) -> None:
    command = ["tar", "-xzf", str(package / "model.tar.gz"), "-C", str(tmp_path)]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120)
    assert run.stderr == ""
    found = {}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            found[path.relative_to(tmp_path).as_posix()] = (path.stat().st_mode & 0o777, path.read_bytes())
    assert found == archives.expected(archives.small_package())


@needs_gnu_tar
def test_gnu_tar_lists_the_members_in_archive_order(package: Path) -> None:
    command = ["tar", "-tzf", str(package / "model.tar.gz"), "--quoting-style=literal"]
    run = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.splitlines() == list(archives.expected(archives.small_package()))


@needs_gnu_tar
def test_the_tar_stream_is_what_gnu_tar_writes_as_ustar(package: Path) -> None:
    """For all that ustar can say, down to the checksums; GNU tar only fills its last record with zeros."""
    files = {path: content for path, content in archives.small_package().items() if path.isascii() and len(path) < 200}
    del files["q" * 120]
    archive = package / "ustar.tar.gz"
    write(archives.sources(package / "in", files), archive)
    command = ["tar", "-c", "--format=ustar", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-b1"]
    run = subprocess.run(
        [*command, "-C", str(package / "in"), *archives.expected(files)],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
        timeout=120,
    )
    assert gzip.decompress(archive.read_bytes()) == run.stdout
    assert run.stdout.endswith(END)


@pytest.mark.skipif(shutil.which("gzip") is None, reason="there is no gzip here")
def test_gzip_finds_nothing_wrong(package: Path) -> None:
    run = subprocess.run(
        ["gzip", "-tv", str(package / "model.tar.gz")], capture_output=True, text=True, check=True, timeout=120
    )
    assert "OK" in run.stderr


def test_python_reads_it(package: Path) -> None:
    found = archives.by_tarfile((package / "model.tar.gz").read_bytes())
    assert found == archives.expected(archives.small_package())
    assert list(found) == list(archives.expected(archives.small_package()))
