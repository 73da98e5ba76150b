"""One file of a model, judged by its content."""

from __future__ import annotations

from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sagepack.files import is_lfs_pointer
from sagepack.scan import archives, code, formats, pickles, safetensors
from sagepack.scan.finding import Finding, Kind, RefusedError
from sagepack.scan.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.scan.ranges import Read

MOST = 20
"""Findings in one file, after which it is not looked at any further, and refused."""
_ZIPS = (".npz", ".keras", ".zip")
_HEAD = 4096  # bytes by which a format is told


def needs_look(path: str) -> bool:
    """Whether the content of a file matters; a text or a picture is what its name says, or nothing loads it."""
    return code.is_configuration(path) or not formats.is_plain(path)


def scan(path: str, size: int, read: Read) -> tuple[Finding, ...]:
    """What is wrong with a file, the first of it; what `read` raises comes through.

    Args:
        path: its path in the model, whose suffix says which loader takes it.
        size: its bytes.
        read: gives bytes of it.
    """
    if not needs_look(path):
        return ()
    file = Ranges(read, size)
    try:
        found = tuple(islice(_findings(path, file), MOST + 1))
    except RefusedError as error:
        return (error.finding(path),)
    if len(found) <= MOST:
        return found
    # Whatever the spec allows of these, it cannot allow what is not read.
    return (
        *found[:MOST],
        Finding(path, Kind.UNREADABLE, "holds more than is told here, so nobody can say what it does"),
    )


def _findings(path: str, file: Ranges) -> Iterator[Finding]:
    if code.is_configuration(path):
        return code.findings(path, file)
    suffix, head = PurePosixPath(path.lower()).suffix, file.head(_HEAD)
    checked = _checked(file, suffix, head)
    if checked:
        return iter(())
    if head.startswith((archives.MAGIC, archives.EMPTY)):
        return archives.findings(path, file)
    if suffix in formats.HDF5_SUFFIXES or head.startswith(formats.HDF5):
        return formats.hdf5(path, file)
    if suffix in formats.PICKLES or _begins_as_pickle(head):
        return pickles.findings(path, file, is_raw=suffix == ".bin" or suffix not in formats.PICKLES)
    return formats.torchscript(path, head)


def _checked(file: Ranges, suffix: str, head: bytes) -> bool:
    """Whether a file has one of the formats that hold no pickle; it is checked.

    Raises:
        RefusedError: it is not in order, or is what no model should hold.
    """
    if is_lfs_pointer(head):
        raise RefusedError(Kind.MALFORMED, "is a pointer of git LFS, not the file itself", "byte 0")
    if suffix == ".safetensors":
        safetensors.check(file)
    # Of a file that its loader takes for a pickle, these four bytes are the beginning of a number.
    elif suffix == ".gguf" or (head.startswith(formats.GGUF) and suffix not in formats.PICKLES):
        formats.check_gguf(file)
    elif head.startswith(formats.NPY) or suffix == ".npy":
        if formats.has_objects(file.head(formats.NPY_HEADER)):
            raise RefusedError(Kind.UNREADABLE, "is an array of objects, which is a pickle")
    elif packed := formats.container(head, is_pickle=suffix in formats.PICKLES):
        raise RefusedError(Kind.CONTAINER, f"is packed ({packed}), and not looked into")
    elif formats.is_program(head):
        raise RefusedError(Kind.PROGRAM, "is a program or a library")
    elif suffix in _ZIPS and not head.startswith((archives.MAGIC, archives.EMPTY)):
        raise RefusedError(Kind.MALFORMED, "is not an archive", "byte 0")
    else:
        return False
    return True


def _begins_as_pickle(head: bytes) -> bool:
    """Whether these are the first bytes of a pickle of protocol 2 or later, whatever the file's name."""
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
