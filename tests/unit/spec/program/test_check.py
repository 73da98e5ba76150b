"""Inference code that is wrong is told by file, line and column, and none of it is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sagepack.spec.program.hooks import HOOKS
from tests.helpers.specs import errors, project, warnings

TODAY = sys.version_info[:2]
OLD_IMAGE = "image.tag=1.13.1-transformers4.26.0-gpu-py39-cu117-ubuntu20.04"
NEW_IMAGE = "image.tag=2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
OWN_IMAGE = "image.tag=mine"
HANDLER = "code_of/toy/inference.py"
GOOD = "def model_fn(model_dir): ...\n"


def write(root: Path, code: str | bytes, name: str = "inference.py") -> Path:
    """A project whose code is `code`, which would tell if it were run."""
    if not (root / "config").exists():
        project(root)
    path = root / "code_of" / "toy" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(code if isinstance(code, bytes) else code.encode())
    return path


def told(root: Path, sets: list[str] | None = None) -> list[tuple[str, str, str]]:
    """Severity, place, and message with its fix, of everything about files."""
    found = errors(root, sets or []) or warnings(root, sets or [])
    return [
        (one.severity, one.location, f"{one.message}: {one.fix}") for one in found if one.location.startswith("code_of")
    ]


REFUSED = [
    ("def model_fn(model_dir)\n    return 1\n", f"{HANDLER}:1:24", "of the image cannot parse this: expected ':'"),
    (GOOD + "x = (1,\n", f"{HANDLER}:2:5", "was never closed"),
    (GOOD + "return 3\n", f"{HANDLER}:2:1", "'return' outside function"),
    (
        GOOD + "def predict_fn(data): ...\n",
        f"{HANDLER}:2:1",
        "predict_fn has 1 parameter; the server takes 2, or 3 with context",
    ),
    (GOOD + "def predict_fn(data, model, context, more): ...\n", f"{HANDLER}:2:1", "predict_fn has 4 parameters"),
    ("def model_fn(): ...\n", f"{HANDLER}:1:1", "model_fn has 0 parameters; the server takes 1, or 2"),
    ("def model_fn(model_dir, *, context=None): ...\n", f"{HANDLER}:1:1", "passes 2 arguments to model_fn by position"),
    ("def model_fn(model_dir, **more): ...\n", f"{HANDLER}:1:1", "passes 2 arguments to model_fn by position"),
    ("def predict_fn(*parts): ...\n", f"{HANDLER}:1:1", "predict_fn has 1 parameter"),
    ("import torch\n@torch.no_grad()\ndef predict_fn(data): ...\n", f"{HANDLER}:3:1", "predict_fn has 1 parameter"),
    ("if True:\n    def output_fn(prediction): ...\n", f"{HANDLER}:2:5", "output_fn has 1 parameter"),
    ("async def predict_fn(data, model): ...\n", f"{HANDLER}:1:1", "predict_fn is async"),
    (
        "def predict_fn(data, model): ...\ndef transform_fn(model, data, content_type, accept): ...\n",
        f"{HANDLER}:2:1",
        "transform_fn cannot be combined with predict_fn",
    ),
    (
        "from handlers import transform_fn\ndef input_fn(data, content_type): ...\n",
        f"{HANDLER}:1:1",
        "transform_fn cannot be combined with input_fn",
    ),
]


@pytest.mark.parametrize(("code", "where", "message"), REFUSED)
def test_code_that_cannot_serve_is_refused_at_its_line(tmp_path: Path, code: str, where: str, message: str) -> None:
    write(tmp_path, code)
    write(tmp_path, "transform_fn = print\n", "handlers.py")
    python = f"image.tag=2.6.0-transformers4.51.3-gpu-py3{min(TODAY[1], 12)}-cu124-ubuntu22.04"
    ((severity, location, text),) = told(tmp_path, [python])
    assert (severity, location) == ("error", where)
    assert message in text


WARNED = [
    (
        "def predict_fm(data, model): ...\n",
        "1:1",
        "predict_fm is not a hook, so the container does not call it: did you mean 'predict_fn'?",
    ),
    (GOOD + "def predit_fn(data, model): ...\n", "2:1", "did you mean 'predict_fn'?"),
    ("def model_func(model_dir): ...\n", "1:1", "did you mean 'model_fn'?"),
    ("def predict(data, model): ...\n", "1:1", "did you mean 'predict_fn'?"),
    ("def predictFn(data, model): ...\n", "1:1", "did you mean 'predict_fn'?"),
    ("x = 1\n", "", "no hook is defined here: the container runs its default pipeline"),
    ("", "", "no hook is defined here"),
    ("class Handler:\n    def model_fn(self, model_dir): ...\n", "", "no hook is defined here"),
]


@pytest.mark.parametrize(("code", "where", "message"), WARNED)
def test_code_that_the_container_may_not_call_is_warned_about(
    tmp_path: Path, code: str, where: str, message: str
) -> None:
    write(tmp_path, code)
    ((severity, location, text),) = told(tmp_path)
    assert (severity, location) == ("warning", f"{HANDLER}:{where}".rstrip(":"))
    assert message in text


PASSED = [
    *(f"def {name}({', '.join(parameters)}): ...\n" for name, parameters in HOOKS.items()),
    *(f"def {name}({', '.join(parameters)}, context=None): ...\n" for name, parameters in HOOKS.items()),
    GOOD + "def transform_fn(model, data, content_type, accept): ...\n",
    "def model_fn(*parts): ...\n",
    "def model_fn(model_dir, *more): ...\n",
    "import torch\n@torch.inference_mode()\ndef predict_fn(data, model): ...\n",
    "def retried(f): return f\n@retried\ndef predict_fn(*anything): ...\n",
    "def make(): ...\nmodel_fn = make()\npredict_fn = lambda data, model: data\n",
    "from handlers import model_fn, predict_fn\n",
    "from handlers import *\ndef predict(data, model): ...\n",
    "def predict(x): ...\ndef model_fn(model_dir): return predict\n",
    GOOD + "def input_size(picture): ...\ndef _predict(x): ...\n",
    "import json\nprint(1 / 0)\n" + GOOD,
]


@pytest.mark.parametrize("code", PASSED)
def test_code_that_serves_is_let_pass(tmp_path: Path, code: str) -> None:
    write(tmp_path, code)
    write(tmp_path, "def model_fn(model_dir): ...\ndef predict_fn(data, model): ...\n", "handlers.py")
    assert told(tmp_path) == []


def test_the_program_is_the_one_that_the_spec_names(tmp_path: Path) -> None:
    write(tmp_path, "x = 1\n")
    write(tmp_path, "def model_fn(): ...\n", "other.py")
    ((_, location, _message),) = told(tmp_path, ["environment.SAGEMAKER_PROGRAM=other.py"])
    assert location == "code_of/toy/other.py:1:1"


def test_syntax_that_the_image_is_too_old_for_is_refused(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "match 1:\n    case _: ...\n")
    ((severity, location, message),) = told(tmp_path, [OLD_IMAGE])
    assert (severity, location.startswith(HANDLER)) == ("error", True)
    assert "Python 3.9 of the image cannot parse this: Pattern matching is only supported in Python 3.10" in message


@pytest.mark.skipif(TODAY >= (3, 12), reason="needs a Python that is older than the image's")
@pytest.mark.parametrize("code", ["a = {}\nx = f'{a['b']}'\n", "def first[T = int](x: T) -> T: ...\n"])
def test_syntax_that_only_this_python_is_too_old_for_is_a_warning(tmp_path: Path, code: str) -> None:
    write(tmp_path, GOOD + code)
    ((severity, location, message),) = told(tmp_path, [NEW_IMAGE])
    assert (severity, location.startswith(HANDLER)) == ("warning", True)
    assert "the image has 3.12" in message
    write(tmp_path, GOOD + "x = = 1\n")
    assert [one[0] for one in told(tmp_path, [NEW_IMAGE])] == ["error"]


TYPES = [
    "type Pair = tuple[int, int]\n",
    "if True:\n    type Pair[T] = tuple[T, T]\n",
    "def first[T: (int, str)](x: T) -> T: ...\n",
    "async def first[*Ts, **P](x): ...\n",
    "class Box[\n    T: list[int],\n]:\n    def get[U](self, x: U) -> U: ...\n",
    "type = 1\ntype == 2\nprint(type)\n",
    "'''\ntype X = 1\ndef f[T](): ...\n'''\n",
]


@pytest.mark.parametrize("code", TYPES)
def test_what_follows_types_that_this_python_may_be_too_old_for_is_judged(tmp_path: Path, code: str) -> None:
    write(tmp_path, GOOD + code)
    assert told(tmp_path, [NEW_IMAGE]) == []
    write(tmp_path, GOOD + code + "def predict_fn(data): ...\n")
    ((severity, location, _),) = told(tmp_path, [NEW_IMAGE])
    assert (severity, location) == ("error", f"{HANDLER}:{(GOOD + code).count(chr(10)) + 1}:1")
    write(tmp_path, GOOD + code + "x = = 1\n")
    ((severity, location, _),) = told(tmp_path, [NEW_IMAGE])
    assert (severity, location.endswith(":5")) == ("error", True)


@pytest.mark.parametrize(
    "code",
    [
        *("try: ...\nexcept* ValueError: ...\n", "a = b = [1]\nx = a[*b]\n", "a = b = [1]\nx = a[\n    *b,\n]\n"),
        *("def f(*args: *Ts): ...\n", "type X = int\n", "def f[\n    T\n](): ...\n"),
        "a = {'b': 1}\nx = f'{a['b']}'\n",
    ],
)
def test_syntax_that_the_image_knows_is_never_refused(tmp_path: Path, code: str) -> None:
    write(tmp_path, GOOD + code)
    assert "error" not in [severity for severity, *_ in told(tmp_path, [NEW_IMAGE])]


def test_of_an_image_whose_python_is_not_known_nothing_is_certain(tmp_path: Path) -> None:
    write(tmp_path, GOOD + "x = = 1\n")
    ((severity, _, message),) = told(tmp_path, [OWN_IMAGE])
    assert severity == "warning"
    assert "the Python of this image is not known" in message


def test_a_helper_is_as_wrong_as_the_program_only_if_something_imports_it(tmp_path: Path) -> None:
    write(tmp_path, "import helper\n" + GOOD)
    for name in ("helper.py", "unused.py"):
        write(tmp_path, "x = = 1\n", name)
    assert told(tmp_path)[0][:2] == ("error", "code_of/toy/helper.py:1:5")
    write(tmp_path, GOOD)
    assert {one[:2] for one in told(tmp_path)} == {
        ("warning", "code_of/toy/helper.py:1:5"),
        ("warning", "code_of/toy/unused.py:1:5"),
    }


@pytest.mark.parametrize(
    "code",
    [
        *(b"\xff\xfe\x00", b"x = '\xff'\n", b"x = 1\0\n", b"x = 1\n" * 100_000, b"# coding: nonsense\n"),
        *(b"(" * 100_000, b"x = 1" + b" + 1" * 5_000, b"x = a" + b".a" * 5_000, b"x = a" + b"()" * 2_000),
        b"if a: b\n" + b"elif a: b\n" * 2_000,
    ],
    ids=lambda code: repr(code[:12]),
)
def test_any_bytes_are_judged_without_a_crash(tmp_path: Path, code: bytes) -> None:
    write(tmp_path, code)
    assert all(location.startswith(HANDLER) for _, location, _message in told(tmp_path))


def test_the_code_of_shared_folders_is_checked_where_it_lies(tmp_path: Path) -> None:
    write(tmp_path, "import helper\n" + GOOD)
    (tmp_path / "code_of" / "shared").mkdir()
    (tmp_path / "code_of" / "shared" / "helper.py").write_text("\nx = = 1\n")
    ((_, location, _message),) = told(tmp_path, ["code.shared=[code_of/../code_of/shared]"])
    assert location == "code_of/shared/helper.py:2:5"


def test_what_is_wrong_is_told_in_the_order_of_the_lines(tmp_path: Path) -> None:
    write(
        tmp_path,
        "import imageio\n" + GOOD + "def output_fn(): ...\nimport bs4\n" + "\n" * 8 + "async def input_fn(): ...\n",
    )
    write(tmp_path, "x = 1\n", "torch.py")
    assert [location.removeprefix(HANDLER) for _, location, _message in told(tmp_path)] == [
        *(":1:1", ":3:1", ":4:1", ":13:1", ":13:1"),
        "code_of/toy/torch.py",
    ]
