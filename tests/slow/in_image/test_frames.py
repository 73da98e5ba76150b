"""Frames as answers, judged by Pillow and PyAV."""

from __future__ import annotations

import base64
import io
import json

import pytest

from tests.helpers.handlers import load

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
SIZE = (128, 64)
STILL = Image.new("RGB", SIZE, (0, 0, 250))
FRAMES = [Image.new("RGB", SIZE, (40 * number, 120, 0)) for number in range(6)]


def made(media_type: str, fps: int = 7) -> bytes:
    body: bytes = load("shared", "handler_frames").encoder(media_type)(STILL, FRAMES, fps)
    return body


def is_near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(one - two) < 12 for one, two in zip(found, wanted, strict=True))


def test_json_holds_each_frame_as_a_jpeg_of_its_size() -> None:
    frames = [Image.open(io.BytesIO(base64.b64decode(text))) for text in json.loads(made("application/json"))["frames"]]
    assert [(frame.format, frame.size) for frame in frames] == [("JPEG", SIZE)] * 6
    assert all(
        is_near(frame.getpixel((64, 32)), FRAMES[number].getpixel((0, 0))) for number, frame in enumerate(frames)
    )


@pytest.mark.parametrize(("fps", "milliseconds"), [(7, 140), (10, 100), (30, 30), (1, 1000)])
def test_a_gif_repeats_its_frames_at_the_speed_of_the_request(fps: int, milliseconds: int) -> None:
    with Image.open(io.BytesIO(made("image/gif", fps))) as film:
        assert (film.format, film.size, film.n_frames, film.info["loop"]) == ("GIF", SIZE, 6, 0)
        for number, frame in enumerate(FRAMES):
            film.seek(number)
            assert film.info["duration"] == milliseconds
            assert is_near(film.convert("RGB").getpixel((64, 32)), frame.getpixel((0, 0)))


def test_a_contact_sheet_shows_the_picture_and_then_every_frame() -> None:
    with Image.open(io.BytesIO(made("image/png"))) as sheet:
        assert (sheet.format, sheet.size) == ("PNG", (3 * 132 + 4, 3 * 68 + 4))
        places = [(4 + 132 * column + 64, 4 + 68 * row + 32) for row in range(3) for column in range(3)]
        shown = [sheet.getpixel(place) for place in places]
    assert shown == [each.getpixel((0, 0)) for each in (STILL, *FRAMES)] + [(255, 255, 255)] * 2


def test_a_contact_sheet_of_a_large_video_is_no_wider_than_a_screen() -> None:
    large = Image.new("RGB", (1024, 576))
    body = load("shared", "handler_frames").contact_sheet(large, [large] * 25, 7)
    with Image.open(io.BytesIO(body)) as sheet:
        assert 2000 < sheet.width <= 2048


@pytest.mark.parametrize("fps", [1, 7, 30])
def test_a_film_is_one_that_browsers_show_at_the_speed_of_the_request(fps: int) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    body = made("video/mp4", fps)
    assert 0 < body.find(b"moov") < body.find(b"mdat")
    with av.open(io.BytesIO(body)) as film:
        (stream,) = film.streams
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", *SIZE)
        assert stream.average_rate == fps
        frames = [frame.to_image() for frame in film.decode(video=0)]
    assert len(frames) == len(FRAMES)
    for frame, wanted in zip(frames, FRAMES, strict=True):
        assert is_near(frame.getpixel((64, 32)), wanted.getpixel((0, 0)))
