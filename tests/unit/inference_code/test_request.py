"""What every folder of inference code must be for the image, and how its helpers read a request."""

from __future__ import annotations

import ast
import base64
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from types import ModuleType

CODE = ROOT / "inference_code"
FOLDERS = sorted(folder for folder in CODE.iterdir() if (folder / "inference.py").is_file())
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


def load(folder: str, name: str) -> ModuleType:
    """A module as the image imports it: by its bare name, with its folder on the path."""
    local = [path.stem for path in (CODE / folder).glob("*.py")]
    sys.path.insert(0, str(CODE / folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(CODE / folder))
        for module in local:  # the next folder has modules of the same names
            sys.modules.pop(module, None)


request = load("shared", "handler_request")
images = load("shared", "handler_images")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_handler_defines_hooks_of_the_arity_the_toolkit_calls(folder: Path) -> None:
    tree = ast.parse((folder / "inference.py").read_text(encoding="utf-8"), feature_version=(3, 10))
    hooks = {node.name: len(node.args.args) for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert hooks["model_fn"] in {1, 2}
    assert hooks["predict_fn"] in {2, 3}
    assert "transform_fn" not in hooks


@pytest.mark.parametrize("path", sorted(CODE.glob("*/*.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_module_parses_in_the_oldest_image_and_imports_only_python_and_its_neighbours(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = {alias.name.split(".")[0] for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module).split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names) | {
        other.stem for folder in (path.parent, CODE / "shared") for other in folder.glob("*.py")
    }


@pytest.mark.parametrize("folder", [*FOLDERS, CODE / "shared"], ids=lambda folder: folder.name)
def test_no_file_shadows_a_module_of_python(folder: Path) -> None:
    names = {path.stem for path in folder.glob("*.py")}
    assert not names & {*sys.stdlib_module_names, "__init__", "requests", "torch", "PIL", "mms"}


def test_fields_are_found_at_the_top_and_in_containers() -> None:
    found = request.fields({"a": 1, "parameters": {"b": 2}, "inputs": {"c": None}}, "abc", ("inputs", "parameters"))
    assert found == ({"a": 1, "b": 2}, [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"widht": 1}, "unknown field 'widht': did you mean width?"),
        ({"xyz": 1}, "unknown field 'xyz': known are width, seed"),
        ({"seed": 1, "parameters": {"seed": 2}}, "seed is given twice, as 1 and 2"),
        ({"parameters": [1]}, "parameters is [1]; it must be an object"),
    ],
)
def test_a_field_that_is_not_known_or_not_clear_is_named(data: object, message: str) -> None:
    assert request.fields(data, ("width", "seed"), ("parameters",))[1] == [message]


@pytest.mark.parametrize("data", [None, "x", ["x"], 3])
def test_a_body_that_is_no_object_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="must be a JSON object with the fields seed"):
        request.fields(data, ("seed",), ("parameters",))


WHOLE = request.Number("width", 1024, 64, 1024, step=64)
REAL = request.Number("strength", 0.02, 0, 1, whole=False)


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.text(), st.none(), st.lists(st.integers())))
def test_a_number_is_taken_only_within_its_bounds(value: object) -> None:
    whole = type(value) is int and value in range(64, 1025, 64)
    real = type(value) in {int, float} and 0 <= value <= 1  # type: ignore[operator]
    assert (WHOLE.problem(value) is None) == whole
    assert (REAL.problem(value) is None) == real


def test_a_problem_says_name_value_and_what_is_allowed() -> None:
    problems = request.numbers({"width": "64", "strength": float("nan")}, (WHOLE, REAL))[1]
    assert problems == [
        "width is '64'; it must be an integer from 64 to 1,024, a multiple of 64",
        "strength is nan; it must be a number from 0 to 1",
    ]


def test_a_long_value_is_not_repeated_whole() -> None:
    assert len(request.shown("x" * 10_000_000)) < 100


@given(st.binary(min_size=1, max_size=200))
def test_base64_data_url_and_bytes_mean_the_same_picture(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    lines = base64.encodebytes(content).decode()
    url_safe = base64.urlsafe_b64encode(content).decode().rstrip("=")
    forms = (content, bytearray(content), memoryview(content), text, lines, url_safe, f"data:image/png;base64,{text}")
    assert {images.encoded(form, "inputs") for form in forms} == {content}


@pytest.mark.parametrize("address", ["https://a/b.png", "http://169.254.169.254/", "s3://b/k", " FILE:///etc/passwd"])
def test_an_address_is_refused_and_the_reason_reported(address: str) -> None:
    with pytest.raises(ValueError, match=r"inputs is an address .* not fetched from inside the container"):
        images.encoded(address, "inputs")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "inputs is missing"),
        ("", "inputs is missing"),
        (" \n", "inputs is ' .n'; it must be a picture"),
        (7, "inputs is 7; it must be a picture"),
        ({"bytes": "x"}, "it must be a picture"),
        ("not base64!", "neither base64 nor a data URL"),
        ("ab\u00e9d", "neither base64 nor a data URL"),
        ("a", "neither base64 nor a data URL"),
        ("data:text/html;base64,AAAA", "data URL of type text/html"),
        ("data:image/png,AAAA", "not a data URL of the form"),
        ("data:AAAA", "not a data URL of the form"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.encoded(value, "inputs")


def test_a_picture_of_too_many_bytes_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    assert images.encoded(bytes(100), "inputs") == bytes(100)
    for value in (bytes(101), base64.b64encode(bytes(101)).decode(), "A" * 1000):
        with pytest.raises(ValueError, match="at most 100"):
            images.encoded(value, "inputs")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (PNG, "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"GIF89a", "GIF"),
        (b"BM", "BMP"),
        (b"RIFF1234WEBPVP8 ", "WEBP"),
        (b"RIFF1234WAVE", None),
        (b"<svg", None),
        (b"%!PS", None),
        (b"", None),
    ],
)
def test_a_format_is_known_by_its_first_bytes(start: bytes, name: str | None) -> None:
    assert images.kind(start) == name
