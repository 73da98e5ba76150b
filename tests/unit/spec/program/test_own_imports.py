"""What a file imports from another file of the code must be there, and there in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.spec.program.test_check import GOOD, told, write

if TYPE_CHECKING:
    from pathlib import Path

Files = dict[str, str]

REFUSED: list[tuple[Files, str, str]] = [
    ({"": "from helper import loadd\n", "helper.py": "def load(): ...\n"}, "inference.py:1:1", "code_of/toy/helper.py has no loadd: did you mean 'load'?"),
    ({"": "from pkg import mod\n", "pkg/__init__.py": ""}, "inference.py:1:1", "or add the file mod.py beside it"),
    ({"": "import pkg.mod\n", "pkg/__init__.py": ""}, "inference.py:1:1", "the code has no module pkg.mod"),
    ({"": "from pkg.mod import x\n", "pkg/__init__.py": "", "pkg/mod.py": "from .other import x\n"}, "pkg/mod.py:1:1", "no module pkg.other"),
    ({"": "import helper\nx = helper.loadd()\n", "helper.py": "def load(): ...\n"}, "inference.py:2:5", "code_of/toy/helper.py has no loadd: did you mean 'load'?"),
    ({"": "import a\n", "a.py": "from b import x\ny = 1\n", "b.py": "from a import y\nx = 1\n"}, "b.py:1:1", "circular import (a.py -> b.py -> a.py): a.py has no y yet"),
    ({"": "from a import f\nX = 1\n", "a.py": "from inference import X\ndef f(): ...\n"}, "a.py:1:1", "circular import (inference.py -> a.py -> inference.py)"),
]  # fmt: skip


@pytest.mark.parametrize(("files", "where", "message"), REFUSED)
def test_what_a_helper_lacks_is_refused_where_it_is_imported(
    tmp_path: Path, files: Files, where: str, message: str
) -> None:
    for name, code in files.items():
        write(tmp_path, code if name else code + GOOD, name or "inference.py")
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("error", f"code_of/toy/{where}")
    assert message in text


PASSED: list[Files] = [
    {"": "import a\n", "a.py": "import b\ny = 1\n", "b.py": "import a\nx = 1\n"},
    {"": "import a\n", "a.py": "y = 1\nfrom b import x\n", "b.py": "from a import y\nx = 1\n"},
    {"": "from a import f\nX = 1\n", "a.py": "def f():\n    from inference import X\n    return X\n"},
    {"": "from a import f\nX = 1\n", "a.py": "try:\n    from inference import X\nexcept ImportError:\n    X = 2\ndef f(): ...\n"},
    {"": "from helper import x, y\n", "helper.py": "def __getattr__(name): return 1\n"},
    {"": "from helper import x\n", "helper.py": "globals().update(x=1)\n"},
    {"": "from helper import x\n", "helper.py": "from torch import *\n"},
    {"": "from helper import x\n", "helper.py": "import sys\nif sys.argv:\n    x = 1\n"},
    {"": "from helper import x\n", "helper.py": "def f():\n    global x\n    x = 1\nf()\n"},
    {"": "from helper import x, y, z\n", "helper.py": "(x, [y, *z]) = 1, [2, 3]\n"},
    {"": "from helper import x\n", "helper.py": "for x in range(3): ...\n"},
    {"": "from helper import x\n", "helper.py": "with open('a') as x: ...\n"},
    {"": "from helper import x\n", "helper.py": "if (x := 1): ...\n"},
    {"": "from pkg import mod\nfrom pkg.mod import x\n", "pkg/mod.py": "x = 1\n"},
    {"": "import pkg.sub.mod\nx = pkg.sub.mod.x\n", "pkg/sub/mod.py": "x = 1\n"},
    {"": "from pkg import x\n", "pkg/__init__.py": "from .mod import x\n", "pkg/mod.py": "x = 1\n"},
    {"": "import helper\nx = helper.__file__\nhelper.y = 1\n", "helper.py": ""},
    {"": "import helper\ndef f(helper): return helper.y\n", "helper.py": ""},
    {"": "from helper import x\n", "helper.py": "type X = int\nx = = 1\n"},
]  # fmt: skip


@pytest.mark.parametrize("files", PASSED)
def test_what_is_there_in_time_or_cannot_be_known_is_let_pass(tmp_path: Path, files: Files) -> None:
    for name, code in files.items():
        write(tmp_path, code if name else code + GOOD, name or "inference.py")
    assert [one for one in told(tmp_path) if "cannot parse" not in one[2]] == []
