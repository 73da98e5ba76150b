"""What travels to a job, and how it begins there."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from sagepack import __main__
from sagepack.engine.remote import source, start
from sagepack.engine.remote.source import JobSource
from tests.helpers.paths import ROOT

REQUIREMENTS, CERTIFICATES = (
    Path(source.__file__).with_name(f"{name}.txt") for name in ("requirements", "certificates")
)


def members(found: JobSource) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(found.files["input.tar.gz"])) as archive:
        return {member.name: member for member in archive}


def test_the_same_content_makes_the_same_bytes_in_whatever_order_it_comes() -> None:
    one, two = ("a", (b"1", False)), ("b", (b"2", True))
    first, second = JobSource(dict([one, two])), JobSource(dict([two, one]))
    assert first.files == second.files
    assert first.digest == second.digest
    assert first.digest != JobSource({"a": (b"1", True), "b": (b"2", True)}).digest


def test_a_file_keeps_whether_it_may_be_executed_and_nothing_of_this_machine() -> None:
    found = members(JobSource({"a": (b"1", False), "b": (b"2", True)}))
    assert [found[name].mode for name in "ab"] == [0o644, 0o755]
    assert {(each.mtime, each.uid, each.gid, each.uname, each.gname) for each in found.values()} == {(0, 0, 0, "", "")}


def test_the_program_travels_whole_but_for_its_templates() -> None:
    names = {name for name, _ in source._program()}
    assert {"program/sagepack/cli/job.py", "program/sagepack/schemas/spec.schema.json"} <= names
    assert not any("templates" in name or "__pycache__" in name for name in names)


def test_the_list_of_what_the_job_installs_is_a_part_of_the_lock_of_this_program() -> None:
    def pins(path: Path) -> dict[str, set[str]]:
        """The hashes of each version."""
        found: dict[str, set[str]] = {}
        for line in path.read_text().splitlines():
            if pinned := re.match(r"([a-z0-9-]+==\S+)", line):
                current = found.setdefault(pinned[1], set())
            elif hashed := re.search(r"--hash=(\S+)", line):
                current.add(hashed[1])
        return found

    locked, needed, certificates = pins(ROOT / "requirements.lock"), pins(REQUIREMENTS), pins(CERTIFICATES)
    assert needed.items() <= locked.items()
    assert certificates.items() <= locked.items()
    assert all(needed.values())
    assert all(certificates.values())
    assert any(name.startswith("cryptography==") for name in certificates)
    assert not needed.keys() & certificates.keys()  # pip takes no package twice
    assert not {name for name in needed if name.startswith(("moto", "flask"))}  # of the sandbox


def test_an_old_python_is_told_before_anything_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match="this image has Python"):
        start.main()


def test_the_container_becomes_the_program_that_travels_along_with_the_words_that_it_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "processing" / "input" / "sagepack"
    here.mkdir(parents=True)
    packed = source.JobSource({"program/sagepack/__main__.py": (b"", False), "requirements.txt": (b"", False)})
    (here / "input.tar.gz").write_bytes(packed.files["input.tar.gz"])
    begun = list[list[str]]()
    monkeypatch.setattr(start, "HERE", here)
    monkeypatch.setattr(start, "BASE", tmp_path)
    monkeypatch.setattr(start, "install", lambda *_args: None)
    monkeypatch.setattr("os.execve", lambda _program, words, _environment: begun.append(words))
    monkeypatch.setattr("sys.argv", ["start.py", "s3://bucket/input"])
    start.main()
    ((_, *words),) = begun
    project, message = tmp_path / "processing" / "sagepack" / "project", tmp_path / "output" / "message"
    assert words == ["-m", "sagepack", __main__.IN_JOB, str(project), str(message), "s3://bucket/input"]


@pytest.mark.slow
def test_what_pip_cannot_install_ends_the_job_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    listed = tmp_path / "requirements.txt"
    listed.write_text(f"no-such-package==1 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(SystemExit, match="a way to PyPI, or an image that has it"):
        start.install(listed, tmp_path / "packages")
    assert "No matching distribution" in capfd.readouterr().err


@pytest.mark.slow
def test_an_image_that_has_what_is_needed_installs_nothing(tmp_path: Path) -> None:
    listed = tmp_path / "requirements.txt"
    listed.write_bytes(REQUIREMENTS.read_bytes() + CERTIFICATES.read_bytes())
    start.install(listed, tmp_path / "packages")
    assert not (tmp_path / "packages").exists()
