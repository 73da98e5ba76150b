"""How the services of an environment are reached."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api import connect, session
from sagepack.progress import Silent

if TYPE_CHECKING:
    from pathlib import Path

THREADS = 4


class Sandbox:
    """A sandbox whose start takes a moment, in which its folder is there already."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_running = False
        self.starts = 0

    def status(self, _root: Path) -> str | None:
        return "box" if self.is_running else None

    def folder(self, _root: Path) -> Path:
        return self.root / "sandbox"

    def ensure(self, _root: Path) -> str:
        if not self.is_running:
            self.folder(self.root).mkdir(exist_ok=True)
            together()
            self.starts += 1
            self.is_running = True
        return "box"


def together(moment: float = 0.1) -> None:
    """Give the other threads time to come here, too."""
    threading.Event().wait(moment)


class Notes(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_threads_that_need_the_sandbox_first_start_it_once_and_none_says_that_it_forgot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, notes = Sandbox(tmp_path), Notes()
    monkeypatch.setattr(connect, "sandbox", box)
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: connect.running(tmp_path, notes), range(THREADS)))
    assert box.starts == 1
    assert notes.lines == []


@pytest.mark.parametrize("here", [None, ("Java is missing", "install it")])
def test_a_serving_stack_that_the_sandbox_was_started_without_is_told_where_this_command_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: tuple[str, str] | None
) -> None:
    spec: Any = SimpleNamespace(sandbox=True)
    monkeypatch.setattr(connect, "sandbox", SimpleNamespace(unanswerable=lambda _box: "it is not installed"))
    monkeypatch.setattr(connect, "running", lambda *_: "box")
    monkeypatch.setattr(connect, "model_server", SimpleNamespace(problem=lambda _root: here))
    reason = connect.why_no_answers(tmp_path, spec, Silent())
    assert reason is not None
    assert ("sandbox.stop" in reason) == (here is None)


def test_threads_of_a_run_share_its_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def make(*_: object) -> object:
        together()
        made.append(object())
        return made[-1]

    monkeypatch.setattr(connect, "make_clients", make)
    spec: Any = SimpleNamespace(name="svd", env="local", sandbox=True)
    checked: Any = SimpleNamespace(spec=spec, set_keys=(), data={}, where=str)
    context = session.open_context(tmp_path, checked, "package", Silent())
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: context.clients, range(THREADS)))
    assert found == made * THREADS
