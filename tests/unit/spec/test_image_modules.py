"""The modules of images: every known tag has them, and those of one tag are not those of another."""

from __future__ import annotations

import json

import pytest

from sagepack.spec import image_modules, images

NEWEST = "2.6.0-transformers5.5.3-gpu-py312-cu124-ubuntu22.04"
PYTORCH_2_1 = "2.1.0-transformers4.37.0-gpu-py310-cu118-ubuntu20.04"


@pytest.mark.parametrize("tag", images.known_tags())
def test_every_known_image_has_what_its_server_and_its_handlers_need(tag: str) -> None:
    modules = image_modules.modules(tag)
    assert modules is not None
    assert {"torch", "transformers", "diffusers", "numpy", "PIL", "yaml", "mms", "google.protobuf"} <= modules.keys()
    assert {"torch", "transformers", "diffusers", "multi-model-server"} <= image_modules.pinned(tag)
    assert modules == image_modules.modules(f"{tag}-v2.1")


@pytest.mark.parametrize("tag", images.known_tags())
def test_both_tables_of_images_name_the_same_versions(tag: str) -> None:
    image = json.loads(image_modules._TABLE.read_text())["images"][tag]
    pins = dict(entry.split("==") for entry in image["pinned"].split() if "==" in entry)
    for package, version in images.packages(tag).items():
        assert pins.get(package.replace("_", "-"), version).partition("+")[0] == version


def test_an_image_for_cpus_has_less() -> None:
    cpu = image_modules.modules("2.6.0-transformers5.5.3-cpu-py312-ubuntu22.04")
    gpu = image_modules.modules(NEWEST)
    assert cpu is not None
    assert gpu is not None
    assert gpu.keys() - cpu.keys() >= {"pandas", "triton", "flask"}


def test_modules_that_came_or_went_with_a_version_are_told_apart() -> None:
    newest, older = image_modules.modules(NEWEST), image_modules.modules(PYTORCH_2_1)
    assert newest is not None
    assert older is not None
    assert ("pkg_resources" in newest, "pkg_resources" in older) == (False, True)
    assert ("torio" in newest, "torio" in older) == (True, False)


def test_nothing_is_known_of_other_images() -> None:
    assert image_modules.modules("mine") is None
    assert image_modules.pinned("mine") == frozenset()


@pytest.mark.parametrize(
    ("module", "package"),
    [("cv2", "opencv-python-headless"), ("yaml", "pyyaml"), ("bs4", "beautifulsoup4"), ("flash_attn", "flash-attn")],
)
def test_a_module_leads_to_the_package_that_installs_it_and_back(module: str, package: str) -> None:
    assert image_modules.distribution_of(module) == package
    assert module in image_modules.of_distribution(package)


def test_the_standard_library_is_that_of_the_version() -> None:
    versions = [(3, 9), (3, 10), (3, 11), (3, 12), (3, 13)]
    assert [image_modules.in_python("imp", version) for version in versions] == [True, True, True, False, False]
    assert [image_modules.in_python("tomllib", version) for version in versions] == [False, False, True, True, True]
    assert all(image_modules.in_python(name, version) for name in ("json", "distutils") for version in versions)
