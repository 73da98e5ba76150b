"""A request before it is sent, and an answer after it came: nothing here knows how they travel."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.exchange import Prepared, accepted, prepare, save
from sagepack.errors import UserError
from tests.helpers import specs

if TYPE_CHECKING:
    from sagepack.spec.model import Spec

SAMPLE = 'sample:\n  request: {inputs: "good"}\n  accept: text/csv\n'
CAT, DOG, SONG = (
    b"\x89PNG\r\n\x1a\nthe picture of a cat",
    b"\xff\xd8\xff the picture of a dog",
    b"RIFF1234WAVEfmt la la",
)
CAT64, DOG64 = (base64.b64encode(picture).decode() for picture in (CAT, DOG))
DECLARED = {
    "x-content-type": ["application/json", "image/*"],
    "x-accept": ["application/json", "video/mp4", "image/gif"],
    "type": "object",
}


def spec_with(root: Path, sample: object, declared: dict[str, Any] | None = None) -> Spec:
    """A spec whose sample is a JSON value, and whose handler declares media types."""
    specs.project(root, f"{specs.SPEC}sample:\n  request: {json.dumps(sample)}\n")
    (root / "code_of" / "toy" / "request.schema.json").write_text(
        json.dumps(DECLARED if declared is None else declared)
    )
    return specs.load(root).spec()


def sent(prepared: Prepared) -> Any:
    assert isinstance(prepared.body, bytes)
    return json.loads(prepared.body)


def test_an_object_a_file_and_the_sample_are_requests(tmp_path: Path) -> None:
    specs.project(tmp_path, specs.SPEC + SAMPLE)
    spec = specs.load(tmp_path).spec()
    assert prepare(spec, tmp_path, {"inputs": "größer"}, accept="text/plain") == Prepared(
        json.dumps({"inputs": "größer"}).encode(), "application/json", "text/plain"
    )
    (tmp_path / "words.csv").write_text("inputs\ngood\n")
    assert prepare(spec, tmp_path, tmp_path / "words.csv") == Prepared(tmp_path / "words.csv", "text/csv", "text/csv")
    assert prepare(spec, tmp_path, None) == Prepared(b'{"inputs":"good"}', "application/json", "text/csv")


def test_a_wrong_request_is_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    specs.project(tmp_path)
    spec = specs.load(tmp_path, ["environment.MMS_MAX_REQUEST_SIZE=2"]).spec()
    with pytest.raises(UserError, match="No such file") as missing:
        prepare(spec, tmp_path, tmp_path / "none.json")
    assert missing.value.fix == "check the name"
    with pytest.raises(UserError, match="the request has 10 bytes; the endpoint takes at most 2"):
        prepare(spec, tmp_path, {"a": "b"})
    with pytest.raises(UserError, match="the request is not a file"):
        prepare(spec, tmp_path, tmp_path)
    with pytest.raises(UserError, match="the spec has no sample") as nothing:
        prepare(spec, tmp_path, None)
    assert nothing.value.fix == "name a file with --input"


def test_a_picture_takes_the_place_of_the_one_in_the_sample_and_it_is_said_what_else_is_sent(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"seed": 7, "inputs": {"image": CAT64, "question": "What is it?"}})
    (tmp_path / "dog.upload").write_bytes(DOG)  # what it is, its bytes say
    prepared = prepare(spec, tmp_path, tmp_path / "dog.upload")
    assert prepared.content_type == "application/json"
    assert sent(prepared) == {"seed": 7, "inputs": {"image": DOG64, "question": "What is it?"}}
    assert prepared.note == (
        f'sends {tmp_path / "dog.upload"} as inputs.image, with seed 7, inputs.question "What is it?": what sample.request '
        "has, and --field NAME=VALUE changes"
    )


def test_a_picture_leaves_the_small_values_of_the_sample_to_the_defaults_of_the_handler(tmp_path: Path) -> None:
    sample = {"inputs": CAT64, "question": "What is it?", "frames": 4, "parameters": {"width": 64, "labels": ["a"]}}
    spec = spec_with(tmp_path, sample)
    size = {"$ref": "#/$defs/size"}
    schema = {
        "properties": {
            "inputs": {"type": "string"},
            "question": {"type": "string"},
            "frames": {"default": 25},
            "fps": {"default": 7},  # the sample has none
            "parameters": {"properties": {"width": size, "labels": {"type": "array"}}},
        },
        "$defs": {"size": {"default": 1024}},
    }
    (tmp_path / spec.code.path / "request.schema.json").write_text(json.dumps(schema))
    (tmp_path / "dog.jpg").write_bytes(DOG)
    whole = prepare(spec, tmp_path, tmp_path / "dog.jpg")
    assert sent(whole) == {**sample, "inputs": DOG64}
    found = prepare(spec, tmp_path, tmp_path / "dog.jpg", defaults=True)
    assert sent(found) == {"inputs": DOG64, "question": "What is it?", "parameters": {"labels": ["a"]}}
    assert found.note == (
        f'sends {tmp_path / "dog.jpg"} as inputs, with question "What is it?", parameters.labels ["a"]; the handler\'s own '
        "defaults count, and not what sample.request has: frames 25, parameters.width 1024; --field NAME=VALUE changes them"
    )
    laid = prepare(spec, tmp_path, tmp_path / "dog.jpg", fields={"frames": 14}, defaults=True)
    assert sent(laid)["frames"] == 14
    assert "has: parameters.width 1024;" in laid.note
    assert sent(prepare(spec, tmp_path, None, defaults=True)) == sample


def test_a_data_url_in_the_sample_is_a_picture_too(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"inputs": f"data:image/png;base64,{CAT64}"})
    (tmp_path / "dog.jpg").write_bytes(DOG)
    prepared = prepare(spec, tmp_path, tmp_path / "dog.jpg")
    assert (sent(prepared), prepared.note) == ({"inputs": DOG64}, f"sends {tmp_path / 'dog.jpg'} as inputs")


@pytest.mark.parametrize("sample", [{"inputs": "good"}, {"inputs": base64.b64encode(SONG).decode()}, ["a"], 3])
def test_without_a_picture_in_the_sample_the_picture_is_the_body(tmp_path: Path, sample: object) -> None:
    spec = spec_with(tmp_path, sample)
    (tmp_path / "dog.jpg").write_bytes(DOG)
    assert prepare(spec, tmp_path, tmp_path / "dog.jpg")[:2] == (tmp_path / "dog.jpg", "image/jpeg")


def test_a_file_that_is_only_named_as_a_picture_is_not_sent(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"inputs": CAT64})
    (tmp_path / "notes.png").write_text("notes")
    with pytest.raises(UserError, match=r"its name is that of a picture \(image/png\), and its bytes are none"):
        prepare(spec, tmp_path, tmp_path / "notes.png")
    (tmp_path / "dog.png").write_bytes(DOG)  # of another kind, which is told
    assert sent(prepare(spec, tmp_path, tmp_path / "dog.png")) == {"inputs": DOG64}


def test_what_the_handler_does_not_take_is_not_sent(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {})
    (tmp_path / "song.wav").write_bytes(SONG)
    with pytest.raises(UserError, match="the handler takes no request of the type audio/wav") as caught:
        prepare(spec, tmp_path, tmp_path / "song.wav")
    assert (caught.value.where, caught.value.fix) == (str(tmp_path / "song.wav"), "send application/json or image/*")


def test_fields_are_laid_over_the_sample_a_file_an_object_and_a_picture(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {"inputs": CAT64, "seed": 7})
    (tmp_path / "dog.jpg").write_bytes(DOG)
    (tmp_path / "r.json").write_text('{"inputs": "a", "parameters": {"width": 64}}')
    fields = {"seed": None, "parameters.fps": 5}
    laid = {"seed": None, "parameters": {"fps": 5}}
    assert sent(prepare(spec, tmp_path, None, fields=fields)) == {"inputs": CAT64, **laid}
    assert sent(prepare(spec, tmp_path, {}, fields=fields)) == laid
    assert sent(prepare(spec, tmp_path, tmp_path / "r.json", fields=fields)) == {
        "inputs": "a",
        "parameters": {"width": 64, "fps": 5},
        "seed": None,
    }
    picture = prepare(spec, tmp_path, tmp_path / "dog.jpg", fields=fields)
    assert sent(picture) == {"inputs": DOG64, **laid}
    assert "as inputs, with seed null, parameters.fps 5: what" in picture.note
    assert prepare(spec, tmp_path, None, fields=fields).note == "sends the sample with seed null, parameters.fps 5"


def test_a_body_that_is_a_file_has_no_fields(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {})
    (tmp_path / "dog.jpg").write_bytes(DOG)
    with pytest.raises(UserError, match="a request of the type image/jpeg has no fields"):
        prepare(spec, tmp_path, tmp_path / "dog.jpg", fields={"seed": 7})
    with pytest.raises(UserError, match="the request is no JSON object: expected `object`, got `array`"):
        prepare(spec_with(tmp_path, [1]), tmp_path, None, fields={"seed": 7})


def test_the_suffix_of_the_file_says_what_the_answer_is_where_the_handler_declares_its_answers(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {})
    wanted = {"film.mp4": "video/mp4", "film.GIF": "image/gif", "a.json": "application/json"}
    assert {name: accepted(spec, tmp_path, None, Path(name)) for name in wanted} == wanted
    for other in (None, Path("frames"), Path("answer.unknown"), tmp_path):
        assert accepted(spec, tmp_path, None, other) == "application/json"
    assert accepted(spec_with(tmp_path, {}, {}), tmp_path, None, Path("film.mp4")) == "application/json"


def test_an_answer_that_the_handler_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {})
    with pytest.raises(UserError, match="the handler has no answer of the type video/webm") as caught:
        accepted(spec, tmp_path, None, Path("film.webm"))
    assert caught.value.where == "film.webm"
    assert caught.value.fix == (
        "ask for application/json, video/mp4, image/gif, or name a file .json, .mp4, .gif, or a folder"
    )
    with pytest.raises(UserError, match="the handler has no answer of the type text/plain") as caught:
        accepted(spec, tmp_path, "text/plain")
    assert caught.value.where == "--accept"


def test_the_file_and_the_media_type_that_is_asked_for_must_agree(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, {})
    assert accepted(spec, tmp_path, "video/mp4", Path("film.mp4")) == "video/mp4"
    assert accepted(spec, tmp_path, "video/mp4", Path("answer.out")) == "video/mp4"
    with pytest.raises(UserError, match=r"film\.mp4 is a file for video/mp4, not for image/gif") as caught:
        accepted(spec, tmp_path, "image/gif", Path("film.mp4"))
    assert caught.value.fix == "leave --accept out, or name a file .gif"


def test_a_short_answer_of_one_file_is_told_as_text(tmp_path: Path) -> None:
    assert save(b'{"label": "good"}', tmp_path / "a.json").text == '{"label": "good"}'
    assert save(b'{"frames": ["/9gA", "/9gA"]}', tmp_path / "frames").text is None
    assert save(b"\x00\xff", tmp_path / "a.bin").text is None
