"""Every failure becomes a message, an exit code, and with --json one document."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sagepack.cli import agreed, guarded, number
from sagepack.errors import IntegrityError, Problem, RemoteError, SpecError, UserError
from sagepack.options import Options

ROOT = Path(__file__).parents[2]
FAILURES: list[tuple[BaseException, int, str]] = [
    (UserError("wrong", where="here", fix="mend it"), 1, "error: here: wrong\n  mend it\n"),
    (SpecError([Problem("a.yaml:1:1", "name", "missing")]), 1, "a.yaml:1:1: name: missing"),
    (RemoteError("down"), 3, "error: down"),
    (IntegrityError("other bytes"), 4, "error: other bytes"),
    (KeyboardInterrupt(), 130, "interrupted; the same command continues"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"), 1, "error: /x: No space left on device\n  make room"),
    (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x", None, "/y"), 1, "/x -> /y: Read-only file system"),
    (OSError(errno.EXDEV, "strange"), 1, "unexpected OSError"),
    (ZeroDivisionError("oh"), 1, "error: unexpected ZeroDivisionError: oh\n  run it with --debug"),
]


def failing(error: BaseException) -> Any:
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(("error", "code", "text"), FAILURES)
def test_every_failure_is_told_without_a_traceback(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(error), Options(ROOT)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "code", "text"), FAILURES)
def test_a_failure_with_json_is_one_document_that_its_schema_describes(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(error), Options(ROOT, json=True)) == code
    out, err = capsys.readouterr()
    assert text in err
    document = json.loads(out)
    assert document["error"]["exit_code"] == code
    jsonschema.validate(document, json.loads((ROOT / "schemas" / "error.schema.json").read_text()))


def test_debug_shows_the_traceback_and_keeps_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing(RemoteError("down")), Options(ROOT, debug=True)) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "0", "-1", "abc", "1.5", "11", "1" * 5000, "²", "1_0", " 1"])
def test_a_flag_that_is_no_fitting_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError) as caught:
        number(text, "--timeout", 10)
    assert "--timeout" in str(caught.value)
    assert number("10", "--timeout", 10) == 10


def test_without_a_person_nothing_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="remove all"):
        agreed(Options(ROOT), "remove all")
    agreed(Options(ROOT, yes=True), "remove all")
