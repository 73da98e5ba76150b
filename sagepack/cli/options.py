"""The options that every task shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Options:
    """The options every task shares.

    Attributes:
        root: the project's folder.
        config: path of the spec.
        env: environment, a file in `config/env/`.
        sets: `key=value` overlays, applied last.
        json: print one JSON document on stdout and nothing else there.
        yes: do not ask before something is destroyed.
        locked: refuse to make or refresh the lock.
        stream: publish from the Hub to S3 without the model on this disk.
        connections: most connections to the Hub at once, a whole number as text.
        debug: show tracebacks.
    """

    root: Path
    config: str = "config/svd.yaml"
    env: str = "local"
    sets: tuple[str, ...] = ()
    json: bool = False
    yes: bool = False
    locked: bool = False
    stream: bool = False
    connections: str = "8"
    debug: bool = False
