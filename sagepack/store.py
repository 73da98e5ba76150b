"""Local records: what each step was given and what it made. Why a step runs is a difference of records."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = 1
_SHOWN = 4


@dataclass(frozen=True)
class Record:
    """What a step did: written only after its output was verified.

    Attributes:
        step: name of the step.
        version: version of the step's code.
        inputs: the JSON document of everything that its output depends on.
        output: a JSON document of what it made: enough to see that it is still there.
    """

    step: str
    version: int
    inputs: dict[str, Any]
    output: dict[str, Any]

    @property
    def fingerprint(self) -> Digest:
        """Digest of step, version and inputs."""
        return fingerprint([self.step, self.version, self.inputs])


@dataclass(frozen=True)
class Records:
    """Records of one build, one file a step: `<folder>/<step>.json`."""

    folder: Path

    def load(self, step: str) -> Record | None:
        """The last record of `step`; None if there is none, or one that this version cannot read."""
        try:
            document = json.loads((self.folder / f"{step}.json").read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                return None
            return Record(step, document["version"], document["inputs"], document["output"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def save(self, record: Record) -> None:
        """Write `record` in one rename."""
        document = {
            "format": FORMAT,
            "version": record.version,
            "inputs": record.inputs,
            "output": record.output,
        }
        write_atomically(self.folder / f"{record.step}.json", json.dumps(document, indent=1).encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(descriptor, 0o644)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def differences(before: Any, after: Any) -> tuple[str, ...]:
    """What changed between two JSON documents, as dotted keys with a verb; the first few, then a count."""
    found = list(_differences(before, after, ""))
    if len(found) > _SHOWN:
        return (*found[:_SHOWN], f"and {len(found) - _SHOWN} more")
    return tuple(found)


def _differences(before: Any, after: Any, at: str) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            place = f"{at}/{key}" if at else key
            if key not in after:
                yield f"{place} is gone"
            elif key not in before:
                yield f"{place} is new"
            else:
                yield from _differences(before[key], after[key], place)
    else:
        yield f"{at} changed"
