"""Whatever is in the files, the check ends with an answer; and a handler that serves is let pass, however it is put together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.spec.code_tree import CodeFile
from sagepack.spec.program.check import Target, check
from sagepack.spec.program.hooks import HOOKS
from tests.helpers.paths import ROOT
from tests.unit.spec.program.test_check import NEW_IMAGE

HANDLERS = sorted((ROOT / "inference_code").glob("*/*.py"))
CPU_TAG = "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04"
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# The ways to give a module a hook: `{name}` is the hook, `{names}` its parameters.
WAYS = [
    "def {name}({names}):\n    return {first}\n",
    "def {name}({names}, context=None):\n    import json\n    return json.dumps({first})\n",
    "{name} = lambda {names}: {first}\n",
    "class Of_{name}:\n    def run(self, {names}):\n        return {first}\n{name} = Of_{name}().run\n",
    "def made_{name}(size, {names}):\n    return size\nimport functools\n{name} = functools.partial(made_{name}, 3)\n",
    "from helper import {name}\n",
    "import helper as h_{name}\n{name} = h_{name}.{name}\n",
]
# What programs also do, none of it wrong.
ASIDE = [
    "import os, json, torch\nDEVICE = 'cuda' if torch.cuda.is_available() else 'cpu'\n",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from elsewhere import Thing\n",
    "import tempfile\nFOLDER = tempfile.mkdtemp()\nopen(FOLDER + '/x', 'w').close()\n",
    "try:\n    import xformers\nexcept ImportError:\n    xformers = None\n",
    "if __name__ == '__main__':\n    import pytest\n    pytest.main()\n",
    "total = sum(x * y for x in range(3) for y in range(x) if (z := x) > 1)\n",
    "def tool(*parts, **named):\n    global used\n    used = parts\n    return [part for part in parts], named\n",
    "class Base:\n    size: int = 3\n    @property\n    def area(self): return self.size ** 2\n",
    "match total if 'total' in dir() else 0:\n    case [first, *rest]: print(first, rest)\n    case {'a': b}: print(b)\n    case _: pass\n",
]  # fmt: skip


def judged(folder: Path, texts: dict[str, bytes], tag: str = NEW_IMAGE.partition("=")[2]) -> list[tuple[str, str]]:
    """Severity and message of all that is told about these files."""
    files = []
    for name, text in texts.items():
        (folder / name).write_bytes(text)
        files.append(CodeFile(f"code/{name}", len(text), Digest.sha256(text), executable=False, source=folder / name))
    return [
        (one.severity, f"{one.location}: {one.message}") for one in check(files, folder, Target("inference.py", tag))
    ]


@QUIET
@given(data=st.data())
def test_a_handler_that_serves_is_let_pass_however_it_is_put_together(tmp_path: Path, data: st.DataObject) -> None:
    names = data.draw(st.sampled_from([["model_fn", "transform_fn"], ["predict_fn"], [*HOOKS][:4], [*HOOKS][:3]]))
    ways = {name: data.draw(st.sampled_from(WAYS)) for name in names}
    parts = [*data.draw(st.lists(st.sampled_from(ASIDE[:-1]), unique=True))]
    for name, way in ways.items():
        words = {"name": name, "names": ", ".join(HOOKS[name]), "first": HOOKS[name][0]}
        parts.append(way.format(**words))
    helper = "".join(WAYS[0].format(name=name, names=", ".join(HOOKS[name]), first=HOOKS[name][0]) for name in HOOKS)
    text = "".join(data.draw(st.permutations(parts)))
    assert judged(tmp_path, {"inference.py": text.encode(), "helper.py": helper.encode()}) == []


@QUIET
@given(data=st.data())
def test_a_damaged_handler_is_judged_without_a_crash(tmp_path: Path, data: st.DataObject) -> None:
    text = bytearray(data.draw(st.sampled_from(HANDLERS)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        text[at : at + data.draw(st.integers(0, 200))] = data.draw(st.binary(max_size=8))
    judged(tmp_path, {"inference.py": bytes(text)}, data.draw(st.sampled_from(["", CPU_TAG])))


@QUIET
@given(text=st.binary(max_size=200))
def test_any_content_is_judged_without_a_crash(tmp_path: Path, text: bytes) -> None:
    judged(tmp_path, {"inference.py": text, "helper.py": text})


@pytest.mark.parametrize(
    ("text", "is_python"),
    [
        (b"\xef\xbb\xbfdef model_fn(model_dir): ...\n", True),
        (b"# -*- coding: latin-1 -*-\nx = '\xe4'\ndef model_fn(model_dir): ...\n", True),
        (b"def model_fn(model_dir): ...\r\nx = 1\r\n", True),
        (b"def model_fn(model_dir): ...\nx = '" + b"a" * (1 << 20) + b"'\n", True),
        (b"def model_fn(model_dir): ...\nx = " + b"[" * 90 + b"]" * 90 + b"\n", True),
        (b"x = '\xe4'\n", False),
        (b"\xff\xfedef model_fn", False),
        (b"x = 1\0\n", False),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_python_reads_is_let_pass_in_whatever_encoding(tmp_path: Path, text: bytes, is_python: bool) -> None:
    assert bool(judged(tmp_path, {"inference.py": text})) is not is_python


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "inference_code").glob("*/inference.py")))
def test_a_handler_that_is_shipped_passes_in_every_image(tmp_path: Path, name: str) -> None:
    folders = [ROOT / "inference_code" / folder for folder in (name, "shared")]
    files = {path.name: path.read_bytes() for folder in folders for path in folder.glob("*.py")}
    for tag in ("", CPU_TAG, NEW_IMAGE.partition("=")[2]):
        assert judged(tmp_path, files, tag) == []
