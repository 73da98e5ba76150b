"""What builds remember on this disk: records of steps, sealed with a digest of themselves, and written whole or not at all.

Why a step runs is a difference of records. A record that cannot be read, or whose digest does not fit, is no record: the
step runs again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import msgspec

from sagepack import disk
from sagepack.decoding import MalformedError, Sha256Hex, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 3
_SHOWN = 4
_Kind = TypeVar("_Kind")


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """A document with the SHA-256 of its own bytes."""

    format: int
    sha256: Sha256Hex
    content: msgspec.Raw


def seal(content: Any, version: int) -> bytes:
    """`content` as a JSON document that holds a digest of itself and the version of its format."""
    text = msgspec.json.encode(content)
    return b'{"format": %d, "sha256": "%b", "content": %b}\n' % (
        version,
        hashlib.sha256(text).hexdigest().encode(),
        text,
    )


def unseal(data: bytes, version: int, kind: type[_Kind]) -> _Kind | None:
    """The content of a document that `seal` made; None for any other, as one with a flipped bit is."""
    try:
        sealed = decode_json(data, _Sealed)
        if sealed.format != version or hashlib.sha256(sealed.content).hexdigest() != sealed.sha256:
            return None
        return decode_json(bytes(sealed.content), kind)
    except MalformedError:
        return None


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
            self.save(replace(last, finished=False))
        return last

    def forget(self, step: str) -> None:
        """Drop the record of `step`: its output turned out to be something else."""
        (self.folder / f"{step}.json").unlink(missing_ok=True)

    def save(self, record: Record) -> None:
        """Write `record` in one rename."""
        write_atomically(self.folder / f"{record.step}.json", seal(record, FORMAT))


def write_atomically(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, whole or not at all, whatever happens meanwhile; several processes may do so at once.

    What a killed writer of `path` left behind is removed: a file `.<name>.<8 hex digits>` that nobody holds a lock on.

    Raises:
        UserError: the disk is full, or the file may not be written.
    """
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        partial, file = _open_partial(path)
        try:
            with file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def _open_partial(path: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `path`, locked while it is open."""
    while True:
        partial = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
        file = partial.open("xb")  # with the rights that the user's umask gives, which mkstemp would not
        if _lock(file) and os.fstat(file.fileno()).st_nlink:
            return partial, file
        file.close()  # another writer took it for a leftover before it was locked


def _lock(file: BinaryIO) -> bool:
    """Lock a file; false if another process has it. Where a file system has no locks nobody sweeps either."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` left: their locks ended with them."""
    leftover = re.compile(re.escape(f".{path.name}.") + "[0-9a-f]{8}")
    for found in path.parent.iterdir():
        if leftover.fullmatch(found.name):
            with suppress(OSError), found.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.unlink()


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
