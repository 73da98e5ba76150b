"""Requirements are resolved for the image, keep what it has, and are refused in words."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from sagepack.digest import Digest
from sagepack.errors import RemoteError, UserError
from sagepack.package.lock import LockedPackage
from sagepack.package.requirements import resolve
from sagepack.package.requirements.index import PackageIndex
from tests.helpers import package_index

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.helpers.package_index import Index

TAG = "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
NUMPY, SAFETENSORS = "1.26.4", "0.7.0"  # as the table has them for this image


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with package_index.serving() as made:
        made.add("film", "1.0", "numpy>=1.20", "reel-tools")
        made.add("film", "2.0", "numpy>=1.20", "reel-tools")
        made.add("reel-tools", "3.1", files={"reel/__init__.py": b"", "reel_fast.cpython-312.so": b""})
        for version in (NUMPY, "2.2.0"):
            made.add("numpy", version)
        made.add("fastattn", "1.0", "torch==2.6.0")
        made.add("fastattn", "2.0", "torch==2.7.0")
        made.add("torch", "2.7.0")
        for version in ("1.6.0", "1.9.0"):
            made.add("accelerate", version, "psutil", "safetensors", "tqdm")
        made.add("psutil", "7.1.3")
        made.add("tqdm", "5.0")
        made.add("wrapper", "1.0", "fastattn==2.0")
        made.add("reader", "1.0", "safetensors>=0.8")
        made.add("safetensors", SAFETENSORS)
        made.add("safetensors", "0.8.0")
        made.add("headless", "1.0", "opencv-python-headless")
        made.add("opencv-python-headless", "4.11.0.86")
        made.add("einops", "0.8.0")
        made.add("einops", "0.8.1")
        made.yanked.add("einops-0.8.1-py3-none-any.whl")
        made.files["flashy-1.0.tar.gz"] = b"source"
        made.files["oldie-1.0-cp39-cp39-manylinux2014_x86_64.whl"] = b"wheel"
        yield made


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("uv-cache"))


@pytest.fixture
def found(index: Index, cache: str, tmp_path: Path) -> Finder:
    environ = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}
    return Finder(PackageIndex.of({**environ, "UV_DEFAULT_INDEX": index.url}, tmp_path))


class Finder:
    """Resolves lines."""

    def __init__(self, index: PackageIndex) -> None:
        self.index = index

    def __call__(
        self, *lines: str, keep: dict[str, str] | None = None, tag: str = TAG, known: bool = True
    ) -> resolve.Resolved:
        def where(path: tuple[str | int, ...]) -> str:
            return f"config/svd.yaml:{path[-1]}"

        return resolve.resolve(lines, tag, self.index, is_known=known, keep=keep or {}, where=where)

    def refusal(self, *lines: str) -> tuple[str, str, str]:
        """Where, what and what to do, of lines that are refused."""
        with pytest.raises(UserError) as caught:
            self(*lines)
        return caught.value.where or "", caught.value.message, caught.value.fix or ""


def versions(resolved: resolve.Resolved) -> dict[str, str]:
    return {package.name: package.version for package in resolved.packages}


def test_the_closure_is_locked_with_the_files_and_modules_of_what_is_new(index: Index, found: Finder) -> None:
    resolved = found("film>=1")
    film, numpy, tools = resolved.packages
    data = index.files["film-2.0-py3-none-any.whl"]
    digest = Digest("sha256", hashlib.sha256(data).hexdigest())
    assert film == LockedPackage("film", "2.0", "film-2.0-py3-none-any.whl", len(data), digest, None, ("film",))
    assert (tools.name, tools.version, tools.modules) == ("reel-tools", "3.1", ("reel", "reel_fast"))
    assert (numpy.version, numpy.image, numpy.in_image) == (NUMPY, NUMPY, True)
    assert resolved.warnings == ()


def test_what_only_a_package_needs_that_is_surely_in_the_image_is_not_locked(index: Index, found: Finder) -> None:
    index.add("styler", "1.0", "accelerate", "einops<0.8.1")
    assert versions(found("styler==1.0")) == {"styler": "1.0", "einops": "0.8.0"}
    assert versions(found("accelerate==1.6.0")) == {}


def test_what_another_package_needs_too_or_a_replacement_of_it_is_locked(index: Index, found: Finder) -> None:
    index.add("stylist", "1.0", "accelerate", "safetensors")
    assert versions(found("stylist==1.0")) == {"stylist": "1.0", "safetensors": SAFETENSORS}
    replaced = versions(found("accelerate==1.9.0"))
    assert replaced == {"accelerate": "1.9.0", "psutil": "7.1.3", "safetensors": SAFETENSORS, "tqdm": "5.0"}


def test_a_version_of_the_last_lock_stays_where_it_may(found: Finder) -> None:
    assert versions(found("film>=1", keep={"film": "1.0"}))["film"] == "1.0"


def test_the_same_inputs_give_the_same_packages(found: Finder) -> None:
    assert found("film==2.0", "einops==0.8.0") == found("film==2.0", "einops==0.8.0")


def test_what_would_replace_torch_is_refused_with_a_version_that_goes_with_the_image(found: Finder) -> None:
    where, message, fix = found.refusal("einops==0.8.0", "fastattn==2.0")
    assert (where, message) == ("config/svd.yaml:1", "fastattn 2.0 needs torch 2.7.0; the image has 2.6.0+cu124")
    assert fix == "take fastattn==1.0, the newest that goes with the image, or choose an image with torch 2.7.0"


def test_a_range_of_versions_of_torch_is_told_as_it_is_demanded(index: Index, found: Finder) -> None:
    index.add("modern", "1.0", "numpy", "torch>=2.7,<3")
    index.add("torch", "2.6.0")
    index.add("torch", "2.9.1")
    assert found.refusal("modern==1.0")[1] == "modern 1.0 needs torch<3,>=2.7; the image has 2.6.0+cu124"


def test_what_would_replace_torch_by_a_dependency_is_refused_at_the_line_that_brings_it(found: Finder) -> None:
    where, message, fix = found.refusal("wrapper", "einops==0.8.0")
    assert where == "config/svd.yaml:0"
    assert message == "fastattn 2.0 (which wrapper needs) needs torch 2.7.0; the image has 2.6.0+cu124"
    assert fix == "choose an image with torch 2.7.0"


def test_a_version_that_the_image_holds_back_is_told(found: Finder) -> None:
    resolved = found("fastattn")
    assert versions(resolved) == {"fastattn": "1.0"}
    (warning,) = resolved.warnings
    assert (warning.location, warning.message) == (
        "config/svd.yaml:0",
        "fastattn 1.0 is taken and not 2.0, which does not go with the image's torch 2.6.0+cu124",
    )


def test_what_is_replaced_in_the_image_is_told_with_both_versions(found: Finder) -> None:
    resolved = found("reader==1.0")
    assert [package.image for package in resolved.packages] == [None, SAFETENSORS]
    assert f"safetensors 0.8.0 replaces {SAFETENSORS} of the image" in [each.message for each in resolved.warnings]


def test_a_dependency_that_owns_a_module_of_the_image_is_told(found: Finder) -> None:
    messages = [warning.message for warning in found("headless==1.0").warnings]
    assert any(
        "opencv-python-headless and opencv-python of the image both install the module cv2" in each for each in messages
    )


def test_a_version_that_its_authors_took_back_is_told(found: Finder) -> None:
    (warning,) = found("film==1.0", "einops==0.8.1").warnings
    assert (warning.location, "yanked" in warning.message) == ("config/svd.yaml:1", True)


@pytest.mark.parametrize(
    ("line", "message", "fix"),
    [
        ("imagio", "the package index has no imagio", "did you mean 'imageio'?"),
        ("film==9", "the package index has no film==9", "film 2.0 is the newest"),
        ("flashy", "there is no wheel of flashy 1.0 for Python 3.12", "use another package"),
        ("oldie==1.0", "there is no wheel of oldie 1.0 for Python 3.12", "use another package"),
        ("film>=1,!=1.0,!=2.0", "the package index has no film", "film 2.0 is the newest"),
    ],
)
def test_a_requirement_that_the_index_cannot_meet_is_told_at_its_line(
    found: Finder, line: str, message: str, fix: str
) -> None:
    where, told, what_to_do = found.refusal("einops==0.8.0", line)
    assert (where, what_to_do) == ("config/svd.yaml:1", fix)
    assert told.startswith(message)


def test_an_index_that_is_a_folder_or_speaks_html_is_read_for_the_reason(cache: str, tmp_path: Path) -> None:
    page = tmp_path / "simple" / "film" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        "".join(f'<a href="film-{v}.whl#sha256=0">film-{v}-py3-none-any.whl</a>\n' for v in ("1.0", "2.0rc1"))
    )
    (tmp_path / "wheels").mkdir()
    environ = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}
    folder = {"UV_DEFAULT_INDEX": (tmp_path / "simple").as_uri(), "UV_FIND_LINKS": "wheels"}
    find = Finder(PackageIndex.of({**environ, **folder}, tmp_path))
    assert find.refusal("film==9")[1:] == ("the package index has no film==9", "film 1.0 is the newest")
    (tmp_path / "wheels" / "film-9-cp39-cp39-win_amd64.whl").touch()
    assert find.refusal("film==9")[1].startswith("there is no wheel of film 9 for Python 3.12")
    assert find.refusal("films")[1:] == ("the package index has no films", "correct the name")


def test_a_conflict_of_two_requirements_is_told_in_the_words_of_uv(found: Finder) -> None:
    where, message, _ = found.refusal("reader==1.0", "safetensors==0.7.0")
    assert where == "config/svd.yaml:requirements"
    assert "reader depend on safetensors>=0.8" in message
    assert "\n" not in message


def test_of_an_unknown_image_only_the_requirements_themselves_are_locked(found: Finder) -> None:
    resolved = found("film==1.0", tag="9.9-py312-ubuntu22.04", known=False)
    assert versions(resolved) == {"film": "1.0"}
    assert "what a requirement itself needs is not locked" in resolved.warnings[0].message
    with pytest.raises(UserError, match="does not say which Python"):
        found("film==1.0", tag="latest", known=False)


def test_an_index_that_does_not_answer_is_an_error_that_says_what_to_do(cache: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}
    index = PackageIndex.of({**environ, "PIP_INDEX_URL": "http://me:hunter2@127.0.0.1:9/simple"}, tmp_path)
    with pytest.raises(RemoteError, match="the package index cannot be read: Connection refused") as caught:
        Finder(index)("nowhere==1.0")
    assert (caught.value.where, caught.value.exit_code) == ("http://127.0.0.1:9/simple", 3)
    assert "PIP_INDEX_URL" in (caught.value.fix or "")
    assert "hunter2" not in str(caught.value)


def test_the_password_of_an_index_is_in_nothing_that_is_shown_or_locked(cache: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}
    with package_index.serving() as index:
        index.add("secretive", "1.0")
        index.password = "hunter2"
        for password in ("hunter2", "hunter3"):
            url = index.url.replace("//", f"//me:{password}@")
            find = Finder(PackageIndex.of({**environ, "PIP_INDEX_URL": url}, tmp_path))
            if password == index.password:
                resolved = find("secretive")
                assert resolved.packages[0].modules == ("secretive",)
                assert "hunter" not in repr(resolved)
                assert find.refusal("secretives")[1] == "the package index has no secretives"
            else:
                with pytest.raises(UserError) as caught:
                    find("secretive")
                assert "hunter" not in str(caught.value)


def test_where_no_index_is_allowed_none_is_asked(index: Index, cache: str, tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "own_words-1.0-py3-none-any.whl").write_bytes(package_index.wheel("own-words", "1.0"))
    environ = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": cache, "UV_HTTP_RETRIES": "0"}
    for forbidden in (
        {"UV_DEFAULT_INDEX": index.url, "UV_NO_INDEX": "1", "UV_FIND_LINKS": "wheels"},
        {"PIP_INDEX_URL": index.url, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels", "PIP_CONFIG_FILE": "/dev/null"},
    ):
        find = Finder(PackageIndex.of({**environ, **forbidden}, tmp_path))
        assert versions(find("own-words")) == {"own-words": "1.0"}
        asked = len(index.log)
        _, message, fix = find.refusal("einops")
        assert message == f"{tmp_path / 'wheels'} has no einops, and no package index may be asked"
        assert fix == "put its wheel into a folder that PIP_FIND_LINKS names, or allow an index"
        assert len(index.log) == asked


@pytest.fixture
def made_for(index: Index) -> Index:
    """The index with the packages that the image is made for."""
    for version in ("0.30.0", "0.36.0", "2.0"):
        index.add("huggingface-hub", version)
    index.add("transformers", "4.51.3", "huggingface-hub<1")
    for name, version in (("diffusers", "0.33.1"), ("peft", "0.14.0")):
        index.add(name, version)
    return index


def test_what_does_not_go_with_a_replaced_package_is_told(made_for: Index, found: Finder) -> None:
    del made_for
    messages = [warning.message for warning in found("huggingface-hub==2.0").warnings]
    assert messages[0] == "huggingface-hub 2.0 replaces 0.30.0 of the image"
    assert messages[1].startswith("what is replaced breaks another package of the image: ")
    assert "transformers depend on huggingface-hub<1" in messages[1]


def test_what_is_replaced_goes_with_what_the_image_is_made_for_where_it_can(made_for: Index, found: Finder) -> None:
    made_for.add("modish", "1.0", "huggingface-hub>=0.31")
    made_for.add("modish", "2.0", "huggingface-hub>=1")
    resolved = found("modish")
    assert versions(resolved) == {"modish": "1.0", "huggingface-hub": "0.36.0"}
    assert [warning.message for warning in resolved.warnings] == [
        "huggingface-hub 0.36.0 replaces 0.30.0 of the image",
        "modish 1.0 is taken and not 2.0, which does not go with the image's other packages",
    ]
