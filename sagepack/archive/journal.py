"""Replacing the end of an archive in place, so that a kill at any instant loses neither the old one nor the new one.

    .<name>.journal.partial  the new end, being written   <name> is the old archive, whole
    .<name>.journal          the new end, whole; renamed       <name> is the old archive, whole
    .<name>.editing          the archive without its name, while the new end is copied over its old one
    <name>                   the new archive, whole; then the journal is removed

So nothing incomplete ever stands under the archive's own name, and from the moment it has lost that name the journal
holds all that is needed: `recover` copies the end again, as often as it takes. After a reboot neither can be believed
(nothing is synced, see `output`) and `recover` removes both.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeVar

from sagepack.archive.output import partial_of, replacing, write_at
from sagepack.archive.source import Stamp, boot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAGIC = b"sagepack journal 1\n"
_FOOT = struct.Struct("<Q")  # length of the JSON before it
_CHUNK = 1 << 20
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Note:
    """The last lines of a journal: `length` bytes of it belong at `start` of the file `inode`, which then ends."""

    start: int
    length: int
    inode: int
    old_size: int
    boot: str


def can_edit(target: Path, front: int, size: int) -> bool:
    """Whether it is safe, and worth it, to give `target` a new end after `front` bytes.

    Not through a link, not where another name shares the file, and not where the end is more than an eighth of the whole,
    because it is written twice.
    """
    try:
        status = target.stat(follow_symlinks=False)
    except OSError:
        return False
    return bool(boot()) and stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and (size - front) * 8 <= size


def replace_end(target: Path, start: int, size: int, write: Callable[[int], _T]) -> tuple[_T, Stamp]:
    """Replace everything from `start` on, so that `target` has `size` bytes. Call it within `output.alone`.

    Args:
        target: the archive; `can_edit` said yes.
        start: first byte that changes.
        size: bytes of the new archive.
        write: writes the new end, from offset 0, to the descriptor it is given.

    Returns:
        What `write` returned, and the stamp of the new archive.

    Raises:
        OSError: there is no room; the old archive is in its place.
    """
    status = target.stat()
    note = _Note(start, size - start, status.st_ino, status.st_size, boot())
    foot = json.dumps(asdict(note)).encode()
    foot += _FOOT.pack(len(foot)) + _MAGIC
    journal = _journal(target)
    with replacing(journal) as output:
        result = write(output)
        write_at(output, foot, note.length)
    try:
        target.rename(_editing(target))
        return result, _apply(target, note)
    except KeyboardInterrupt:
        recover(target)  # some milliseconds of work, and the archive has its name back
        raise


def recover(target: Path) -> bool:
    """Finish an edit that was cut off, and remove what a killed build left; True if there was an edit. Call it within `output.alone`.

    Afterwards the archive has its name again, old or new, unless the machine was rebooted: then it is gone.
    """
    journal, editing = _journal(target), _editing(target)
    for abandoned in (partial_of(target), partial_of(journal)):
        abandoned.unlink(missing_ok=True)
    found = journal.exists() or editing.exists()
    if found:
        note = _read(journal)
        if note and note.boot == boot() and not target.exists() and _inode(editing) == note.inode:
            _apply(target, note)
        editing.unlink(missing_ok=True)
        journal.unlink(missing_ok=True)
    return found


def _apply(target: Path, note: _Note) -> Stamp:
    editing, journal = _editing(target), _journal(target)
    with editing.open("r+b", buffering=0) as output, journal.open("rb", buffering=0) as source:
        try:
            if note.start + note.length > note.old_size:  # reserve what it grows by while the old end is still there
                _reserve(output.fileno(), note.old_size, note.start + note.length)
        except OSError:
            output.truncate(note.old_size)
            editing.rename(target)
            journal.unlink()
            raise
        _copy(source.fileno(), output.fileno(), note)
        output.truncate(note.start + note.length)
        stamp = Stamp.of(os.fstat(output.fileno()))
    editing.rename(target)
    journal.unlink()
    return stamp


def _reserve(output: int, old_size: int, size: int) -> None:
    if os.fstat(output).st_size >= size:
        return  # by an apply that was cut off
    try:
        os.posix_fallocate(output, old_size, size - old_size)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise


def _copy(source: int, output: int, note: _Note) -> None:
    position = 0
    while position < note.length:
        data = os.pread(source, min(_CHUNK, note.length - position), position)
        write_at(output, data, note.start + position)
        position += len(data)


def _read(journal: Path) -> _Note | None:
    try:
        data = journal.read_bytes()
        foot = len(data) - len(_MAGIC) - _FOOT.size
        (length,) = _FOOT.unpack_from(data, foot)
        note = _Note(**json.loads(data[foot - length : foot]))
    except (OSError, ValueError, TypeError, struct.error):
        return None
    return note if data.endswith(_MAGIC) and foot - length == note.length else None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _journal(target: Path) -> Path:
    return target.with_name(f".{target.name}.journal")


def _editing(target: Path) -> Path:
    return target.with_name(f".{target.name}.editing")
