"""Documents from outside: what is odd is refused in one line that names the place."""

from __future__ import annotations

import contextlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.decoding import BlobName, Crc32, MalformedError, PathText, Sha256Hex, Size, convert, decode_json


class File(msgspec.Struct, frozen=True):
    path: PathText
    size: Size
    sha256: Sha256Hex
    blob: BlobName
    crc32: Crc32 = 0


class Document(msgspec.Struct, frozen=True):
    files: tuple[File, ...]

    def __post_init__(self) -> None:
        if len({file.path for file in self.files}) < len(self.files):
            raise ValueError("a path is listed twice")


GOOD: dict[str, Any] = {"path": "a", "size": 1, "sha256": "a" * 64, "blob": "b" * 40}


def one(**changes: Any) -> bytes:
    return json.dumps({"files": [GOOD | changes]}).encode()


class Slow:
    """The annotation of a field, which takes a while to evaluate: how often, and by how many threads at a time."""

    now = most = 0

    def __call__(self) -> msgspec.Meta:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.02)
        self.now -= 1
        return msgspec.Meta(min_length=1)


slow = Slow()


class Shared(msgspec.Struct):
    text: Annotated[str, slow()]


def test_a_class_is_worked_out_by_one_thread_while_others_wait() -> None:
    slow.most = 0
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: convert({"text": text}, Shared).text, "abcd"))
    assert (found, slow.most) == (list("abcd"), 1)


def test_a_sound_document_is_a_value_and_unknown_fields_are_passed_over() -> None:
    assert decode_json(one(later="version"), Document) == Document((File("a", 1, "a" * 64, "b" * 40),))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "input data was truncated"),
        (b"null", "expected `object`, got `null`"),
        (b"\xff", "JSON is malformed"),
        (b'{"files": NaN}', "JSON is malformed"),
        (b'{"files": [[' * 100_000, "files[0]: expected `object`, got `array`"),
        (b'{"other":' + b"[" * 100_000, "nested too deeply"),
        (one(size=-1), "files[0].size: expected `int` >= 0"),
        (one(size=1.5), "files[0].size: expected `int`, got `float`"),
        (one(size=True), "files[0].size: expected `int`, got `bool`"),
        (one(size=1 << 63), "files[0].size: "),
        (b'{"files": [{"path": "a", "size": 1e999}]}', "files[0].size: number out of range"),
        (one(crc32=1 << 32), "files[0].crc32: expected `int` <= "),
        (one(path=""), "files[0].path: expected `str` of length >= 1"),
        (one(path=["a"]), "files[0].path: expected `str`, got `array`"),
        (one(sha256="A" * 64), "files[0].sha256: expected `str` matching regex"),
        (one(sha256="a" * 64 + "\n"), "files[0].sha256: expected `str` matching regex"),
        (one(blob="../../evil"), "files[0].blob: expected `str` matching regex"),
        (b'{"files": [{"path": "\\ud800......"}]}', "JSON is malformed"),
        (b'{"files": [{}]}', "files[0]: object missing required field `path`"),
        (json.dumps({"files": [GOOD, GOOD]}).encode(), "a path is listed twice"),
    ],
)
def test_an_odd_document_is_refused_with_the_place_and_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(MalformedError) as refused:
        decode_json(data, Document)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_document_larger_than_the_limit_is_not_parsed() -> None:
    with pytest.raises(MalformedError, match="at most 10 are read"):
        decode_json(one(), Document, limit=10)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["files", *GOOD]), inner, max_size=4),
)


@given(JSON)
def test_whatever_the_data_there_is_a_value_or_one_kind_of_error(document: Any) -> None:
    with contextlib.suppress(MalformedError):
        assert isinstance(convert(document, Document), Document)


def test_a_message_stays_one_short_line_though_it_names_a_key_of_the_document() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        a: int = 0

    for key in ("x" * 100_000, "a\nb", "\x1b[31m", "\u202e"):
        with pytest.raises(MalformedError, match="unknown field") as caught:
            decode_json(json.dumps({key: 1}).encode(), Strict)
        assert len(str(caught.value)) < 400
        assert str(caught.value).isprintable()
