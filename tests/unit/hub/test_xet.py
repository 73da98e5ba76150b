"""What the headers of a file's address say about Xet storage."""

from __future__ import annotations

import pytest

from sagepack.hub.xet import XetFile

NAME = "0f" * 32


def test_a_file_in_xet_storage_has_a_name_and_a_size() -> None:
    assert XetFile.of({"X-Xet-Hash": NAME, "X-Linked-Size": "12"}) == XetFile(NAME, 12)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Xet-Hash": NAME},
        {"X-Linked-Size": "12"},
        {"X-Xet-Hash": NAME[1:], "X-Linked-Size": "12"},
        {"X-Xet-Hash": f"{NAME[:-3]}/..", "X-Linked-Size": "12"},
        {"X-Xet-Hash": NAME, "X-Linked-Size": "-1"},
        {"X-Xet-Hash": NAME, "X-Linked-Size": "9" * 20},
        {"X-Xet-Hash": NAME, "X-Linked-Size": "many"},
    ],
)
def test_headers_that_do_not_name_a_file_in_xet_storage_are_none_of_it(headers: dict[str, str]) -> None:
    assert XetFile.of(headers) is None
