"""Requirements on their whole way: from a package index into the lock, the package and S3, and out of it by pip."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from sagepack.api.results import ValueDifference
from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError, SpecError, UserError
from sagepack.package.lock import Lock
from sagepack.package.requirements import uv
from tests.helpers import package_index
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.sandbox.servers import Servers
    from tests.helpers.package_index import Index

FILM = "code.requirements=[film>=1]"
VENDOR = "code.vendor=true"
OPEN = "endpoint.enable_network_isolation=false"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("uv-cache"))


@pytest.fixture
def index(cache: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.setenv("UV_CACHE_DIR", cache)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with package_index.serving() as made:
        monkeypatch.setenv("UV_DEFAULT_INDEX", made.url)
        made.add("film", "1.0", "reel-tools")
        made.add("reel-tools", "3.1", files={"reel/__init__.py": b"LENGTH = 7\n"})
        yield made


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirements of each run of uv."""
    found: list[str] = []
    run = uv.Uv._run

    def counted(self: uv.Uv, folder: Path, lines: tuple[str, ...], flags: list[str]) -> str:
        found.append(" ".join(lines))
        return run(self, folder, lines, flags)

    monkeypatch.setattr(uv.Uv, "_run", counted)
    return found


def with_requirements(cloud: Cloud, *lines: str) -> None:
    """Write requirements, one a line, into the spec."""
    text = (ROOT / "config" / "svd.yaml").read_text()
    listed = "".join(f"    - {line}\n" for line in lines)
    written = text.replace("code:\n", f"code:\n  vendor: true\n  requirements:\n{listed}", 1)
    (cloud.root / "config" / "svd.yaml").write_text(written)


def lock_of(cloud: Cloud) -> Lock:
    path = cloud.root / "config" / "locks" / "svd-cloud.lock.yaml"
    return Lock.parse(path.read_bytes(), "the lock")


def listed(cloud: Cloud) -> str:
    path = cloud.root / "build" / "svd-cloud" / "stage" / "code" / "requirements.txt"
    return path.read_text()


def notes(project: Project) -> list[str]:
    assert isinstance(project.progress, RecordedProgress)
    return project.progress.notes


def test_a_package_lists_what_the_image_lacks_by_name_and_version(cloud: Cloud, index: Index) -> None:
    del index
    project = cloud.project(FILM, OPEN)
    project.package()
    assert listed(cloud) == "film==1.0\nreel-tools==3.1\n"
    assert any(note.startswith("installed at each start of a container: film 1.0 (") for note in notes(project))


def test_while_requirements_and_image_stay_nothing_is_resolved_and_versions_stay(
    cloud: Cloud, index: Index, runs: list[str]
) -> None:
    with_requirements(cloud, "film>=1")
    cloud.project().lock()
    assert runs == ["film>=1"] * 2  # the second looks for what the image holds back
    runs.clear()
    index.add("film", "2.0", "reel-tools")
    before = lock_of(cloud)
    assert cloud.project().lock().changed is False
    overlay = cloud.root / "config" / "env" / "cloud.yaml"
    overlay.write_text(overlay.read_text().replace("us-east-1", "us-west-2"))
    assert cloud.project().lock().changed is True
    assert (runs, lock_of(cloud).packages) == ([], before.packages)
    with_requirements(cloud, "film>=1", "reel-tools")
    cloud.project().lock()
    assert [package.pin for package in lock_of(cloud).packages] == ["film==1.0", "reel-tools==3.1"]
    result = cloud.project().lock(update=True)
    assert [(each.name, each.version, each.replaces) for each in result.packages] == [
        ("film", "2.0", None),
        ("reel-tools", "3.1", None),
    ]
    assert [package.pin for package in lock_of(cloud).packages] == ["film==2.0", "reel-tools==3.1"]


def test_a_lock_of_an_earlier_format_is_written_again_and_the_plan_says_why(cloud: Cloud) -> None:
    cloud.project().lock()
    path = cloud.root / "config" / "locks" / "svd-cloud.lock.yaml"
    path.write_text(path.read_text().replace("version: 4", "version: 3"))
    (action,) = cloud.project().plan("lock").actions
    assert action.reasons == (
        "config/locks/svd-cloud.lock.yaml: the lock has format version 3, this version of sagepack writes 4",
    )
    with pytest.raises(UserError, match="--locked was given"):
        cloud.project().package(locked=True)
    assert cloud.project().lock().changed is True


def test_wheels_are_packed_and_checked_and_a_second_run_fetches_none(cloud: Cloud, index: Index) -> None:
    project = cloud.project(FILM, VENDOR)
    project.package()
    with tarfile.open(cloud.root / "dist" / "svd" / "cloud" / "model.tar.gz") as archive:
        packed = {name: archive.extractfile(name) for name in archive.getnames() if name.startswith("code/wheels/")}
        content = {name.rpartition("/")[2]: file.read() for name, file in packed.items() if file}
    assert content == index.files
    assert listed(cloud).splitlines()[:2] == ["--no-index", "--find-links ./wheels"]
    index.log.clear()
    again = cloud.project(FILM, VENDOR).package()
    assert [action.step for action in again.actions if action.runs] == []
    assert index.log == []
    cloud.project(FILM, VENDOR).verify(rebuild=True)
    assert sorted(path for path in index.log if "/files/" in path) == [
        f"GET /files/{name}" for name in sorted(index.files)
    ]


def test_a_wheel_that_is_not_the_locked_one_stops_the_build(cloud: Cloud, index: Index) -> None:
    cloud.project(FILM, VENDOR).lock()
    cloud.project(FILM, VENDOR).package()
    wheels = cloud.root / "build" / "wheels"
    (damaged,) = [
        path for path in wheels.iterdir() if path.name == Digest.sha256(index.files["film-1.0-py3-none-any.whl"]).value
    ]
    damaged.write_bytes(b"something else")
    (plan,) = [action for action in cloud.project(FILM, VENDOR).plan().actions if action.step == "download"]
    assert plan.runs
    cloud.project(FILM, VENDOR).package()
    assert damaged.read_bytes() == index.files["film-1.0-py3-none-any.whl"]
    damaged.unlink()
    index.files["film-1.0-py3-none-any.whl"] = package_index.wheel("film", "1.0", files={"film.py": b"evil = 1\n"})
    with pytest.raises(IntegrityError, match="the package index has other bytes than those of the lock"):
        cloud.project(FILM, VENDOR).package()
    del index.files["film-1.0-py3-none-any.whl"]
    index.add("film", "1.0", tag="py2.py3-none-any")
    with pytest.raises(RemoteError, match=r"no such file of film 1\.0 any more"):
        cloud.project(FILM, VENDOR).package()


@pytest.mark.slow
def test_a_published_package_needs_its_wheels_on_no_other_machine(cloud: Cloud, index: Index) -> None:
    cloud.project(FILM, VENDOR).upload()
    shutil.rmtree(cloud.root / "build" / "wheels")
    index.log.clear()
    handler = cloud.root / "inference_code" / "svd" / "inference.py"
    handler.write_text(handler.read_text() + "# changed\n")
    cloud.project(FILM, VENDOR).upload()
    assert index.log == []
    assert cloud.project(FILM, VENDOR).verify_remote(deep=True).files > 0


@pytest.mark.slow
def test_what_a_release_installs_is_compared_with_the_tree(cloud: Cloud, index: Index) -> None:
    with_requirements(cloud, "film>=1")
    cloud.project().deploy()
    index.add("film", "2.0", "reel-tools")
    cloud.project().lock(update=True)
    found = cloud.project().diff()
    assert found.requirements == (ValueDifference("film", "1.0", "2.0"),)
    assert {each.path for each in found.files} == {
        "code/requirements.txt",
        "code/wheels/film-1.0-py3-none-any.whl",
        "code/wheels/film-2.0-py3-none-any.whl",
    }


def test_an_import_that_a_dependency_brings_is_known_and_one_that_none_brings_is_refused(
    cloud: Cloud, index: Index
) -> None:
    del index
    handler = cloud.root / "inference_code" / "svd" / "inference.py"
    text = handler.read_text()
    handler.write_text(
        text.replace("from __future__ import annotations\n", "from __future__ import annotations\n\nimport reel\n", 1)
    )
    cloud.project(FILM, VENDOR).build("assemble")
    handler.write_text(
        text.replace("from __future__ import annotations\n", "from __future__ import annotations\n\nimport reels\n", 1)
    )
    with pytest.raises(SpecError) as caught:
        cloud.project(FILM, VENDOR).build("assemble")
    (problem,) = caught.value.diagnostics
    with pytest.raises(SpecError) as validated:
        cloud.project(FILM, VENDOR).validate()
    assert [each.message for each in validated.value.diagnostics] == [problem.message]
    assert problem.message == "neither the image nor the code has a module reels, and no requirement brings it"


def test_a_refusal_names_the_line_of_the_spec(cloud: Cloud, index: Index) -> None:
    del index
    with_requirements(cloud, "film>=1", "imagio")
    with pytest.raises(UserError, match="the package index has no imagio") as caught:
        cloud.project().lock()
    number = (cloud.root / "config" / "svd.yaml").read_text().splitlines().index("    - imagio") + 1
    assert caught.value.where == f"config/svd.yaml:{number}:7"


@pytest.mark.slow
def test_pip_installs_from_the_extracted_package_without_an_index_and_from_another_folder(
    cloud: Cloud, index: Index, tmp_path: Path
) -> None:
    cloud.project(FILM, VENDOR).package()
    index.log.clear()
    model, target = tmp_path / "model", tmp_path / "installed"
    model.mkdir()
    archive = cloud.root / "dist" / "svd" / "cloud" / "model.tar.gz"
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(model)], check=True)

    def install(folder: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
        command += ["-r", str(model / "code" / "requirements.txt")]
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)

    run = install(str(target))
    assert run.returncode == 0, run.stderr
    assert (target / "reel" / "__init__.py").read_text() == "LENGTH = 7\n"
    assert index.log == []
    wheel = model / "code" / "wheels" / "film-1.0-py3-none-any.whl"
    wheel.write_bytes(package_index.wheel("film", "1.0", files={"film.py": b"evil = 1\n"}))
    run = install(str(tmp_path / "again"))
    assert run.returncode != 0
    assert "DO NOT MATCH" in run.stderr
