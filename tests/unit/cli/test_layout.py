"""Lines fit the terminal, and only this program gives them a look."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.cli.layout import Screen, Span, cells, padded, shortened, wrapped


class Stream(io.TextIOWrapper):
    """A stream that may be a terminal."""

    def __init__(self, encoding: str = "utf-8", *, terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.parametrize(
    ("stream", "environ", "colour", "glyphs"),
    [
        (Stream(), {}, True, "unicode"),
        (Stream(), {"NO_COLOR": "1"}, False, "unicode"),
        (Stream(), {"NO_COLOR": ""}, True, "unicode"),
        (Stream(), {"TERM": "dumb"}, False, "none"),
        (Stream(), {"TERM": "linux"}, True, "ascii"),
        (Stream("ascii"), {}, True, "ascii"),
        (Stream(terminal=False), {}, False, "none"),
        (Stream(terminal=False), {"CI": "true"}, False, "none"),
        (Stream(terminal=False), {"FORCE_COLOR": "1"}, True, "unicode"),
        (Stream(terminal=False), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, "unicode"),
        (None, {}, False, "none"),
    ],
)
def test_colours_and_glyphs_are_where_a_terminal_has_them(
    stream: Stream | None, environ: dict[str, str], colour: bool, glyphs: str
) -> None:
    screen = Screen.of(stream, environ)
    assert (screen.colour, screen.glyphs) == (colour, glyphs)


@pytest.mark.parametrize(
    ("columns", "width"), [("80", 80), ("", 120), ("0", 120), ("x", 120), ("3", 40), ("9" * 50, 999999), ("²", 120)]
)
def test_the_width_is_the_one_of_columns(columns: str, width: int) -> None:
    assert Screen.of(Stream(), {"COLUMNS": columns}).width == width


def test_a_closed_stream_is_no_terminal() -> None:
    stream = open("/dev/null")  # noqa: PTH123, SIM115 - a device
    stream.close()
    assert Screen.of(stream, {}) == Screen()


def test_only_this_program_gives_a_text_its_look() -> None:
    assert Screen(colour=True).painted((Span("\x1b[31ma", "bold red"), Span("b\n"))) == (
        "\x1b[1;31m\\x1b[31ma\x1b[0mb\\n"
    )
    assert Screen().painted((Span("a", "red"),)) == "a"


TEXTS = st.text("ab/ 日é\u0301x", max_size=60)


@given(TEXTS, st.integers(2, 30))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == "".join(text.split())


def test_a_long_path_is_divided_after_a_slash() -> None:
    assert wrapped("see s3://bucket/models/svd/1a1e/model.tar.gz now", 24) == [
        "see",
        "s3://bucket/models/svd/",
        "1a1e/model.tar.gz now",
    ]


@given(TEXTS, st.integers(4, 30))
def test_a_shortened_text_fits_and_keeps_its_end(text: str, width: int) -> None:
    short = shortened(text, width)
    assert cells(short) <= width
    assert short == text or "..." in short


def test_a_path_is_shortened_in_the_middle() -> None:
    assert shortened("unet/deep/down/diffusion.safetensors", 26, "…") == "unet/dee…usion.safetensors"


def test_wide_characters_take_two_columns() -> None:
    assert (cells("日本"), padded("日", 4)) == (4, "日  ")
