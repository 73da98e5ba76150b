"""The pictures of README.md: what the script makes of a terminal's output, and that what is committed shows everywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from docs.images.make import IMAGES, ROOT, draw, settled

SHOWN = re.findall(r"!\[(.*?)\]\((.*?)\)", (ROOT / "README.md").read_text())


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\r\n\r\nb", ["a", "", "b"]),
        ("one\r\x1b[Jtwo\r\n", ["two"]),
        ("first\r\nsecond\r\x1b[1A\x1b[Jdone\r\n", ["done"]),
        ("kept\r\n1\r\n2\r\n3\r\x1b[2A\x1b[Jended\r\n1\r\n2\r\x1b[1A\x1b[J", ["kept", "ended"]),
        ("\x1b[32mok\x1b[0m\r\n", ["\x1b[32mok\x1b[0m"]),
        ("", []),
    ],
)
def test_what_is_drawn_over_is_not_shown(output: str, lines: list[str]) -> None:
    assert settled(output) == lines


def test_long_lines_go_on_in_the_next_one_and_colours_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docs.images.make.IMAGES", tmp_path)
    draw("a", "title", [("make a", ["x" * 96 + "y", "\x1b[32mgreen\x1b[0m <&>"])])
    tree = ET.parse(tmp_path / "a.svg")  # noqa: S314 - it was written just now
    texts = ["".join(element.itertext()) for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    shown = [text.replace("\xa0", " ").strip() for text in texts]
    assert [text for text in shown if text] == ["title", "$", "make a", "x" * 96, "y", "green", "<&>"]


def test_every_picture_is_in_the_readme_with_words() -> None:
    files = {path.relative_to(ROOT).as_posix() for path in IMAGES.iterdir() if path.suffix in {".svg", ".png"}}
    assert {path for _, path in SHOWN} == files
    assert all(len(words) > 40 for words, _ in SHOWN)


@pytest.mark.parametrize("path", [path for _, path in SHOWN])
def test_a_picture_is_small_and_loads_nothing(path: str) -> None:
    data = (ROOT / path).read_bytes()
    assert len(data) < (60_000 if path.endswith(".svg") else 150_000)
    if path.endswith(".svg"):
        text = data.decode()
        assert not re.search(r"@import|@font-face|<script|<image|href", text)
        assert set(re.findall(r"[a-z]+://[^\"']+", text)) == {"http://www.w3.org/2000/svg"}
        assert set(re.findall(r"url\((.)", text)) == {"#"}
        assert "/tmp" not in text
        assert "127.0.0.1" not in text
