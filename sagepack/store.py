"""Local records: what each step was given and what it made. Why a step runs is a difference of records."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 2
_SHOWN = 4


@dataclass(frozen=True)
class Record:
    """What a step did: written only after its output was verified.

    Attributes:
        step: name of the step.
        version: version of the step's code.
        inputs: the JSON document of everything that its output depends on.
        output: a JSON document of what it made: enough to see that it is still there.
        finished: false while the step runs again: its output may be the old one, the new one, or neither.
    """

    step: str
    version: int
    inputs: dict[str, Any]
    output: dict[str, Any]
    finished: bool = True


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
            return Record(step, document["version"], document["inputs"], document["output"], document["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, step: str) -> Record | None:
        """Note that `step` is about to change its output, which is no longer what the record says until `save`.

        Returns:
            The last record, for what it says of the output.
        """
        last = self.load(step)
        if last and last.finished:
            self.save(replace(last, finished=False))
        return last

    def forget(self, step: str) -> None:
        """Drop the record of `step`: its output turned out to be something else."""
        (self.folder / f"{step}.json").unlink(missing_ok=True)

    def save(self, record: Record) -> None:
        """Write `record` in one rename."""
        document = {
            "format": FORMAT,
            "version": record.version,
            "inputs": record.inputs,
            "output": record.output,
            "finished": record.finished,
        }
        write_atomically(self.folder / f"{record.step}.json", json.dumps(document, indent=1).encode())


def write_atomically(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, whole or not at all, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        # With the rights that the user's umask gives, which mkstemp would not.
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def holds(path: Path, text: str) -> bool:
    """Whether the file is there and holds `text`."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


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
