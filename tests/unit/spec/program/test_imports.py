"""An import that the container cannot satisfy is told, as surely as the contents of the image are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.specs import errors
from tests.unit.spec.program.test_check import GOOD, HANDLER, OLD_IMAGE, OWN_IMAGE, told, write

if TYPE_CHECKING:
    from pathlib import Path

IMAGEIO = "code.requirements=[imageio==2.37.0]"

REFUSED = [
    ("import imageio\n", "1:1", "neither the image nor the code has a module imageio"),
    ("import torch, bs4\n", "1:1", "has a module bs4"),
    ("import json\nfrom imageio.v3 import imread\n", "2:1", "has a module imageio"),
    ("import google.cloud.storage\n", "1:1", "has a module google.cloud.storage"),
    ("class A:\n    import imageio\n", "2:5", "has a module imageio"),
    ("try:\n    import imageio\nexcept ValueError:\n    pass\n", "2:5", "has a module imageio"),
    ("import imp\n", "1:1", "Python 3.12 of the image has no module imp"),
    ("from . import helper\n", "1:1", "this relative import fails: the top of the code is not a package"),
    ("from .helper import x\n", "1:1", "this relative import fails"),
    ("from inference_code.shared.helper import x\n", "1:1", "at the top of the module path: import helper"),
    ("from code.helper import x\n", "1:1", "at the top of the module path: import helper"),
    ("from package import ok\n", "code_of/toy/package/ok.py:1:1", "has a module imageio"),
]


@pytest.mark.parametrize(("code", "where", "message"), REFUSED)
def test_a_module_that_is_nowhere_is_refused(tmp_path: Path, code: str, where: str, message: str) -> None:
    write(tmp_path, code + GOOD)
    write(tmp_path, "x = 1\n", "helper.py")
    write(tmp_path, "", "package/__init__.py")
    write(tmp_path, "import imageio\n", "package/ok.py")
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("error", where if "/" in where else f"{HANDLER}:{where}")
    assert message in text


WARNED = [
    ("def predict_fn(data, model):\n    import imageio\n    return data\n", []),
    ("import sys\nif sys.flags.debug:\n    import imageio\n", []),
    ("import imageio\n", ["code.requirements=[gradio==5.1.0]"]),
    ("import subprocess\ndef get(): subprocess.run(['pip', 'install', 'imageio'])\nimport imageio\n", []),
    ("import os\ndef get(): os.system('pip install imageio')\nimport imageio\n", []),
    ("import sys\nsys.path.append('/opt/more')\nimport imageio\n", []),
]


@pytest.mark.parametrize(("code", "sets"), WARNED)
def test_a_module_that_may_be_there_is_a_warning(tmp_path: Path, code: str, sets: list[str]) -> None:
    write(tmp_path, code + GOOD)
    ((severity, _, message),) = told(tmp_path, sets)
    assert severity == "warning"
    assert "has a module imageio" in message


PASSED = [
    (
        "import torch.nn.functional, PIL.Image, cv2, yaml, google.protobuf.message, sklearn, mms\nfrom google import protobuf\n",
        [],
    ),
    ("import json, distutils.util, xml.etree.ElementTree\n", []),
    ("import helper\nimport folder.part\nfrom package.ok import x\n", []),
    ("import imageio\n", [IMAGEIO]),
    ("import bs4\n", ["code.requirements=[beautifulsoup4==4.13.4]"]),
    ("import cv2\n", ["code.requirements=[opencv-python-headless==4.11.0.86]"]),
    ("import sentence_transformers\n", ["code.requirements=['Sentence.Transformers==4.1.0']"]),
    ("try:\n    import imageio\nexcept ImportError:\n    import imageio2\n", []),
    ("import contextlib\nwith contextlib.suppress(ImportError):\n    import imageio\n", []),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import imageio\n", []),
    ("import sys\nif sys.version_info < (3, 11):\n    import tomli\n", []),
    ("if __name__ == '__main__':\n    import pytest\n", []),
    ("import sys\nsys.path.append('folder')\nimport part\n", []),
    ("import imageio\n", [OWN_IMAGE]),
]


@pytest.mark.parametrize(("code", "sets"), PASSED)
def test_a_module_that_something_provides_or_that_nobody_knows_is_let_pass(
    tmp_path: Path, code: str, sets: list[str]
) -> None:
    write(tmp_path, code + GOOD)
    write(tmp_path, "x = 1\n", "helper.py")
    write(tmp_path, "x = 1\n", "folder/part.py")
    write(tmp_path, "from . import ok\nfrom .ok import x\n", "package/__init__.py")
    write(tmp_path, "x = 1\n", "package/ok.py")
    write(tmp_path, "import pytest\n", "test_of_helper.py")  # nothing imports it
    assert told(tmp_path, sets) == []


def test_of_a_helper_that_a_function_imports_nothing_is_certain(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "def predict_fn(data, model):\n    import helper\n    return data\n")
    write(tmp_path, "import imageio\n", "helper.py")
    ((severity, location, _message),) = told(tmp_path)
    assert (severity, location) == ("warning", "code_of/toy/helper.py:1:1")


def test_what_python_had_before_depends_on_that_of_the_image(tmp_path: Path) -> None:
    write(tmp_path, "import imp\n" + GOOD)
    assert told(tmp_path, [OLD_IMAGE]) == []


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("torch.py", "error"),
        ("diffusers.py", "error"),
        ("numpy.py", "error"),
        ("mms.py", "error"),
        ("arrow.py", "warning"),
        ("diffusers/__init__.py", "warning"),
        ("helper/torch.py", None),
        ("torch.json", None),
        ("imageio.py", None),
    ],
)
def test_a_file_with_the_name_of_a_module_of_the_image_hides_it(
    tmp_path: Path, name: str, severity: str | None
) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, "x = 1\n", name)
    found = told(tmp_path)
    assert [one[:2] for one in found] == ([(severity, f"code_of/toy/{name}")] if severity else [])
    assert all("of the image" in message for *_, message in found)
    assert told(tmp_path, [OWN_IMAGE]) == []


def test_a_module_of_the_code_that_is_misspelt_is_proposed_and_no_package(tmp_path: Path) -> None:
    write(tmp_path, "import handler_imags\n" + GOOD)
    write(tmp_path, "x = 1\n", "handler_images.py")
    (problem,) = errors(tmp_path)
    assert problem.fix == "did you mean 'handler_images'?"


def test_the_package_that_installs_a_module_is_the_fix(tmp_path: Path) -> None:
    write(tmp_path, "import bs4\n" + GOOD)
    (problem,) = errors(tmp_path)
    assert problem.fix is not None
    assert "add beautifulsoup4, pinned, to code.requirements" in problem.fix
