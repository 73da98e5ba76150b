"""Signals end the program with a line and a code of their own, whatever it is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.helpers.documents import checked
from tests.helpers.paths import ROOT

WAIT = 30
SIGNALS = [
    (signal.SIGINT, 130, "interrupted"),
    (signal.SIGTERM, 143, "terminated"),
    (signal.SIGHUP, 129, "the terminal was closed"),
]
BEGIN = "from sagepack.cli import interrupts; interrupts.install(); import os, signal, sys, threading, time"
TASK = """
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sagepack.cli.main import run_command
from sagepack.cli.options import Options

def ready():
    os.write(3, b"ready")
    while True:
        time.sleep(60)

sys.exit(run_command("body", lambda _project: body(), Options(Path("."), json="--json" in sys.argv)))
"""
TIDY = """
def body():
    try:
        ready()
    finally:
        print("tidied up")
"""
STUCK = """
def body():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(time.sleep, 60)
        ready()
"""
ENDLESS = """
def body():
    with interrupts.endless():
        ready()
"""
STUCK_ENDLESS = STUCK.replace("ThreadPoolExecutor(1)", "interrupts.endless(), ThreadPoolExecutor(1)")
FINALIZER = """
class Noisy:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.001)

def body():
    Noisy()
    ready()
"""


class Program:
    """A Python program that writes to descriptor 3 when a signal may come."""

    def __init__(self, text: str, *words: str) -> None:
        self._reader, writer = os.pipe()
        command = [sys.executable, "-c", f"import os\nos.dup2({writer}, 3)\n{text}", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, pass_fds=[writer], text=True, stdout=pipe, stderr=pipe
        )
        os.close(writer)

    def wait_until_ready(self) -> None:
        with os.fdopen(self._reader, "rb") as reader:
            assert reader.read(5) == b"ready"

    def end(self) -> tuple[int, str, str]:
        try:
            out, err = self.process.communicate(timeout=WAIT)
        finally:
            self.process.kill()
        return self.process.returncode, out, err


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_signal_within_a_task_lets_it_tidy_up(number: int, code: int, word: str) -> None:
    program = Program(BEGIN + TIDY + TASK)
    program.wait_until_ready()
    program.process.send_signal(number)
    assert program.end() == (code, "tidied up\n", f"{word}; the same command continues\n")


@pytest.mark.parametrize("waits", [ENDLESS, f"; interrupts.GRACE_SECONDS = 0.5{STUCK_ENDLESS}"])
def test_what_goes_on_until_a_signal_does_not_promise_to_continue(waits: str) -> None:
    program = Program(BEGIN + waits + TASK)
    program.wait_until_ready()
    program.process.send_signal(signal.SIGINT)
    assert program.end() == (130, "", "interrupted\n")


@pytest.mark.parametrize(("number", "code", "word"), SIGNALS)
def test_a_signal_while_modules_are_imported_ends_the_program(number: int, code: int, word: str) -> None:
    program = Program(f"{BEGIN}\nos.write(3, b'ready')\nwhile True: pass", "--json")
    program.wait_until_ready()
    program.process.send_signal(number)
    returned, out, err = program.end()
    assert (returned, err) == (code, f"{word}; the same command continues\n")
    fix = "run the same command again: it continues"
    assert checked(out)["error"] == {
        "type": "Interrupted",
        "exit_code": code,
        "message": word,
        "where": None,
        "fix": fix,
    }


def test_threads_that_do_not_come_back_are_left_behind() -> None:
    program = Program(f"{BEGIN}; interrupts.GRACE_SECONDS = 0.5{STUCK}{TASK}", "--json")
    program.wait_until_ready()
    program.process.send_signal(signal.SIGINT)
    returned, out, err = program.end()
    assert (returned, err) == (130, "interrupted; the same command continues\n")
    assert checked(out)["exit_code"] == 130


def test_a_second_signal_ends_at_once_what_the_first_has_not() -> None:
    program = Program(f"{BEGIN}; interrupts.GRACE_SECONDS = 3600{STUCK}{TASK}")
    program.wait_until_ready()
    sent = 0
    while program.process.poll() is None and sent < WAIT:
        program.process.send_signal(signal.SIGINT)
        sent += 1
        with suppress(subprocess.TimeoutExpired):
            program.process.wait(timeout=0.6)
    assert sent > 1
    assert program.end() == (130, "", "interrupted; the same command continues\n")


def test_one_signal_that_arrives_twice_is_one() -> None:
    """`timeout` and `make` send theirs to the process and to its group."""
    program = Program(BEGIN + TIDY.replace('print("', 'time.sleep(0.1); print("') + TASK)
    program.wait_until_ready()
    program.process.send_signal(signal.SIGTERM)
    program.process.send_signal(signal.SIGTERM)
    assert program.end() == (143, "tidied up\n", "terminated; the same command continues\n")


def test_a_signal_that_a_finalizer_swallows_is_raised_again() -> None:
    program = Program(f"{BEGIN}; interrupts.GRACE_SECONDS = 3600{FINALIZER}{TASK}")
    assert program.end() == (143, "", "terminated; the same command continues\n")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    program = Program(f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {BEGIN}{TIDY}{TASK}")
    program.wait_until_ready()
    program.process.send_signal(signal.SIGHUP)
    program.process.send_signal(signal.SIGTERM)
    assert program.end()[0] == 143


def test_a_signal_after_the_work_changes_nothing_of_its_code() -> None:
    # Registered before the callback of `install`, it runs after that one.
    last = "import atexit, os, time; atexit.register(lambda: (os.write(3, b'ready'), time.sleep(0.2)))"
    program = Program(f"{last}\n{BEGIN}\nsys.exit(2)")
    program.wait_until_ready()
    program.process.send_signal(signal.SIGINT)
    assert program.end() == (2, "", "")
