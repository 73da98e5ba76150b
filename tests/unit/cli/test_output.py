"""What people read: amounts, durations, progress in a log."""

from __future__ import annotations

import io
import json
import logging
import os
import sys

import pytest

from sagepack.cli.layout import Screen
from sagepack.cli.output import as_called, echo, guarded_streams, problem, write_json, write_out
from sagepack.cli.plan_table import table
from sagepack.cli.terminal import Log
from sagepack.engine.plan import Action
from sagepack.errors import UserError
from sagepack.text import format_bytes, format_duration


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 60, "1048576.0 TiB"),
    ],
)
def test_amounts_are_shown_in_powers_of_1024(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0004, "0 ms"), (0.85, "850 ms"), (12.34, "12.3 s"), (245, "4 min 05 s")]
)
def test_durations_are_shown_in_fitting_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_command_that_an_error_proposes_is_for_the_program_that_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for called, proposed in (
        ("/x/bin/sagepack", "`sagepack lock`"),
        ("invoke", "`invoke lock`"),
        ("", "`invoke lock`"),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        echo(problem("error", ["there is no lock", "  run `invoke lock`"]))
        assert f"run {proposed}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "proposed"),
    [
        ("run `invoke lock`", "run `invoke lock --env prod`"),
        ("`invoke lock --update`, or `--pin`", "`invoke lock --env prod --update`, or `--pin`"),
        ("`invoke sandbox.add acme/x FOLDER`", "`invoke sandbox.add acme/x FOLDER`"),
        ("`invoke policy --env dev --for plan`", "`invoke policy --env dev --for plan`"),
        ("`invoke --list`", "`invoke --list`"),
        ("`sagepack serve.install` installs it", "`invoke serve.install` installs it"),
        ("`sagepack init` makes one", "`sagepack init` makes one"),
        ("`aws sso login`", "`aws sso login`"),
    ],
)
def test_a_command_that_an_error_proposes_is_about_the_same_environment(text: str, proposed: str) -> None:
    assert as_called(text, ["--env", "prod"]) == proposed


def test_a_log_gets_plain_lines_on_stderr_and_nothing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Log()
    progress.note("hello")
    with progress.bar("tar", 2048) as add:
        add(1024)
        add(1024)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0] == "hello"
    assert err.splitlines()[1].startswith("tar: 2.0 KiB in ")


def broken_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_reader_that_has_seen_enough_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(broken_pipe(), "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        write_out(["text"])
        write_out(["more"])
    with os.fdopen(broken_pipe(), "w", buffering=1) as pipe:
        monkeypatch.setattr(sys, "stderr", pipe)
        Log().note("text")
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())


def test_a_result_is_printed_whatever_the_terminal_can_show(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    write_out(["a ü \udcff"])
    assert shown.getvalue() == b"a \\xfc \\udcff\n"


def test_what_is_shown_anew_replaces_what_a_terminal_shows_and_nothing_in_a_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        monkeypatch.setattr(sys, "stdout", stream)
        write_out(["a"])
        write_out(["b"], anew=True)
    assert (terminal.getvalue(), log.getvalue()) == ("a\n\x1b[H\x1b[2Jb\n", "a\nb\n")


def test_closed_streams_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    write_out(["text"])
    echo("text")
    Log().note("text")


def test_a_result_that_cannot_be_printed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(UserError, match="cannot be printed: No space left"):
            write_out(["text"])


FOREIGN = "\x1b[31m\u202e\x9b2J\nerror: forged\r"
SHOWN = r"\x1b[31m\u202e\x9b2J\nerror: forged\r"


def test_foreign_text_is_one_line_wherever_it_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    echo(FOREIGN)
    Log().note(FOREIGN)
    write_out([FOREIGN, *table([Action("tar", "run", (FOREIGN,))], Screen())[1:]])
    with Log().bar(FOREIGN, 1):
        pass
    out, err = capsys.readouterr()
    said, printed = err.splitlines(), out.splitlines()
    assert [line[: len(SHOWN)] for line in said] == [SHOWN] * 3
    assert printed[0] == SHOWN
    assert all(line.isprintable() for line in (*said, *printed))


def test_a_program_gets_the_very_text_and_a_terminal_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"path": FOREIGN + "\x7f\udcff"})
    out = capsys.readouterr().out
    assert json.loads(out)["path"] == FOREIGN + "\x7f\udcff"
    assert out.replace("\n", "").isprintable()
    assert out.isascii()


def test_what_libraries_print_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with guarded_streams():
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "a server said \x1b[2J"}))
        print("and \u202e\nmore")  # noqa: T201 - as a library would
        assert sys.stdout.encoding
    out, err = capsys.readouterr()
    assert out == "and \\u202e\nmore\n"
    assert err == "a server said \\x1b[2J\n"
