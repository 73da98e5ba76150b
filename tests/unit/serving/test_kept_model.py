"""After which edits the model that is in memory is the one that `model_fn` would return."""

from __future__ import annotations

import pytest

from sagepack.serving.kept_model import why_again

PROGRAM = """
import os
from helpers import folder, other
import shapes

WEIGHTS = "unet/weights.bin"
LIMIT = 3
CACHE = {}
SIZES = {"a": 1}

def model_fn(model_dir):
    '''Load it.'''
    return read(folder(model_dir), WEIGHTS, SIZES["a"])

def read(folder, name, size):
    return open(os.path.join(folder, name))

def predict_fn(data, model):
    return other(shapes.area(data), LIMIT)
"""
HELPERS = "def folder(name):\n    return name\n\ndef other(a, b):\n    return a\n"
FILES = {
    "inference.py": PROGRAM,
    "helpers.py": HELPERS,
    "shapes.py": "def area(x):\n    return x\n",
    "labels.json": "[]",
}


def answer(change: dict[str, str], before: dict[str, str] | None = None) -> str | None:
    old = {**FILES, **(before or {})}
    before_, after = ({path: text.encode() for path, text in files.items()} for files in (old, {**old, **change}))
    return why_again(before_, after, "inference.py")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"inference.py": PROGRAM.replace("LIMIT = 3", "LIMIT = 4")},
        {"inference.py": PROGRAM.replace("return other", "data = [data]\n    return other")},
        {"inference.py": "# a comment\n" + PROGRAM},
        {"inference.py": PROGRAM.replace("import folder, other", "import folder, other, third")},
        {"helpers.py": HELPERS.replace("return a", "return b")},
        {"shapes.py": "def area(x):\n    return x * x\n"},
        {"new.py": "X = 1\n"},
    ],
)
def test_the_model_is_kept_if_nothing_that_model_fn_needs_has_changed(change: dict[str, str]) -> None:
    assert answer(change) is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"inference.py": PROGRAM.replace("WEIGHTS, SIZES", "LIMIT, SIZES")}, "model_fn changed"),
        ({"inference.py": PROGRAM.replace('"unet/', '"vae/')}, "WEIGHTS of inference changed"),
        ({"inference.py": PROGRAM.replace("open(os", "print(os")}, "read of inference changed"),
        ({"inference.py": PROGRAM.replace("from helpers import folder", "from shapes import folder")}, "folder of "),
        (
            {"inference.py": PROGRAM.replace("import os\n", "import os\nos.umask(0o077)\n")},
            "at the import of inference",
        ),
        ({"helpers.py": HELPERS.replace("return name", "return name + '/x'")}, "folder of helpers changed"),
        ({"helpers.py": HELPERS + "print(1)\n"}, "at the import of helpers"),
        ({"labels.json": "[1]"}, "labels.json changed"),
        ({"inference.py": PROGRAM.replace("open(os", "importlib.import_module(os")}, "it uses importlib"),
        ({"inference.py": PROGRAM.replace("return open", "global LIMIT\n    LIMIT = 1\n    return open")}, "LIMIT"),
        ({"inference.py": PROGRAM.replace("return open", "CACHE[name] = 1\n    return open")}, "it changes CACHE"),
        ({"inference.py": PROGRAM.replace("return open", "CACHE.update(a=1)\n    return open")}, "it may change CACHE"),
        ({"inference.py": PROGRAM.replace("def read(", "class read:\n  def __init__(")}, "the class read"),
        ({"inference.py": "def model_fn(:\n"}, "not all of the code can be read"),
    ],
)
def test_model_fn_is_called_again_if_something_that_it_needs_has_changed_or_may_have(
    change: dict[str, str], why: str
) -> None:
    assert why in (answer(change) or "")


def test_what_model_fn_reaches_by_a_module_counts_whole() -> None:
    before = {"inference.py": PROGRAM.replace("return open", "shapes.area(1)\n    return open")}
    assert answer({"shapes.py": "def area(x):\n    return x\n\nMORE = 1\n"}, before) == "MORE of shapes changed"


def test_what_model_fn_may_have_from_a_star_counts() -> None:
    before = {"inference.py": PROGRAM.replace("import folder, other", "import *")}
    assert answer({"inference.py": before["inference.py"].replace("LIMIT = 3", "LIMIT = 4")}, before) is None
    changed = {"helpers.py": HELPERS.replace("return name", "return name + '/x'")}
    assert answer(changed, before) == "folder of helpers changed"


def test_what_model_fn_reaches_by_another_module_that_has_it_counts() -> None:
    before = {
        "inference.py": "from helpers import model_fn\n",
        "helpers.py": PROGRAM.replace("from helpers", "from more"),
        "more.py": HELPERS,
    }
    assert answer({"helpers.py": before["helpers.py"].replace("LIMIT = 3", "LIMIT = 4")}, before) is None
    assert (
        answer({"helpers.py": before["helpers.py"].replace('"unet/', '"vae/')}, before) == "WEIGHTS of helpers changed"
    )


def test_what_model_fn_reaches_in_a_package_of_the_code_counts() -> None:
    before = {
        "inference.py": PROGRAM.replace("from helpers import", "from tools.paths import"),
        "tools/__init__.py": "",
        "tools/paths.py": f"from . import deep\nfrom .deep import base\n{HELPERS.replace('return name', 'return base(name)')}",
        "tools/deep.py": "def base(x):\n    return x\n",
    }
    assert answer({}, before) is None
    assert answer({"tools/deep.py": "def base(x):\n    return 2 * x\n"}, before) == "base of tools.deep changed"


def test_a_package_without_model_fn_never_has_it_called_again() -> None:
    before = {"inference.py": "def predict_fn(data, model):\n    return 1\n"}
    assert answer({"inference.py": "def predict_fn(data, model):\n    return 2\n"}, before) is None
