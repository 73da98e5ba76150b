"""What is shown of text that others wrote."""

from __future__ import annotations

import unicodedata
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.text import closest, printable

UNFIT: Final = ("Cc", "Cf", "Cs", "Zl", "Zp")


@given(st.text(st.characters(codec=None)))
def test_nothing_printable_holds_what_a_terminal_obeys_or_hides(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(char) for char in shown} & set(UNFIT)
    assert printable(shown) == shown


@given(st.text(st.characters(exclude_categories=UNFIT)))
def test_all_other_text_is_shown_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("a\nerror: forged\r\t", r"a\nerror: forged\r\t"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\U000e0041tag", r"\U000e0041tag"),
        ("\udcff", r"\udcff"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("模型 🎬 ü\u3000\u00a0", "模型 🎬 ü\u3000\u00a0"),
    ],
)
def test_an_escape_names_the_character(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_of_two_that_are_equally_like_the_one_of_like_length_was_meant() -> None:
    assert closest("evn", ["events", "env"]) == closest("evn", ["env", "events"]) == "env"
