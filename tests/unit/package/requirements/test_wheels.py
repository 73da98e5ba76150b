"""The wheel that pip would take, the modules in it, and its bytes, each of them checked."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, RemoteError
from sagepack.package.lock import LockedPackage
from sagepack.package.requirements import wheels
from sagepack.package.requirements.index import PackageIndex
from sagepack.package.requirements.uv import Target, Wheel
from tests.helpers import package_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.package_index import Index

TARGET = Target((3, 12), 35, "py312")
MANY = {
    "film/__init__.py": b"",
    "film/part.py": b"",
    "film_one.py": b"",
    "_film.cpython-312-x86_64-linux-gnu.so": b"",
    "google/film/__init__.py": b"",
    "google/film/deep/x.py": b"",
    "film-1.0.data/purelib/late/__init__.py": b"",
    "film-1.0.data/scripts/tool.py": b"",
    "no-module/x.py": b"",
    "film.libs/libx.so.6": b"",
    "film/data.json": b"{}",
}
MODULES = ("_film", "film", "film_one", "google.film", "late")


@pytest.fixture
def served() -> Iterator[Index]:
    with package_index.serving() as index:
        yield index


@pytest.fixture
def index(served: Index, tmp_path: Path) -> PackageIndex:
    return PackageIndex.of({"UV_DEFAULT_INDEX": served.url}, tmp_path)


def url(served: Index, file: str) -> str:
    return served.url.replace("/simple", f"/files/{file}")


def entry(data: bytes) -> LockedPackage:
    return LockedPackage("film", "1.0", "film-1.0-py3-none-any.whl", len(data), Digest.sha256(data))


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["a-1-py3-none-any.whl", "a-1-cp312-cp312-manylinux2014_x86_64.whl"], 1),
        (["a-1-cp312-cp312-manylinux_2_17_x86_64.whl", "a-1-cp312-cp312-manylinux_2_28_x86_64.whl"], 1),
        (["a-1-cp312-cp312-manylinux_2_28_x86_64.whl", "a-1-cp39-abi3-manylinux_2_35_x86_64.whl"], 0),
        (["a-1-cp312-cp312-manylinux_2_38_x86_64.whl", "a-1-py3-none-any.whl"], 1),
        (["a-1-1-py3-none-any.whl", "a-1-2-py3-none-any.whl"], 1),
    ],
)
def test_of_several_wheels_the_one_is_taken_that_pip_takes(names: list[str], best: int) -> None:
    found = [Wheel(name, f"https://x/{name}", 1, "0" * 64) for name in names]
    assert wheels.best(found, TARGET) == wheels.best(found[::-1], TARGET) == found[best]


def test_which_files_the_image_can_install() -> None:
    assert wheels.fits("a-1-cp38-abi3-manylinux1_x86_64.whl", TARGET)
    for name in ("a-1-cp311-cp311-manylinux2014_x86_64.whl", "a-1-py3-none-win_amd64.whl", "a-1.tar.gz", "a.whl"):
        assert not wheels.fits(name, TARGET)


def test_the_modules_of_a_wheel_are_read_from_its_end(served: Index, index: PackageIndex) -> None:
    big = {"film/weights.bin": os.urandom(1 << 20), **MANY}
    file = served.add("film", "1.0", files=big)
    found = wheels.inspect(Wheel(file, url(served, file), None, None), index)
    assert (found.size, found.modules) == (len(served.files[file]), MODULES)
    assert len(served.log) == 1


def test_a_server_that_sends_no_parts_sends_a_small_wheel_whole(
    served: Index, index: PackageIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.parts = False
    file = served.add("film", "1.0", files=MANY)
    wheel = Wheel(file, url(served, file), None, None)
    assert wheels.inspect(wheel, index).modules == MODULES
    monkeypatch.setattr(wheels, "_WHOLE", 100)
    assert wheels.inspect(wheel, index) == wheels.Inspected(len(served.files[file]), None)


def test_modules_are_not_known_of_what_is_no_wheel_or_cannot_be_read(served: Index, index: PackageIndex) -> None:
    served.files["film-1.0-py3-none-any.whl"] = b"no archive"
    assert wheels.inspect(Wheel("film", url(served, "film-1.0-py3-none-any.whl"), 10, None), index).modules is None
    gone = url(served, "gone.whl")
    assert wheels.inspect(Wheel("gone", gone, 7, None), index) == wheels.Inspected(7, None)
    with pytest.raises(RemoteError, match="404"):
        wheels.inspect(Wheel("gone", gone, None, None), index)


def test_the_list_of_a_wheel_is_bounded(served: Index, index: PackageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    file = served.add("film", "1.0", files={**MANY, **{f"m{number}.py": b"" for number in range(99)}})
    wheel = Wheel(file, url(served, file), None, None)
    monkeypatch.setattr(wheels, "_MOST", 99)
    assert wheels.inspect(wheel, index).modules is None
    monkeypatch.setattr(wheels, "_MOST", 10_000)
    monkeypatch.setattr(wheels, "_WHOLE", 100)
    assert wheels.inspect(wheel, index).modules is None


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ("License-Expression: Apache-2.0 OR MIT\nLicense: see above\n", "Apache-2.0 OR MIT"),
        ("License: BSD\nClassifier: License :: OSI Approved :: BSD License\n", "BSD"),
        ("License: All rights\n  reserved\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        ("License: " + "x" * 101 + "\n", None),
        ("Classifier: License :: OSI Approved\nClassifier: Programming Language :: Python\n", None),
        ("\nLicense: MIT\n", None),  # of the description
        ("License: a\x1bb\n", "a\\x1bb"),
        ("", None),
    ],
)
def test_the_licence_is_the_one_that_a_wheel_names(
    served: Index, index: PackageIndex, more: str, named: str | None
) -> None:
    served.files["film-1.0-py3-none-any.whl"] = package_index.wheel("film", "1.0", files=MANY, more=more)
    found = wheels.inspect(Wheel("film", url(served, "film-1.0-py3-none-any.whl"), None, None), index)
    assert (found.license, found.modules) == (named, MODULES)
    assert len(served.log) == 1


def test_what_a_wheel_demands_of_another_package(served: Index, index: PackageIndex) -> None:
    file = served.add("film", "1.0", "Torch_Vision>=1", "torch (>=2.7,<3)", "numpy")
    wheel = Wheel(file, url(served, file), None, None)
    found = [wheels.demand(wheel, index, name) for name in ("torch", "torch-vision", "numpy", "other")]
    assert found == ["<3,>=2.7", ">=1", None, None]


def test_a_wheel_in_a_folder_is_read_like_one_of_a_server(index: PackageIndex, tmp_path: Path) -> None:
    data = package_index.wheel("film", "1.0", files=MANY)
    (tmp_path / "film-1.0-py3-none-any.whl").write_bytes(data)
    address = (tmp_path / "film-1.0-py3-none-any.whl").as_uri()
    assert wheels.inspect(Wheel("film", address, None, None), index) == wheels.Inspected(len(data), MODULES)
    wheels.fetch(entry(data), address, index, tmp_path / "copy", lambda _count: None)
    assert (tmp_path / "copy").read_bytes() == data


def test_a_wheel_is_fetched_with_every_byte_counted(served: Index, index: PackageIndex, tmp_path: Path) -> None:
    file, counted = served.add("film", "1.0", files={"film/w.bin": os.urandom(3 << 20)}), list[int]()
    data = served.files[file]
    wheels.fetch(entry(data), url(served, file), index, tmp_path / "w", counted.append)
    assert hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest() == entry(data).digest.value
    assert sum(counted) == len(data)
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_other_bytes_than_those_of_the_lock_are_refused(served: Index, index: PackageIndex, tmp_path: Path) -> None:
    file = served.add("film", "1.0")
    locked = entry(served.files[file])
    for changed in (served.files[file][:-1] + b"x", served.files[file] + b"more"):
        served.files[file] = changed
        with pytest.raises(IntegrityError, match="has other bytes"):
            wheels.fetch(locked, url(served, file), index, tmp_path / "w", lambda _count: None)
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_stays_short_is_asked_for_again_and_then_an_error(
    served: Index, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_BACKOFF", 0.0)
    file, counted = served.add("film", "1.0"), list[int]()
    locked = entry(served.files[file] + b"more")
    with pytest.raises(RemoteError, match=r"bytes arrived \(4 times\)"):
        wheels.fetch(locked, url(served, file), index, tmp_path / "w", counted.append)
    assert len(served.log) == 4
    assert sum(counted) == 0
