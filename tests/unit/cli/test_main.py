"""Every failure becomes a message, an exit code, and with --json one document."""

from __future__ import annotations

import errno
import io
import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from sagepack.api.project import Project
from sagepack.api.results import Doctor, Log, LogLine
from sagepack.cli import build
from sagepack.cli.main import run_command, uncaught
from sagepack.cli.options import Options
from sagepack.cli.output import confirm
from sagepack.cli.task import parse_int
from sagepack.deploy.preflight.check import Check
from sagepack.errors import Diagnostic, IntegrityError, RemoteError, SpecError, UserError
from tests.helpers import specs
from tests.helpers.documents import checked
from tests.helpers.paths import ROOT

FAILURES: list[tuple[BaseException, int, str]] = [
    (UserError("wrong", where="here", fix="mend it"), 1, "error: here: wrong\n  mend it\n"),
    (SpecError([Diagnostic(("name",), "missing", location="a.yaml:1:1")]), 1, "a.yaml:1:1: name: missing"),
    (RemoteError("down"), 3, "error: down"),
    (IntegrityError("other bytes"), 4, "error: other bytes"),
    (KeyboardInterrupt(), 130, "interrupted; the same command continues"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x"), 1, "error: /x: No space left on device\n  make room"),
    (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x", None, "/y"), 1, "/x -> /y: Read-only file system"),
    (OSError(errno.EXDEV, "strange", "/x"), 1, "error: /x: strange\n"),
    (FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/x"), 1, "error: /x: No such file or directory\n"),
    (MemoryError(), 1, "error: this machine has not enough memory"),
    (ZeroDivisionError("oh"), 1, "error: unexpected ZeroDivisionError: oh\n  this is a mistake in sagepack"),
]


def failing(error: BaseException) -> Any:
    def body(_project: Project) -> Any:
        raise error

    return body


@pytest.mark.parametrize(("error", "code", "text"), FAILURES)
def test_every_failure_is_reported_without_a_traceback(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("plan", failing(error), Options(ROOT)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize(("error", "code", "text"), FAILURES)
def test_a_failure_with_json_is_one_document_that_its_schema_describes(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("plan", failing(error), Options(ROOT, json=True)) == code
    out, err = capsys.readouterr()
    assert text in err
    document = checked(out)
    assert document["error"]["exit_code"] == document["exit_code"] == code


def test_only_lines_of_this_program_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    error = UserError("no\nerror: forged", where="s3://b/\x1b[2J", fix="look\u202e", details=["log \x07", "end"])
    assert run_command("plan", failing(error), Options(ROOT, json=True)) == 1
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        r"error: s3://b/\x1b[2J: no\nerror: forged",
        r"  log \x07",
        "  end",
        r"  look\u202e",
    ]
    document = checked(out)
    assert document["error"]["details"] == ["log \x07", "end"]


def test_what_a_container_wrote_is_given_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "run `invoke lock  to see, and ` again"
    log = Log("svd", "group", True, "2026-01-02T03:04:05Z", 0, (LogLine("2026-01-02T03:04:05.000Z", "i-1", text),))
    assert run_command("logs", lambda _project: log, Options(ROOT, env="prod", json=True)) == 0
    assert checked(capsys.readouterr().out)["result"]["lines"][0]["text"] == text


def test_debug_shows_the_traceback_and_keeps_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command("plan", failing(RemoteError("down")), Options(ROOT, debug=True)) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "0", "-1", "abc", "1.5", "11", "1" * 5000, "²", "1_0", " 1"])
def test_a_flag_that_is_no_fitting_number_is_refused_by_name(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_int(text, "--timeout", 10)
    assert "--timeout" in str(caught.value)
    assert parse_int("10", "--timeout", 10) == 10


def test_warnings_are_said_each_time_and_given_to_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = specs.project(tmp_path, specs.SPEC.replace("COLOUR", "TS_MAX_RESPONSE_SIZE"))
    options = Options(tmp_path, str(config), "test", json=True)
    told = []
    for _ in range(2):
        assert run_command("validate", build.validate, options) == 0
        out, err = capsys.readouterr()
        told.append((err, json.loads(out)["warnings"]))
    assert told[0] == told[1]
    assert told[0][0].startswith("warning: ")
    assert set(told[0][1][0]) == {"where", "key", "message", "fix"}


def test_the_advice_of_a_result_and_of_an_error_is_about_the_same_environment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options, fix = Options(ROOT, env="prod", json=True), "run `invoke lock`"
    check = Check("lock", "lock", "warning", "it is out of date", fix)
    assert run_command("doctor", lambda _project: Doctor((check,), "s3://b/m", 24, ()), options) == 0
    assert json.loads(capsys.readouterr().out)["result"]["checks"][0]["fix"] == "run `invoke lock --env prod`"
    assert run_command("plan", failing(UserError("there is no lock", fix=fix)), options) == 1
    assert json.loads(capsys.readouterr().out)["error"]["fix"] == "run `invoke lock --env prod`"


def test_what_invoke_fails_at_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("invalid literal for int() with base 10: '\x1b'")
    uncaught(ValueError, error, None)
    assert capsys.readouterr().err == "error: invalid literal for int() with base 10: '\\x1b'\n"


@pytest.mark.parametrize(
    ("typed", "yes"), [(b"y\n", True), (b"YES\n", True), (b"\n", False), (b"", False), (b"\xff\n", False)]
)
def test_only_a_yes_removes_anything(
    typed: bytes, yes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person = io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8")
    monkeypatch.setattr(person, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", person)
    with nullcontext() if yes else pytest.raises(UserError, match="nothing was changed"):
        confirm("remove \x1b[2J", yes=False)
    assert capsys.readouterr().err == "remove \\x1b[2J? [y/N] "


def test_without_a_person_nothing_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="remove all"):
        confirm("remove all", yes=False)
    confirm("remove all", yes=True)
