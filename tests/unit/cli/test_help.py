"""The help of the command line, which users read first."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest
from invoke.program import Program

from sagepack.cli.tasks import collection
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from tests.helpers.golden import Golden


def printed(*words: str) -> str:
    """What `invoke` prints on a terminal of 80 columns."""
    out = io.StringIO()
    with redirect_stdout(out):
        Program(namespace=collection(ROOT, "config/svd.yaml"), binary="invoke").run(["invoke", *words], exit=False)
    lines = [f"$ invoke {' '.join(words)}", *out.getvalue().strip("\n").splitlines()]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def test_the_help_of_every_task_is_as_in_the_golden_file(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invoke.program.pty_size", lambda: (80, 24))
    pages = [printed("--list"), *(printed("--help", name) for name in collection(ROOT).task_names)]
    golden.check({"help.txt": "\n".join(pages)})
