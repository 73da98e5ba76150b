from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.expectation import Expectation
from sagepack.deploy.media_types import KNOWN
from sagepack.errors import UserError
from sagepack.spec.model import Expect
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = "/9j/"  # what a JPEG picture begins with, in base64


def problems(body: bytes, **expect: Any) -> list[str]:
    return Expectation.of(Expect(**expect), ROOT).problems(body)


@pytest.mark.parametrize("body", [b"", b"\x00", b"{}", b"text"])
def test_without_an_expectation_any_answer_will_do(body: bytes) -> None:
    assert Expectation.of(None, ROOT).problems(body) == problems(body) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b' {"a": 1}'),
        ("application/pdf", b"%PDF-1.7"),
        ("application/x-npy", b"\x93NUMPY\x01\x00"),
        ("application/zip", b"PK\x03\x04"),
        ("audio/flac", b"fLaC\x00"),
        ("audio/mpeg", b"ID3\x04"),
        ("audio/ogg", b"OggS\x00"),
        ("audio/wav", b"RIFF\x24\x00\x00\x00WAVEfmt "),
        ("image/gif", b"GIF89a"),
        ("image/jpeg", b"\xff\xd8\xff\xe0"),
        ("image/png", b"\x89PNG\r\n\x1a\n"),
        ("image/webp", b"RIFF\x24\x00\x00\x00WEBPVP8 "),
        ("text/plain", "déjà vu".encode()),
        ("video/mp4", b"\x00\x00\x00\x20ftypisom"),
        ("video/webm", b"\x1aE\xdf\xa3"),
    ],
)
def test_the_media_type_is_that_of_the_bytes(kind: str, body: bytes) -> None:
    assert problems(body, content_type=kind) == []
    (problem,) = problems(b"\x80 something else", content_type=kind)
    assert problem.startswith("it is not JSON" if kind == "application/json" else f"it is not {kind}")


def test_the_schema_of_specs_has_the_media_types_that_bytes_tell() -> None:
    schema = json.loads((ROOT / "schemas" / "spec.schema.json").read_text())
    kinds = schema["$defs"]["sample"]["properties"]["expect"]["properties"]["content_type"]["enum"]
    assert set(kinds) == {*KNOWN, None}


@pytest.mark.parametrize(
    ("answer", "least", "found"),
    [
        ([1, 2], 2, []),
        ([1], 2, ["it has 1 item, and at least 2 are expected"]),
        ({"frames": [PICTURE, PICTURE]}, 2, []),
        ({"frames": []}, 1, ["it has 0 items, and at least 1 are expected"]),
        ({"frames": [PICTURE, "AAAA"]}, 2, ["frame 1 of the response is not a JPEG picture"]),
        ({"labels": ["a"], "model": "m"}, 1, []),
        ({"a": [], "b": []}, 1, ["it is neither a JSON array nor a JSON object with one list, so its items cannot be counted"]),
        ("text", 1, ["it is neither a JSON array nor a JSON object with one list, so its items cannot be counted"]),
    ],
)  # fmt: skip
def test_the_items_are_those_of_the_only_list_and_frames_are_pictures(
    answer: Any, least: int, found: list[str]
) -> None:
    assert problems(json.dumps(answer).encode(), min_items=least) == found


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert problems(b'{"x": []}', min_size=20, min_items=1, schema={"required": ["answer"]}) == [
        "it has 9 bytes, and at least 20 are expected",
        "it has 0 items, and at least 1 are expected",
        "answer: it is missing",
    ]


@pytest.mark.parametrize("body", [b"NaN", b'{"score": NaN}', b"", b'"\\ud800"'])
def test_what_only_python_takes_for_json_is_none(body: bytes) -> None:
    (problem,) = problems(body, schema={})
    assert problem.startswith("it is not JSON")


def test_a_schema_that_cannot_be_read_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a JSON Schema") as caught:
        Expectation.of(Expect(schema="none.json"), tmp_path)
    assert caught.value.where == "none.json"
