"""What builds remember on this disk: records of steps, sealed with a digest of themselves, and written whole or not at all.

Why a step runs is a difference of records. A record that cannot be read, or whose digest does not fit, is no record: the
step runs again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from msgspec import structs

from sagepack.decoding import MalformedError, Value, convert, seal, unseal
from sagepack.errors import Diagnostic, UserError
from sagepack.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FORMAT = 3
_SHOWN = 4


class Record(Value, frozen=True):
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

    @classmethod
    def of_check(cls, name: str, inputs: dict[str, Any], warnings: Sequence[Diagnostic]) -> Record:
        """A check in which nothing was wrong but what the warnings say."""
        return cls(name, 1, inputs, {"warnings": [asdict(warning) for warning in warnings]})

    @property
    def warnings(self) -> tuple[Diagnostic, ...] | None:
        """The warnings of a check that passed; None if the record does not say so."""
        try:
            return convert(self.output.get("warnings"), tuple[Diagnostic, ...])
        except MalformedError:
            return None


class Records(Value, frozen=True):
    """Records of one build, one file a step: `<folder>/<step>.json`."""

    folder: Path

    def load(self, step: str) -> Record | None:
        """The last record of `step`; None if there is none, or one that is damaged or of another version."""
        try:
            record = unseal((self.folder / f"{step}.json").read_bytes(), FORMAT, Record)
        except OSError:
            return None
        return record if record and record.step == step else None

    def begin(self, step: str) -> Record | None:
        """Note that `step` is about to change its output, which is no longer what the record says until `save`.

        Returns:
            The last record, for what it says of the output.
        """
        last = self.load(step)
        if last and last.finished:
            self.save(structs.replace(last, finished=False))
        return last

    def forget(self, step: str) -> None:
        """Drop the record of `step`: its output turned out to be something else."""
        (self.folder / f"{step}.json").unlink(missing_ok=True)

    def save(self, record: Record) -> None:
        """Write `record` in one rename."""
        write_atomically(self.folder / f"{record.step}.json", seal(record, FORMAT))

    def remember(self, record: Record) -> None:
        """Save what spares a later command a look, if it can be saved: `plan` and `validate` work where nothing may be written."""
        with suppress(OSError, UserError):
            self.save(record)


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
