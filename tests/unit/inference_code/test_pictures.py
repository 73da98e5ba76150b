"""Decoding and fitting of pictures. Needs Pillow, which the image has and the project's own environment has not."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest

from tests.helpers.handlers import load

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


@pytest.fixture
def svd() -> SimpleNamespace:
    """The handler and its helpers."""
    return SimpleNamespace(inference=load("svd"), images=load("shared", "handler_images"))


def file(image: Any, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_every_accepted_format_becomes_rgb_of_its_size(svd: SimpleNamespace, form: str) -> None:
    content = file(Image.new("RGB", (30, 20), (200, 0, 0)), form)
    result = svd.images.picture(base64.b64encode(content).decode(), "inputs")
    assert (result.mode, result.size) == ("RGB", (30, 20))
    assert result.getpixel((5, 5))[0] > 150


def test_what_is_transparent_becomes_white(svd: SimpleNamespace) -> None:
    for image in (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), Image.new("LA", (4, 4), (0, 0))):
        assert svd.images.picture(file(image, "PNG"), "inputs").getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_of_grey_keep_their_shades(svd: SimpleNamespace) -> None:
    image = Image.new("I;16", (4, 4), 0x8000)
    assert svd.images.picture(file(image, "PNG"), "inputs").getpixel((0, 0)) == (128, 128, 128)


def test_a_picture_lying_on_its_side_is_turned_upright(svd: SimpleNamespace) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = file(Image.new("RGB", (30, 20)), "JPEG", exif=exif)
    assert svd.images.picture(content, "inputs").size == (20, 30)


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (1, 60_000_000)])
def test_a_bomb_is_refused_by_its_header(svd: SimpleNamespace, size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"inputs (has .* pixels; at most|cannot be read as PNG: Image size)"):
        svd.images.picture(png_header(*size), "inputs")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello world", "is not a picture: it begins with b'hello wo'"),
        (b"<svg xmlns='x'/>", "is not a picture"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read as PNG"),
        (b"\xff\xd8\xff\xe0garbage", "cannot be read as JPEG"),
        (b"GIF89a", "cannot be read as GIF"),
        (png_header(100, 100), "is broken"),
    ],
)
def test_a_broken_picture_is_refused_in_words(svd: SimpleNamespace, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        svd.images.picture(content, "inputs")


def test_every_cut_of_a_picture_is_refused_or_decoded_never_a_crash(svd: SimpleNamespace) -> None:
    whole = file(Image.effect_noise((40, 40), 50).convert("RGB"), "PNG")
    for length in range(1, len(whole), 97):
        with pytest.raises(ValueError, match="inputs"):
            svd.images.picture(whole[:length], "inputs")


def test_fitting_fills_the_frame_from_the_middle_without_distortion(svd: SimpleNamespace) -> None:
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste("blue", (150, 0, 250, 100))  # the middle square
    square = svd.inference.fitted(wide, 64, 64)
    assert square.size == (64, 64)
    assert square.getpixel((4, 32)) == square.getpixel((60, 32)) == (0, 0, 255)
