"""A request before it is sent, and an answer after it came: nothing here knows how they travel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sagepack.deploy.exchange import Prepared, prepare, save
from sagepack.errors import UserError
from tests.helpers import specs

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = 'sample:\n  request: {inputs: "good"}\n  accept: text/csv\n'


def test_an_object_a_file_and_the_sample_are_requests(tmp_path: Path) -> None:
    specs.project(tmp_path, specs.SPEC + SAMPLE)
    spec = specs.load(tmp_path).spec()
    assert prepare(spec, tmp_path, {"inputs": "größer"}, "text/plain") == Prepared(
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
    with pytest.raises(UserError, match="the spec has no sample") as nothing:
        prepare(spec, tmp_path, None)
    assert nothing.value.fix == "name a file with --input"


def test_a_short_answer_of_one_file_is_told_as_text(tmp_path: Path) -> None:
    assert save(b'{"label": "good"}', tmp_path / "a.json").text == '{"label": "good"}'
    assert save(b'{"frames": ["/9gA", "/9gA"]}', tmp_path / "frames").text is None
    assert save(b"\x00\xff", tmp_path / "a.bin").text is None
