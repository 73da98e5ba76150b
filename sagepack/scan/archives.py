"""Zip archives, as torch, numpy and Keras write them: their directory, and the members that a loader gives a meaning.

Readers of archives disagree where an archive is not in order, and one of them may load what another does not see. So an
archive that these programs would not have written is refused: their directory lies at the end, no member lies in another,
none stands twice (torch's reader takes no notice of case), and each checksum is right (torch's reader does not look).
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

from sagepack.scan import formats, keras, pickles
from sagepack.scan.callables import HAS_TORCHSCRIPT, TORCHSCRIPT
from sagepack.scan.finding import Finding, Kind, RefusedError, shown
from sagepack.scan.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
_MEMBERS = 100_000
_LOOKED_AT = 1_000  # members that are read
_DIRECTORY = 16 << 20  # bytes
_LARGEST_MEMBER = 32 << 20  # bytes of a member that is read whole
_BOMB = 1_000  # times as large as it is stored
_SMALL = 1 << 20  # bytes that are no bomb
# APPNOTE.TXT of PKWARE, 4.3.16, 4.3.15, 4.3.14, 4.3.12, 4.3.7: the records of a zip archive.
_END = struct.Struct("<4sHHHHIIH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_ENTRY = struct.Struct("<4sHHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_ENCRYPTED, _UTF8 = 0x2041, 0x800  # bits 0, 6 and 13; bit 11
_STORED, _DEFLATED = 0, 8
_OF_TORCHSCRIPT = re.compile(r"[^/]+/code/")
_UNSET, _UNSET_SHORT = 0xFFFF_FFFF, 0xFFFF


class _Member(NamedTuple):
    name: str
    flags: int
    method: int
    crc: int
    stored: int
    size: int
    offset: int


def findings(path: str, file: Ranges) -> Iterator[Finding]:
    """What is wrong with an archive.

    Args:
        path: of the archive, for the findings.
        file: its bytes.
    """
    try:
        members = _members(file)
        looked_at = _looked_at(members, every=path.lower().endswith(".npz"))
        yield from _code(path, [member.name for member in members if member.name.lower().endswith(".py")])
        for member in members:
            yield from _by_name(path, member)
        for member in looked_at:
            yield from _content(path, file, member)
    except RefusedError as error:
        yield error.finding(path)


def _members(file: Ranges) -> list[_Member]:
    """The members that the directory at the end of an archive names."""
    count, size, offset, end = _directory(file)
    if size > _DIRECTORY or count > _MEMBERS:
        raise RefusedError(
            Kind.UNREADABLE, f"has a directory of {size:,} bytes and {count:,} members, too large to judge"
        )
    if offset + size != end:
        raise _malformed("has a directory that is not where it says", f"byte {end:,}")
    data, position, members = file.get(offset, size), 0, list[_Member]()
    for _ in range(count):
        member, position = _entry(data, position, offset)
        members.append(member)
    if position != len(data):
        raise _malformed("has more members than its directory says", f"byte {offset + position:,}")
    _check(members, offset)
    return members


def _directory(file: Ranges) -> tuple[int, int, int, int]:
    """Number of members, size and offset of the directory, and where what follows it begins."""
    tail = file.tail(_END.size)
    if len(tail) < _END.size or tail[:4] != EMPTY:
        raise _malformed(
            "is an archive whose directory is not at its end: cut off, or something follows", f"byte {file.size:,}"
        )
    _, disk, first, here, count, size, offset, comment = _END.unpack(tail)
    end = file.size - _END.size
    if comment or disk not in (0, _UNSET_SHORT) or first not in (0, _UNSET_SHORT) or here != count:
        raise _malformed("is an archive in several parts, or with a comment", f"byte {end:,}")
    if end < _LOCATOR.size or (locator := file.get(end - _LOCATOR.size, _LOCATOR.size))[:4] != b"PK\x06\x07":
        return count, size, offset, end
    at = _LOCATOR.unpack(locator)[2]
    if at + _END64.size != end - _LOCATOR.size:
        raise _malformed("has a directory that is not where it says", f"byte {end - _LOCATOR.size:,}")
    signature, _, _, _, _, _, _, count64, size64, offset64 = _END64.unpack(file.get(at, _END64.size))
    agree = all(
        short in (long, unset)
        for short, long, unset in ((count, count64, _UNSET_SHORT), (size, size64, _UNSET), (offset, offset64, _UNSET))
    )
    if signature != b"PK\x06\x06" or not agree:
        raise _malformed("has two directories that do not agree", f"byte {at:,}")
    return count64, size64, offset64, at


def _entry(data: bytes, position: int, directory: int) -> tuple[_Member, int]:
    """The entry of a member in the directory, and where the next one begins."""
    where = f"byte {directory + position:,}"
    if len(data) - position < _ENTRY.size or data[position : position + 4] != b"PK\x01\x02":
        raise _malformed("has fewer members than its directory says", where)
    fields = _ENTRY.unpack_from(data, position)
    flags, method, crc, stored, size = fields[3], fields[4], *fields[7:10]
    name_length, extra_length, comment_length, offset = *fields[10:13], fields[16]
    begin = position + _ENTRY.size
    raw, extra = data[begin : begin + name_length], data[begin + name_length : begin + name_length + extra_length]
    end = begin + name_length + extra_length + comment_length
    if end > len(data):
        raise _malformed("has an entry that ends after the directory", where)
    size, stored, offset = _wide((size, stored, offset), extra, where)
    try:
        name = raw.decode() if flags & _UTF8 else raw.decode("cp437")
    except UnicodeDecodeError:
        raise _malformed("has a member whose name is not UTF-8", where) from None
    return _Member(name, flags, method, crc, stored, size, offset), end


def _wide(values: tuple[int, int, int], extra: bytes, where: str) -> list[int]:
    """Size, stored size and offset; each that does not fit 32 bits is in the extra field 1 (APPNOTE.TXT, 4.5.3)."""
    found, position = list[int](), 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        if kind == 1:
            found = [
                number for (number,) in struct.iter_unpack("<Q", extra[position + 4 : position + 4 + length // 8 * 8])
            ]
            break
        position += 4 + length
    wide = iter(found)
    try:
        return [next(wide) if value == _UNSET else value for value in values]
    except StopIteration:
        raise _malformed("has a member without its size", where) from None


def _check(members: list[_Member], directory: int) -> None:
    """Check the members against each other, and against the space that there is."""
    seen, position = set[str](), 0
    for member in sorted(members, key=lambda member: member.offset):
        at, folded = f"member {shown(member.name)}", member.name.lower()
        parts = member.name.split("/")
        if folded in seen:
            raise _malformed("has a member twice", at)
        if (
            member.name.startswith("/")
            or ".." in parts
            or "\\" in member.name
            or "\0" in member.name
            or ":" in parts[0]
        ):
            raise _malformed("has a member that would leave its folder", at)
        if member.flags & _ENCRYPTED:
            raise RefusedError(Kind.UNREADABLE, "is encrypted, so nobody can say what it holds", at)
        if member.offset < position or member.offset + _LOCAL.size + member.stored > directory:
            raise _malformed("has members that lie in each other", at)
        if member.method == _STORED and member.size != member.stored:
            raise _malformed("has a member of two sizes", at)
        if member.size > _SMALL and member.size > _BOMB * max(1, member.stored):
            raise _malformed(f"unpacks {member.stored:,} bytes to {member.size:,}", at)
        seen.add(folded)
        position = member.offset + _LOCAL.size + member.stored


def _code(path: str, names: list[str]) -> Iterator[Finding]:
    """Python in an archive: the program of a TorchScript, below `NAME/code/`, or whatever else."""
    if not names:
        return
    other = next((name for name in names if not _OF_TORCHSCRIPT.match(name)), None)
    if other is None:
        at = f"member {shown(names[0])}"
        yield Finding(path, Kind.CALLS, HAS_TORCHSCRIPT, at, (TORCHSCRIPT,))
    else:
        yield Finding(path, Kind.CONTAINER, "holds Python files, which are not looked into", f"member {shown(other)}")


def _by_name(path: str, member: _Member) -> Iterator[Finding]:
    """What the name of a member says."""
    suffix, at = f".{member.name.lower().rpartition('.')[2]}", f"member {shown(member.name)}"
    if suffix in formats.ARCHIVES:
        yield Finding(path, Kind.CONTAINER, "holds another archive, which is not looked into", at)
    elif suffix in formats.PROGRAMS:
        yield Finding(path, Kind.PROGRAM, "holds a program or a library", at)


def _looked_at(members: list[_Member], *, every: bool) -> list[_Member]:
    """The members whose content matters to a loader: all of them to numpy's."""
    found = []
    for member in members:
        last = member.name.lower().rpartition("/")[2]
        if every or last.endswith((*formats.PICKLES, ".npy")) or last in ("config.json", "data", "constants"):
            found.append(member)
    if len(found) > _LOOKED_AT:
        raise RefusedError(Kind.UNREADABLE, f"has more than {_LOOKED_AT:,} members that have to be read")
    return found


def _content(path: str, file: Ranges, member: _Member) -> Iterator[Finding]:
    """What the content of a member says."""
    name, at = member.name.lower(), f"member {shown(member.name)}"
    if name.endswith(".npy") or path.lower().endswith(".npz"):
        head = _read(file, member, most=formats.NPY_HEADER)
        if (name.endswith(".npy") or head.startswith(formats.NPY)) and formats.has_objects(head):
            yield Finding(path, Kind.UNREADABLE, "holds an array of objects, which is a pickle", at)
        return
    data = _read(file, member)
    if name.endswith("config.json"):
        yield from keras.findings(path, data, at)
        return
    if data.startswith((MAGIC, EMPTY)):
        yield Finding(path, Kind.CONTAINER, "holds another archive, which is not looked into", at)
        return
    inner = Ranges(lambda offset, length: data[offset : offset + length], len(data))
    yield from pickles.findings(path, inner, is_raw=not name.endswith(formats.PICKLES), at=at)


def _read(file: Ranges, member: _Member, most: int | None = None) -> bytes:
    """The content of a member: all of it, with its checksum compared, or at most its first bytes."""
    at = f"member {shown(member.name)}"
    if most is None and member.size > _LARGEST_MEMBER:
        raise RefusedError(Kind.UNREADABLE, f"is too large to judge: a member has {member.size:,} bytes", at)
    local = _LOCAL.unpack(file.get(member.offset, _LOCAL.size))
    begin = member.offset + _LOCAL.size + local[9] + local[10]
    name = file.get(member.offset + _LOCAL.size, local[9])
    named = member.name.encode() if member.flags & _UTF8 else member.name.encode("cp437")
    if local[0] != MAGIC or name != named or local[3] != member.method or local[2] & _ENCRYPTED:
        raise _malformed("has a member that is not what the directory says", at)
    stored = file.get(begin, member.stored if most is None else min(member.stored, most))
    if member.method == _STORED:
        data = stored
    elif member.method == _DEFLATED:
        data = _inflated(stored, at, most=member.size if most is None else min(member.size, most))
    else:
        raise RefusedError(Kind.UNREADABLE, f"has a member that is packed by method {member.method}", at)
    if most is None and (len(data) != member.size or zlib.crc32(data) != member.crc):
        raise _malformed("has a member whose checksum is wrong", at)
    return data


def _inflated(stored: bytes, at: str, *, most: int) -> bytes:
    """Deflated data, unpacked; at most `most` bytes and one."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, most + 1)
    except zlib.error:
        raise _malformed("has a member that cannot be unpacked", at) from None


def _malformed(what: str, at: str) -> RefusedError:
    return RefusedError(Kind.MALFORMED, what, at)
