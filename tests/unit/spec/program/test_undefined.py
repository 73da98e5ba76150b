"""A name that nothing gives is told before the request that would meet it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.spec.program.test_check import GOOD, HANDLER, told, write

if TYPE_CHECKING:
    from pathlib import Path

TOLD = [
    ("def model_fn(model_dir):\n    return AutoModel.from_pretrained(model_dir)\n", "2:12", "error", "the name AutoModel is not defined"),
    (GOOD + "def predict_fn(data, model):\n    return np.array(data)\n", "3:12", "error", "the name np is not defined"),
    (GOOD + "def predict_fn(data, model):\n    return run(data)\ndef run(x):\n    return np.array(x)\n", "5:12", "error", "the name np"),
    (GOOD + "def unused():\n    return np.array(1)\n", "3:12", "warning", "the name np"),
    (GOOD + "x = display(1)\n", "2:5", "error", "only notebooks have it"),
    (GOOD + "def f(x: Image): ...\n", "2:10", "warning", "the name Image"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "severity", "message"), TOLD)
def test_a_name_that_nothing_gives_is_told_at_its_first_use(
    tmp_path: Path, code: str, where: str, severity: str, message: str
) -> None:
    write(tmp_path, code)
    ((found, location, text),) = told(tmp_path)
    assert (found, location) == (severity, f"{HANDLER}:{where}")
    assert message in text


PASSED = [
    "from __future__ import annotations\ndef f(x: Image) -> Box: ...\n",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from PIL.Image import Image\ndef f(x: 'Image'): ...\n",
    "def f():\n    global counter\n    counter = 1\ndef g(): return counter\n",
    "def f(): return later\nlater = 1\n",
    "x = [y for y in range(3) if (z := y)]\nw = z\n",
    "try:\n    unicode\nexcept NameError:\n    unicode = str\n",
    "from math import *\nx = sqrt(4)\n",
    "x = __file__, __name__, ExceptionGroup, print\n",
    "match 1:\n    case {'a': a, **rest}: print(a, rest)\n    case [first, *others]: print(first, others)\n    case other: print(other)\n",
    "class A:\n    x = 1\n    def f(self): return self.x, __class__\n",
    "try: ...\nexcept OSError as error: print(error)\n",
    "f = lambda *parts, **named: (parts, named)\n",
    "def outer():\n    value = 1\n    def inner():\n        nonlocal value\n        return value\n    return inner\n",
    "exec('x = 1')\nprint(x)\n",
    "import os.path as p, json.decoder\nprint(p, json)\n",
]


@pytest.mark.parametrize("code", PASSED)
def test_a_name_that_may_be_there_is_let_pass(tmp_path: Path, code: str) -> None:
    future = "from __future__" in code
    write(tmp_path, code + GOOD if future else GOOD + code)
    assert told(tmp_path) == []
