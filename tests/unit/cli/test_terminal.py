"""Progress: drawn on a terminal, plain lines elsewhere; whoever writes meanwhile, and whatever ends it."""

from __future__ import annotations

import logging
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sagepack.cli.layout import cells
from sagepack.cli.output import guarded_streams
from sagepack.cli.terminal import Log
from sagepack.errors import Diagnostic
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 60
PROGRAM = f"""
import sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from sagepack.cli import interrupts
from sagepack.cli.main import run_command
from sagepack.cli.options import Options
from sagepack.api.results import Cleaned

def body(project):
    progress = project.progress
{{body}}
    return Cleaned(("dist",))

interrupts.install()
sys.exit(run_command("clean", body, Options({str(ROOT)!r})))
"""
STEP = """
    with progress.step("download", ("LICENSE.md and 9 more not in the cache (6.1 MiB to fetch)",)):
        with progress.bar("fetching", 6 << 20) as add:
            for _ in range(6):
                time.sleep({seconds} / 6)
                add(1 << 20)
                progress.note("a note \\x1b[2J")
                print("a library", file=sys.stderr)
        progress.done("6.0 MiB fetched")
"""


def on_a_terminal(
    body: str, act: Callable[[int], None] = lambda _pid: None, after: str = "\0", environ: dict[str, str] | None = None
) -> tuple[str, int]:
    """What a program with some progress writes to a terminal of `COLUMNS`, and its exit code.

    Args:
        body: lines of a function that has `progress`.
        act: gets the process once.
        after: what must have been written before that.
        environ: environment variables.
    """
    ours, theirs = pty.openpty()
    program = PROGRAM.replace("{body}", body)
    more = {"COLUMNS": str(COLUMNS), "TERM": "xterm", "PYTHONUTF8": "1", **(environ or {})}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=theirs, stdout=theirs, env=os.environ | more)
    os.close(theirs)
    written = b""
    while True:
        assert select.select([ours], [], [], 60)[0], written
        try:
            data = os.read(ours, 65536)
        except OSError:
            data = b""
        if not data:
            break
        written += data
        if after.encode() in written:
            act(process.pid)
            after = "\0"
    os.close(ours)
    return written.decode(), process.wait()


def displayed(written: str) -> list[str]:
    """The lines that are left on a terminal, which is told here to erase what is below and to go up, and nothing else."""
    assert set(re.findall(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", written)) <= SEQUENCES, written
    lines, row = [""], 0
    for part in re.split(r"(\r\n|\r|\x1b\[[0-9;]*[A-Za-z])", written):
        if part == "\r\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[J":
            lines = [*lines[:row], ""]
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1])
        elif part != "\r" and not part.startswith("\x1b"):
            lines[row] += part
    return [line for line in lines if line]


SEQUENCES = {
    "\x1b[J",
    *(f"\x1b[{n}A" for n in range(1, 9)),
    *(f"\x1b[{n}m" for n in (0, 1, 2, 31, 32, 33, 36)),
    "\x1b[1;31m",
}


def test_a_step_is_drawn_and_leaves_a_line_below_all_notes() -> None:
    written, code = on_a_terminal(STEP.format(seconds=1.5))
    assert code == 0
    assert re.search(r"⠋|⠙|⠹|⠸", written)
    assert re.search(r"━+.*\d MiB of 6\.0 MiB", written)
    lines = displayed(written)
    assert lines[:-2] == [r"  a note \x1b[2J", "a library"] * 6
    assert re.fullmatch(r"✓ download  6\.0 MiB fetched  \d+\.\d s", lines[-2])
    assert lines[-1] == "✓ removed dist"


def test_what_is_drawn_fits_the_width() -> None:
    written, _ = on_a_terminal(STEP.format(seconds=1.0))
    text = re.sub(r"\x1b\[[0-9;]*m", "", written)
    assert all(cells(line) < COLUMNS for line in re.split(r"[\r\n]+|\x1b\[[0-9;]*[A-Za-z]", text))


def test_no_foreign_text_steers_the_terminal() -> None:
    body = """
    with progress.step("\\x1b[5mtar", ("\\x1b[6A",)), progress.activity("\\x1b[7m"), progress.bar("\\x1b[8m", 9) as add:
        time.sleep(1)
        progress.done("\\x1b[9m")
"""
    written, code = on_a_terminal(body)
    assert code == 0
    for text in (r"\x1b[5mtar", r"\x1b[6A", r"\x1b[7m", r"\x1b[8m", r"\x1b[9m"):
        assert text in written
    assert len(displayed(written)) == 2


def test_what_is_short_is_not_drawn() -> None:
    longer = "    from sagepack.cli import region; region._FIRST_SECONDS = 60\n"  # than this takes on any machine
    written, _ = on_a_terminal(longer + STEP.format(seconds=0.06))
    assert "━" not in written


@pytest.mark.parametrize(("environ", "absent"), [({"NO_COLOR": "1"}, "\x1b[2m"), ({"PYTHONIOENCODING": "ascii"}, "✓")])
def test_colours_and_glyphs_can_be_absent(environ: dict[str, str], absent: str) -> None:
    written, _ = on_a_terminal(STEP.format(seconds=0.6), environ=environ)
    assert absent not in written
    assert "6.0 MiB fetched" in written


def test_a_dumb_terminal_gets_lines() -> None:
    written, _ = on_a_terminal(STEP.format(seconds=0.6), environ={"TERM": "dumb"})
    assert "\x1b[" not in written
    assert "download: LICENSE.md and 9 more not in the cache (6.1 MiB to fetch)\r\n" in written


def test_an_interrupt_leaves_no_half_bar() -> None:
    written, code = on_a_terminal(STEP.format(seconds=4), lambda pid: os.kill(pid, signal.SIGINT), "━")
    assert code == 130
    *_, step, last = displayed(written)
    assert re.fullmatch(r"✗ download  stopped  .*", step)
    assert last == "interrupted; the same command continues"


@pytest.mark.slow
def test_a_second_interrupt_leaves_no_half_line() -> None:
    stubborn = "    def stubborn(seconds):\n        try: time.sleep(seconds)\n        finally: time.sleep(60)\n"

    def twice(pid: int) -> None:
        os.kill(pid, signal.SIGINT)
        time.sleep(0.6)
        os.kill(pid, signal.SIGINT)

    body = stubborn + STEP.format(seconds=30).replace("time.sleep(", "stubborn(")
    written, code = on_a_terminal(body, twice, "⠙")
    assert code == 130
    assert displayed(written)[-1] == "interrupted; the same command continues"


def test_several_bars_of_one_label_are_one(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Log()
    with progress.bar("publishing", 1024) as one, progress.bar("publishing", 1024) as other:
        one(1024)
        other(1024)
    assert capsys.readouterr().err.startswith("publishing: 2.0 KiB in ")


def test_a_log_says_when_a_step_begins_and_what_it_has_done(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Log()
    with progress.step("download", ("first run", "and more")):
        progress.note("resumed")
        with progress.bar("fetching", 1024) as add:
            add(1024)
        progress.done("1.0 KiB fetched")
    progress.done("outside")
    progress.warn(Diagnostic(("name",), "odd", fix="mend it", severity="warning", location="a.yaml:1:1"))
    first, note, last, *rest = capsys.readouterr().err.splitlines()
    assert (first, note) == ("download: first run; and more", "download: resumed")
    assert re.fullmatch(r"download: 1\.0 KiB fetched \(\d+ ms\)", last)
    assert rest == ["outside", "warning: a.yaml:1:1: name: odd", "  mend it"]


def test_what_others_write_goes_where_progress_wants_it() -> None:
    written: list[str] = []
    with guarded_streams(written.append):
        logging.StreamHandler().emit(logging.makeLogRecord({"msg": "a server said \x1b[2J"}))
    assert "".join(written) == "a server said \\x1b[2J\n"
