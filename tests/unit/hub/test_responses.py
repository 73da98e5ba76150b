"""Answers of the Hub become checked values, or one line that says what is wrong with them."""

from __future__ import annotations

import json
import re
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.decoding import MalformedError
from sagepack.hub import responses
from sagepack.hub.responses import (
    absolute,
    content_extent,
    files_of,
    model_index_of,
    next_page,
    origin,
    retry_after,
    version_of,
)
from sagepack.package.license import License
from tests.helpers.hostile_hub import entry

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = "https://huggingface.co/api/models/a/b/tree/main?recursive=true"


def page(*entries: Any) -> bytes:
    return json.dumps(entries).encode()


def test_folders_and_what_is_unknown_are_no_files() -> None:
    pages = [page(entry("b"), entry("a", type="directory")), page(entry("c", type="unknown"), entry("a", lfs=None))]
    assert [file.path for file in files_of(pages)] == ["a", "b"]


def test_a_large_file_is_named_by_its_sha256() -> None:
    [large] = files_of([page(entry(lfs={"oid": "f" * 64, "size": 2, "pointerSize": 9}, xetHash="0", more=[]))])
    assert (large.etag, large.sha256 and large.sha256.value) == ("f" * 64, "f" * 64)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ({"status": "safe"}, "safe"),
        ({"status": "unsafe"}, "unsafe"),
        ({"status": "queued"}, None),
        ({"status": ["safe"]}, None),
        ({}, None),
        ("unsafe", None),
        (None, None),
    ],
)
def test_the_hubs_own_scan_has_a_verdict_or_none(status: Any, verdict: str | None) -> None:
    [file] = files_of([page(entry(securityFileStatus=status))])
    assert file.hub_scan == verdict


@pytest.mark.parametrize(
    ("card", "found"),
    [
        ({"license": "mit"}, License("mit")),
        ({"license": ["mit", "apache-2.0"]}, License("mit, apache-2.0")),
        ({"license": "other", "license_name": "acme", "license_link": "a\nb"}, License("other", "acme", "a\\nb")),
        ({"license_name": "acme"}, None),
        ({"license": 5}, None),
        ({"license": "x" * 300}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_licence_is_that_of_the_card(card: Any, found: License | None) -> None:
    version = version_of(json.dumps({"sha": "0" * 40, "cardData": card, "gated": "manual"}).encode())
    assert (version.license, version.gated) == (found, "manual")


@pytest.mark.parametrize(
    ("tag", "task"),
    [("text-generation", "text-generation"), (None, None), (5, None), ("A task\n", None), ("x" * 61, None)],
)
def test_the_task_is_a_word_of_the_hub(tag: Any, task: str | None) -> None:
    assert version_of(json.dumps({"sha": "0" * 40, "pipeline_tag": tag}).encode()).task == task


@pytest.mark.parametrize(
    "body",
    [
        b"<html>a proxy</html>",
        b"",
        b"null",
        b"{}",
        b"[1]",
        b"[{}]",
        b"\xff",
        b"[" * 200_000,
        page({"type": "file", "path": "a", "size": 1}),
        page(entry(5)),  # type: ignore[arg-type]
        page(entry("")),
        page(entry("a" * 5000)),
        b'[{"type":"file","path":"\\ud800","size":1,"oid":"%s"}]' % (b"0" * 40),
        *(page(entry(size=size)) for size in (-1, "9", None, 1.5, 1 << 63)),
        *(page(entry(oid=oid)) for oid in ("../../x", "/etc/x", "0" * 39, "0" * 64, "0" * 40 + "\n", "A" * 40, None)),
        *(page(entry(lfs={"oid": oid})) for oid in ("0" * 40, "../x", 5)),
        page(entry(lfs=[])),
    ],
)
def test_a_listing_that_is_none_is_refused_in_one_line(body: bytes) -> None:
    with pytest.raises(MalformedError) as caught:
        files_of([body])
    assert re.fullmatch(r"[^\n]{5,200}", str(caught.value))
    assert not re.search(r"Error|Exception|Traceback", str(caught.value))


def endless(count: int, content: bytes) -> Callable[[], Any]:
    return lambda: (content for _ in range(count))


@pytest.mark.parametrize(
    ("limit", "value", "pages"),
    [
        ("_PAGES", 3, endless(4, b"[]")),
        ("_LISTING_BYTES", 300, endless(4, page(entry("a" * 50, type="directory")))),
        ("_KEPT_BYTES", 1000, endless(4, page(entry()))),
        ("_KEPT_BYTES", 8000, endless(4, page(entry("a" * 4000)))),
    ],
)
def test_a_listing_has_an_end(monkeypatch: pytest.MonkeyPatch, limit: str, value: int, pages: Any) -> None:
    monkeypatch.setattr(responses, limit, value)
    with pytest.raises(MalformedError, match="the listing has"):
        files_of(pages())


@pytest.mark.parametrize("body", [b"[]", b"5", b"{", b"", b'{"a": "\xff"}', b'{"a": NaN}', b'{"a":' * 200_000])
def test_an_index_of_a_pipeline_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        model_index_of(body)


def test_an_index_of_a_pipeline_may_hold_anything_else() -> None:
    assert model_index_of(b'{"unet": ["a", "b"], "_x": {"y": [null, 1.5]}}')["unet"] == ["a", "b"]


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("", None),
        ('<https://huggingface.co/p?cursor=a,b>; rel="next"', "https://huggingface.co/p?cursor=a,b"),
        ('<https://huggingface.co/0>; rel="first", <https://huggingface.co/2>; rel="next"', "https://huggingface.co/2"),
        ("</p?cursor=1>; rel=next", "https://huggingface.co/p?cursor=1"),
        ('<https://huggingface.co/0>; rel="prev"', None),
        ("<" * 60_000, None),
    ],
)
def test_the_next_page_is_that_of_the_link(link: str, url: str | None) -> None:
    assert next_page({"Link": link}, HOME) == url


@pytest.mark.parametrize(
    "target",
    [
        "http://huggingface.co/",  # from https to http
        "file:///etc/passwd",
        "ftp://huggingface.co/",
        "http://[::1",
        "https://huggingface.co:99999/",
        "https://huggingface.co:x/",
        "https://me:secret@huggingface.co/",
        "https://evil.example\\@huggingface.co/",  # another host for urlsplit than for urllib3
        "https://evil.example\t@huggingface.co/",
        "https://hugging face.co/",
        "https://h\xfcggingface.co/",
    ],
)
def test_an_address_that_is_none_is_not_followed(target: str) -> None:
    with pytest.raises(MalformedError, match="the address") as caught:
        absolute(target, HOME)
    assert "secret" not in str(caught.value)


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_an_address_is_refused_or_has_an_origin(text: str) -> None:
    for target in (text, f"https://{text}", f"https://huggingface.co{text}"):
        try:
            url = absolute(target, HOME)
        except MalformedError:
            continue
        assert origin(url)[0] == "https"


def test_an_origin_is_scheme_host_and_port() -> None:
    assert origin("https://huggingface.co/a?b") == origin("https://HuggingFace.co:443/c")
    assert origin("http://localhost:1/") != origin("http://127.0.0.1:1/")
    assert origin("http://h/") != origin("https://h/")
    assert origin("http://[::1]:8/") == ("http", "::1", 8)


@pytest.mark.parametrize(
    ("status", "headers", "found"),
    [
        (200, {"Content-Length": "7"}, (0, 7)),
        (200, {"Content-Length": "\xb2"}, (0, None)),
        (200, {"Content-Length": "9" * 5000}, (0, None)),
        (206, {"Content-Range": "bytes 3-9/10"}, (3, 10)),
        (206, {"Content-Range": "bytes 3-9/*"}, (3, None)),
        (416, {"Content-Range": "bytes */10"}, (None, 10)),
        (206, {"Content-Range": f"bytes {'9' * 5000}-9/10"}, (None, None)),
        (206, {}, (None, None)),
    ],
)
def test_the_extent_is_read_from_the_headers(
    status: int, headers: dict[str, str], found: tuple[int | None, int | None]
) -> None:
    assert content_extent(status, headers) == found


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3),
        ({"Retry-After": " 120 "}, 120),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "\xb2"}, None),
        ({"Retry-After": "9" * 5000}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=12;t=55'}, None),
        ({"RateLimit": "nonsense"}, None),
    ],
)
def test_the_wait_is_read_from_either_header(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_the_wait_may_be_a_date() -> None:
    assert 58 <= (retry_after({"Retry-After": formatdate(time.time() + 60, usegmt=True)}) or 0) <= 60
    assert retry_after({"Retry-After": formatdate(time.time() - 60, usegmt=True)}) == 0
