from __future__ import annotations

from pathlib import Path

import pytest

from sagepack.deploy.media_types import JSON
from sagepack.deploy.request import MAX_REQUEST_SIZE, Rules, check, digest, size_limit
from sagepack.errors import UserError


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        (b'{"a": NaN}', ":1:7", "the request is not JSON: invalid character"),
        (b'{\n  "a": 1,\n  "b" 2\n}\n', ":3:7", "the request is not JSON: expected ':'"),
        ('{"größe": "é" 1}'.encode(), ":1:15", "the request is not JSON: expected ',' or '}'"),
        (b'{"a": 1\n\n', ":1:8", "the request is not JSON: it ends too early"),
        (b"\x89PNG\r\n", ":1:1", "the request is not JSON: it is not UTF-8"),
        (b'{"a": "\xff"}', ":1:8", "the request is not JSON: it is not UTF-8"),
        (b"[" * 100_000, "", "the request is not JSON: it is nested too deeply"),
        (b"", "", "the request is empty"),
        (None, "", "the request is not a file"),
    ],
)
def test_what_is_wrong_with_a_request_is_told_by_line_and_column(
    content: bytes | None, place: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        check(path, None)
    assert (caught.value.where, caught.value.message) == (f"{path}{place}", reason)


def test_a_request_above_the_limit_of_the_service_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "r.bin").open("wb") as file:
        file.truncate(MAX_REQUEST_SIZE + 1)
    with pytest.raises(UserError, match="has 1,000,000,001 bytes; the endpoint takes at most 1,000,000,000"):
        check(tmp_path / "r.bin", None)
    with pytest.raises(UserError, match="is not a file"):
        check(Path("/dev/zero"), None)


def test_the_limit_of_the_container_is_that_of_its_environment(tmp_path: Path) -> None:
    assert size_limit({}) == 6_553_500
    assert size_limit({"MMS_MAX_REQUEST_SIZE": "100000000"}) == 100_000_000
    assert size_limit({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "50"}) == MAX_REQUEST_SIZE
    (tmp_path / "r.png").write_bytes(b"12345")
    with pytest.raises(UserError, match="the endpoint takes at most 4") as caught:
        check(tmp_path / "r.png", None, Rules(4))
    assert "raise environment.MMS_MAX_REQUEST_SIZE" in (caught.value.fix or "")
    assert check(tmp_path / "r.png", None, Rules(5)) == "image/png"


def test_a_request_that_is_no_file_is_checked_too() -> None:
    with pytest.raises(UserError, match="the request is not JSON: invalid character") as caught:
        check(b'{"a": NaN}', None)
    assert caught.value.where == "the request:7"


def test_the_digest_is_of_body_and_media_types(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_bytes(b"{}")
    assert digest(tmp_path / "r.json", "text/csv", JSON) == digest(b"{}", "text/csv", JSON)
    assert len({digest(b"{}", JSON, JSON), digest(b"{}", "text/csv", JSON), digest(b"{}", JSON, "text/csv")}) == 3


def test_a_request_with_fields_that_the_handler_does_not_declare_is_refused_with_every_place(tmp_path: Path) -> None:
    schema, request = tmp_path / "request.schema.json", tmp_path / "r.json"
    numbers = '{"type": "integer", "maximum": 25}'
    schema.write_text(
        '{"type": "object", "required": ["inputs"], "additionalProperties": false, "properties": '
        f'{{"inputs": {{"type": "string"}}, "frames": {{"type": "array", "items": {numbers}}}}}}}'
    )
    request.write_text('{"frames": [1, "2", 99], "input": "a"}')
    with pytest.raises(UserError, match="not what the handler declares") as caught:
        check(request, None, Rules(schema=schema, schema_name="code/request.schema.json"))
    assert caught.value.where == str(request)
    assert caught.value.fix == "correct the request, or the declaration in code/request.schema.json"
    assert caught.value.details == (
        'frames[1]: "2" is text, expected an integer',
        "frames[2]: 99 is out of range: at most 25",
        "input: unknown key; did you mean 'inputs'?",
        "inputs: it is missing",
    )
    assert check(b'{"inputs": "a", "frames": [25]}', None, Rules(schema=schema)) == JSON
    assert check(b"no JSON", "text/plain", Rules(schema=schema)) == "text/plain"


def test_a_declaration_that_is_none_is_told_where_it_is(tmp_path: Path) -> None:
    schema = tmp_path / "request.schema.json"
    for text, reason in (("{", "not a JSON Schema of requests"), ('{"type": "picture"}', "'picture' is not")):
        schema.write_text(text)
        with pytest.raises(UserError, match=reason) as caught:
            check(b"{}", None, Rules(schema=schema))
        assert caught.value.where == "request.schema.json"


def test_a_declaration_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    schema = tmp_path / "request.schema.json"
    schema.write_text('{"$ref": "http://127.0.0.1:9/schema.json"}')
    with pytest.raises(UserError, match="names nothing in the schema"):
        check(b"{}", None, Rules(schema=schema))
