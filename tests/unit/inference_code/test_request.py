"""What every folder of inference code must be for the image, and how its helpers read a request."""

from __future__ import annotations

import ast
import base64
import re
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.handlers import CODE, load

if TYPE_CHECKING:
    from pathlib import Path

FOLDERS = sorted(folder for folder in CODE.iterdir() if (folder / "inference.py").is_file())
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


request = load("shared", "handler_request")
files = load("shared", "handler_files")
images = load("shared", "handler_images")
answers = load("shared", "handler_answer")
models = load("shared", "handler_model")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_handler_defines_hooks_of_the_arity_the_toolkit_calls(folder: Path) -> None:
    tree = ast.parse((folder / "inference.py").read_text(encoding="utf-8"), feature_version=(3, 10))
    hooks = {node.name: len(node.args.args) for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert hooks["model_fn"] in {1, 2}
    assert hooks["transform_fn"] in {4, 5}
    assert not {"input_fn", "predict_fn", "output_fn"} & hooks.keys()


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
    assert {files.encoded(form, "inputs", "picture") for form in forms} == {content}


@pytest.mark.parametrize("address", ["https://a/b.png", "http://169.254.169.254/", "s3://b/k", " FILE:///etc/passwd"])
def test_an_address_is_refused_and_the_reason_reported(address: str) -> None:
    with pytest.raises(ValueError, match=r"inputs is an address .* not fetched from inside the container"):
        files.encoded(address, "inputs", "picture")


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
        files.encoded(value, "inputs", "picture")


def test_a_picture_of_too_many_bytes_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    assert files.encoded(bytes(100), "inputs", "picture") == bytes(100)
    for value in (bytes(101), base64.b64encode(bytes(101)).decode(), "A" * 1000):
        with pytest.raises(ValueError, match="at most 100"):
            files.encoded(value, "inputs", "picture")


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


TAKEN = ("application/json", "image/*")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "", None])
def test_json_is_decoded_whatever_is_said_beside_its_type(content_type: str | None) -> None:
    for body in (b'{"a": "\xc3\xa9"}', bytearray(b'{"a": "\xc3\xa9"}'), '{"a": "é"}'):
        assert request.decoded(body, content_type, TAKEN) == {"a": "é"}


def test_a_body_that_is_a_file_is_the_input() -> None:
    assert request.decoded(PNG, "image/png", TAKEN) == {"inputs": PNG}


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"{", "application/json", "the body is not JSON: Expecting property name"),
        (b"\xff", "application/json", "the body is not JSON: "),
        (b"a", "text/csv", r"Content-Type is 'text/csv'; it must be application/json or image/\*"),
        (b"a", "application/json", "the body is not JSON"),
    ],
)
def test_a_body_of_another_type_is_refused_with_those_that_are_taken(
    body: bytes, content_type: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        request.decoded(body, content_type, TAKEN)


def test_the_answer_has_the_type_that_was_asked_for_and_json_if_none_was() -> None:
    offered = ("application/json", "video/mp4")
    assert [answers.accepted(each, offered) for each in (None, "", "*/*", "Application/JSON", "video/mp4")] == [
        *["application/json"] * 4,
        "video/mp4",
    ]
    for each in ("video/webm", "video/mp4, */*", "application/json; q=0.5"):
        message = "; it must be one of application/json, video/mp4, or */* for application/json"
        with pytest.raises(ValueError, match=re.escape(message)):
            answers.accepted(each, offered)


def test_an_answer_the_server_would_die_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMS_MAX_RESPONSE_SIZE", "100")
    assert answers.within_limit(bytes(100)) == bytes(100)
    with pytest.raises(ValueError, match=r"has 101 bytes and the server passes on 100: .*MMS_MAX_RESPONSE_SIZE"):
        answers.within_limit(bytes(101))
    monkeypatch.delenv("MMS_MAX_RESPONSE_SIZE")
    with pytest.raises(ValueError, match="the server passes on 6,553,500"):
        answers.within_limit(bytes(6_553_501))


def test_json_has_no_number_that_json_cannot_say() -> None:
    assert answers.as_json({"größe": [0.5, 1]}) == '{"größe":[0.5,1]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        answers.as_json([float("nan")])


def test_a_worker_has_the_gpu_of_its_number() -> None:
    numbers = [SimpleNamespace(system_properties={"gpu_id": number}) for number in (3, "2", None)]
    assert [models.gpu(context) for context in (None, *numbers)] == [0, 3, 2, 0]


def test_a_package_without_the_file_of_its_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no config\.json: the package must have the files of a transformers"):
        models.require(str(tmp_path), "config.json", "a transformers model")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_answer_that_is_declared_can_be_made(folder: Path) -> None:
    declared = request.declared(str(folder / "inference.py"))
    assert declared.accept[0] == declared.content_types[0] == "application/json"
    if folder.name == "svd":
        assert set(declared.accept) == load("shared", "handler_frames").ENCODERS.keys()


def test_a_handler_that_declares_no_media_types_takes_and_answers_json(tmp_path: Path) -> None:
    (tmp_path / "request.schema.json").write_text("{}")
    json_alone = ("application/json",)
    assert request.declared(str(tmp_path / "inference.py")) == ((), json_alone, json_alone)
