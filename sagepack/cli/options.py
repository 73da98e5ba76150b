"""The options that every task has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from pathlib import Path

STDOUT = "-"
"""As file of the events; they have the result, too."""


class Options(Value, frozen=True):
    """The options that every task has.

    Attributes:
        root: the project's folder.
        config: path of the spec; empty for the only one of the project.
        env: environment, a file in `config/env/`.
        sets: `key=value` overlays, applied last.
        json: print one JSON document on stdout and nothing else there.
        debug: show tracebacks.
        events: the file that gets what happens; `-` for stdout; empty for none.
        selects: whether the task is about the spec that they name.
        builds: whether the task runs steps, of which the build folder keeps the events.
    """

    root: Path
    config: str = ""
    env: str = "local"
    sets: tuple[str, ...] = ()
    json: bool = False
    debug: bool = False
    events: str = ""
    selects: bool = True
    builds: bool = False
