"""A hook is judged as the server finds it, wherever it comes from: a helper, a class, a lambda, `functools.partial`."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING

import pytest

from tests.unit.spec.program.test_check import GOOD, HANDLER, told, write

if TYPE_CHECKING:
    from pathlib import Path

HELPER = "code_of/toy/helper.py"
REFUSED = [
    ("from helper import predict_fn\n", "async def predict_fn(data, model): ...\n", f"{HELPER}:1:1", "predict_fn is async"),
    ("from helper import predict_fn\n", "def predict_fn(data): ...\n", f"{HELPER}:1:1", "predict_fn has 1 parameter"),
    ("from helper import run as predict_fn\n", "def run(data): ...\n", f"{HELPER}:1:1", "run, which is predict_fn, has 1 parameter"),
    ("from helper import *\n", "def predict_fn(data): ...\n", f"{HELPER}:1:1", "predict_fn has 1 parameter"),
    ("import helper\npredict_fn = helper.run\n", "def run(data): ...\n", f"{HELPER}:1:1", "run, which is predict_fn,"),
    ("import helper as h\nx = h.Model()\npredict_fn = x.run\n", "class Model:\n    def run(self, data): ...\n", f"{HELPER}:2:5", "run, which is predict_fn, has 1 parameter"),
    ("def run(data): ...\npredict_fn = run\n", "", f"{HANDLER}:1:1", "run, which is predict_fn, has 1 parameter"),
    ("predict_fn = lambda data: data\n", "", f"{HANDLER}:1:14", "predict_fn has 1 parameter"),
    ("class H:\n    def predict_fn(self, data, model, context): ...\npredict_fn = H.predict_fn\n", "", f"{HANDLER}:2:5", "predict_fn has 4 parameters"),
    ("class predict_fn:\n    def __init__(self, data): ...\n", "", f"{HANDLER}:2:5", "predict_fn has 1 parameter"),
    ("from functools import partial\ndef run(a, b, c): ...\npredict_fn = partial(run, 1, 2)\n", "", f"{HANDLER}:2:1", "has 1 parameter"),
    ("from functools import partial\ndef run(data, model, size): ...\npredict_fn = partial(run, size=1)\n", "", f"{HANDLER}:3:1", "keyword-only"),
    ("def predict_fn(data, model, temperature=0.7): ...\n", "", f"{HANDLER}:1:1", "the server passes its context as temperature, in place of the default 0.7"),
    ("def model_fn(model_dir, device='cuda'): ...\n", "", f"{HANDLER}:1:1", "the server passes its context as device"),
    ("predict_fn = 'run'\n", "", f"{HANDLER}:1:1", "predict_fn is 'run', which the server cannot call"),
    ("def predict_fn(data, model):\n    yield 1\n", "", f"{HANDLER}:1:1", "predict_fn is a generator"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "helper", "where", "message"), REFUSED)
def test_a_hook_that_the_server_cannot_use_is_refused_where_it_is_written(
    tmp_path: Path, code: str, helper: str, where: str, message: str
) -> None:
    write(tmp_path, code)
    write(tmp_path, helper, "helper.py")
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("error", where)
    assert message in text


WARNED = [
    ("def predict_fn(model, data): ...\n", "1:1", "predict_fn takes model as its parameter 1, where the server passes data"),
    ("def transform_fn(data, model, content_type, accept): ...\n", "1:1", "where the server passes model"),
    ("def predict_fn(data, model):\n    model(data)\n", "1:1", "predict_fn returns nothing, so that each answer is null"),
    ("try:\n    from fast import predict_fn\nexcept ImportError:\n    def predict_fn(data): ...\n", "4:5", "has 1 parameter"),
    ("class M:\n    def predict_fn(self, data, model): ...\n", "", "the server calls no methods, such as predict_fn of the class M"),
    ("class EndpointHandler:\n    def __call__(self, data): ...\n", "", "is the handler of Hugging Face's Inference Endpoints"),
    ("class Handler:\n    def handle(self, data, context): ...\n", "", "is a handler of TorchServe"),
    ("if __name__ == '__main__':\n    def model_fn(model_dir): ...\n", "", "no hook is defined here"),
    ("def model_fn(model_dir): ...\ndel model_fn\n", "", "no hook is defined here"),
    ("from helper import *\n", "", "no hook is defined here"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "where", "message"), WARNED)
def test_a_hook_that_is_probably_wrong_is_warned_about(tmp_path: Path, code: str, where: str, message: str) -> None:
    write(tmp_path, code)
    write(tmp_path, "__all__ = ['x']\nx = 1\ndef predict_fn(data, model): ...\n", "helper.py")
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("warning", f"{HANDLER}:{where}".rstrip(":"))
    assert message in text


PASSED = [
    "def model_fn(model_dir, config=None): ...\ndef predict_fn(data, model, settings=dict()): ...\n",
    "from functools import partial\ndef run(size, data, model): ...\npredict_fn = partial(run, 1)\n",
    "class H:\n    def predict_fn(self, data, model): ...\nh = H()\npredict_fn = h.predict_fn\n",
    "class H:\n    @staticmethod\n    def predict_fn(data, model): ...\npredict_fn = H().predict_fn\n",
    "class H:\n    @classmethod\n    def predict_fn(cls, data, model): ...\npredict_fn = H.predict_fn\n",
    "class H:\n    def __call__(self, data, model): ...\npredict_fn = H()\n",
    "class H(Exception):\n    ...\nh = H()\npredict_fn = h.predict_fn\n",
    "from asgiref.sync import async_to_sync\n@async_to_sync\nasync def predict_fn(data, model): ...\n",
    "def model_fn(model_dir): ...\ndef predict_fn(data): ...\ndef predict_fn(data, model): ...\n",
    "def transform_fn(model, data, content_type, accept): ...\npredict_fn = None\n",
    "transform_fn = None\ndef predict_fn(data, model): ...\n",
    "def predict_fn(data, model):\n    yield 1\ndef output_fn(prediction, accept): return list(prediction)\n",
    "def predict_fn(data, model):\n    raise ValueError('not yet')\n",
    "def predict_fn(data, net): ...\ndef input_fn(request_body, request_content_type): ...\n",
    "from helper import *\n",
    "import helper\npredict_fn = helper.predict_fn\n",
    "import helper\nfor name in ('predict_fn',):\n    globals()[name] = getattr(helper, name)\n",
    "import sys\nif sys.platform == 'linux':\n    def model_fn(model_dir): ...\nelse:\n    def model_fn(model_dir, context): ...\n",
]


@pytest.mark.parametrize("code", PASSED)
def test_a_hook_that_serves_is_let_pass_however_it_is_made(tmp_path: Path, code: str) -> None:
    write(tmp_path, code)
    write(tmp_path, "def predict_fn(data, model): ...\n", "helper.py")
    assert [one for one in told(tmp_path) if "module asgiref" not in one[2]] == []


def test_partial_is_counted_as_the_server_counts_it(tmp_path: Path) -> None:
    def run(data: object, model: object, size: int, colour: int = 0) -> None: ...

    for number, given in enumerate(({"size": 1}, {"model": 1}, {"colour": 1})):
        partial = functools.partial(run, **given)
        count = len(inspect.signature(partial).parameters)
        code = f"import functools\ndef run(data, model, size, colour=0): ...\npredict_fn = functools.partial(run, **{given})\n"
        code = code.replace(f"**{given}", ", ".join(f"{name}={value}" for name, value in given.items()))
        write(tmp_path, code)
        ((severity, _, text),) = told(tmp_path)
        assert (severity, f"has {count} parameters" in text) == ("error", True), (number, text)


def test_hooks_that_exclude_each_other_are_found_in_whatever_file(tmp_path: Path) -> None:
    write(tmp_path, "from helper import *\n" + GOOD + "def output_fn(prediction, accept): ...\n")
    write(tmp_path, "def transform_fn(model, data, content_type, accept): ...\n", "helper.py")
    ((severity, location, message),) = told(tmp_path)
    assert (severity, location) == ("error", HANDLER)
    assert "transform_fn cannot be combined with output_fn" in message
