from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from sagepack.deploy.results import save_result
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = [b"\xff\xd8one", b"\xff\xd8two"]
RESULT = json.dumps({"frames": [base64.b64encode(frame).decode() for frame in FRAMES]}).encode()


def test_a_result_is_written_unchanged_to_an_output_with_a_suffix(tmp_path: Path) -> None:
    (written,) = save_result(RESULT, tmp_path / "deep" / "answer.json")
    assert written.read_bytes() == RESULT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["answer.json"]


def test_base64_frames_are_written_as_pictures_to_a_folder(tmp_path: Path) -> None:
    written = save_result(RESULT, tmp_path / "frames")
    assert [path.name for path in written] == ["frame-000.jpg", "frame-001.jpg"]
    assert [path.read_bytes() for path in written] == FRAMES


def test_base64_images_are_written_as_pictures_to_a_folder(tmp_path: Path) -> None:
    images = [b"\x89PNG\r\n\x1a\none", b"\x89PNG\r\n\x1a\ntwo"]
    answer = json.dumps({"images": [base64.b64encode(image).decode() for image in images], "seed": 7}).encode()
    written = save_result(answer, tmp_path / "images")
    assert [path.name for path in written] == ["image-000.png", "image-001.png"]
    assert [path.read_bytes() for path in written] == images


@pytest.mark.parametrize("images", [[], ["https://a/b.png"], ["AAAA"], [7], "one", None, {"a": 1}])
def test_images_of_another_kind_are_an_answer_like_any_other(images: object, tmp_path: Path) -> None:
    answer = json.dumps({"images": images}).encode()
    (written,) = save_result(answer, tmp_path / "out")
    assert (written.name, written.read_bytes()) == ("answer.json", answer)


def test_an_existing_folder_with_a_dot_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "frames.d"
    folder.mkdir()
    assert len(save_result(RESULT, folder)) == 2


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"text": "a cat"}', "answer.json"),
        (b"\x00\x01", "answer.bin"),
        (b"\x81", "answer.bin"),
        ("ein Kätzchen".encode(), "answer.txt"),
        (b"\x00\x00\x00\x20ftypisom", "answer.mp4"),
        (b"GIF89a", "answer.gif"),
        (b"\xff\xd8\xff", "answer.jpg"),
        (b"RIFF1234WAVEfmt ", "answer.wav"),
    ],
)
def test_a_result_in_another_format_is_one_file_in_the_folder(body: bytes, name: str, tmp_path: Path) -> None:
    (written,) = save_result(body, tmp_path / "out")
    assert written == tmp_path / "out" / name
    assert written.read_bytes() == body


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("not base64!", "frame 1 of the response is not base64"),
        ("ä", "frame 1 of the response is not base64"),
        (7, r"the frames of the response are not texts: \[1\]: expected `str`, got `int`"),
        (None, "not texts"),
        ({"../../x": 1}, "not texts"),
        (encoded(b"PNG"), "frame 1 of the response is not a JPEG"),
        ("", "frame 1 of the response is not a JPEG"),
    ],
)
def test_no_file_is_written_if_one_frame_is_not_a_picture(frame: object, reason: str, tmp_path: Path) -> None:
    body = json.dumps({"frames": [encoded(FRAMES[0]), frame]}).encode()
    with pytest.raises(RemoteError, match=reason):
        save_result(body, tmp_path / "frames")
    assert list(tmp_path.iterdir()) == []


def test_no_file_name_is_taken_from_the_result(tmp_path: Path) -> None:
    body = b'{"../evil": "x", "frames": 25, "name": "../../evil"}'
    assert save_result(body, tmp_path / "a" / "out") == [tmp_path / "a" / "out" / "answer.json"]
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "out", "answer.json"]


def test_a_response_with_too_many_frames_is_refused_before_they_are_decoded(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="more than 10,000 frames"):
        save_result(b'{"frames": ["' + b'","' * 10_000 + b'"]}', tmp_path / "out")


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"frames": [', b"\xff\xfe", b"", b'{"frames": ["\\ud800"]}']
)
def test_a_result_that_is_not_json_is_written_as_bytes(body: bytes, tmp_path: Path) -> None:
    (written,) = save_result(body, tmp_path / "out")
    assert (written.stem, written.read_bytes()) == ("answer", body)
    assert written.suffix in {".txt", ".bin"}


def test_an_output_that_cannot_be_written_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="there is a file in the place of a folder"):
        save_result(RESULT, tmp_path / "file" / "answer.json")
