"""safetensors: the header, by the rules of the reference implementation (`safetensors/src/tensor.rs`, 0.8).

A file is eight bytes with the length of the header, the header as JSON, and the tensors, one after the other without a gap:
so no byte of the file is without a meaning, and none has two. Stricter than the reference: no name may stand twice, since
readers disagree about which of the two counts, and the header begins with `{`, as the format demands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.scan.finding import Kind, RefusedError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.scan.ranges import Ranges

LONGEST_HEADER = 16 << 20
"""Bytes. The reference reads up to 100 MB; the header of a file with 100,000 tensors has 10 MB."""
_PREFIX = 8
_LARGEST = (1 << 64) - 1  # of `usize`, in which the reference counts
# Bits of a value of each type.
_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
_METADATA = "__metadata__"
_FIELDS = {b"dtype", b"shape", b"data_offsets"}
# What decides where keys stand and which numbers are negative: escapes and ends of texts, brackets, minus signs.
_TOKEN = re.compile(rb"\\.|[\"{}\[\]-]", re.DOTALL)
_COLON = re.compile(rb"\s*:")
_LEAST = 40  # bytes of the entry of a tensor


class _Tensor(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


_DECODER = msgspec.json.Decoder(_Tensor)


def header(file: Ranges) -> bytes:
    """The header of a file, as JSON.

    Raises:
        RefusedError: the file has none.
    """
    prefix = file.head(_PREFIX)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < _PREFIX or _PREFIX + length > file.size:
        raise _malformed(f"says that its header has {length:,} bytes, in a file of {file.size:,}", "byte 0")
    if length > LONGEST_HEADER:
        raise RefusedError(Kind.UNREADABLE, f"has a header of {length:,} bytes, too large to judge", "byte 0")
    return file.get(_PREFIX, length)


def check(file: Ranges) -> None:
    """Check the header of a file, and that its tensors tile the rest.

    Raises:
        RefusedError: it is not what the reference writes.
    """
    raw = header(file)
    begin = _PREFIX + len(raw)
    spans = sorted((*_span(name, tensor), name) for name, tensor in _tensors(raw).items())
    position = 0
    for start, end, name in spans:
        if start != position:
            what = "a hole between tensors" if start > position else "overlapping tensors"
            at = f"byte {begin + min(start, position)}, tensor {shown(name)}"
            raise _malformed(f"has {what}: not what the publisher's tool writes", at)
        position = end
    if begin + position != file.size:
        surplus = file.size - begin - position
        what = (
            f"has {surplus:,} bytes after its last tensor"
            if surplus > 0
            else f"lacks {-surplus:,} bytes of its tensors"
        )
        raise _malformed(f"{what}: not what the publisher's tool writes", f"byte {min(begin + position, file.size)}")


def _tensors(raw: bytes) -> dict[str, _Tensor]:
    """The tensors of a header by name."""
    if raw[:1] != b"{":
        raise _malformed("has a header that is not a JSON object", f"byte {_PREFIX}")
    try:
        raw.decode()  # the decoder skips what it does not need
    except UnicodeDecodeError as error:
        raise _malformed("has a header that is not UTF-8", f"byte {_PREFIX + error.start}") from error
    count = _count_names(raw)
    if (count - 1) * _LEAST > len(raw):  # before they take memory
        raise _malformed("has a header with more names than tensors", f"byte {_PREFIX}")
    at = f"byte {_PREFIX}"
    try:
        entries, tensors = decode_json(raw, dict[str, msgspec.Raw]), dict[str, _Tensor]()
        for name, entry in entries.items():
            at = f"tensor {shown(name)}"
            if name != _METADATA:
                tensors[name] = _tensor(entry)
            elif bytes(entry) != b"null":
                decode_json(bytes(entry), dict[str, str])
    except MalformedError as error:
        raise _malformed(f"has a header that cannot be read: {error}", at) from error
    if count != len(entries):
        raise _malformed("has a header in which a name stands twice", f"byte {_PREFIX}")
    return tensors


def _tensor(entry: msgspec.Raw) -> _Tensor:
    """The entry of a tensor; the decoder is kept, since a header may have thousands of them."""
    try:
        return _DECODER.decode(entry)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return decode_json(bytes(entry), _Tensor)  # which says what is wrong


def _count_names(raw: bytes) -> int:
    """How many names stand in a header, each time that they do; a field of a tensor must not stand in it twice."""
    count, name, fields = 0, b"", set[bytes]()
    for depth, text, end in _texts(raw):
        if depth == 1:
            name, count, fields = text, count + 1, set()
        elif depth == 2 and name != _METADATA.encode() and _COLON.match(raw, end):
            field = _unescaped(text)
            if field in fields:
                raise _malformed("has a field twice in one tensor", f"byte {_PREFIX + end}")
            fields |= {field} & _FIELDS
    return count


def _unescaped(text: bytes) -> bytes:
    """A text of a JSON document as its decoder gives it."""
    if b"\\" not in text:
        return text
    try:
        return decode_json(b'"%b"' % text, str).encode()
    except MalformedError:
        return text  # the decoder of the whole says so


def _texts(raw: bytes) -> Iterator[tuple[int, bytes, int]]:
    """The texts of a JSON document: how many brackets are open around each, the text as it stands there, and where it ends.

    Raises:
        RefusedError: a number is negative; not every decoder tells a minus sign before a zero.
    """
    depth, opened = 0, -1
    for match in _TOKEN.finditer(raw):
        token, position = match[0], match.start()
        if opened >= 0:
            if token == b'"':
                yield depth, raw[opened + 1 : position], match.end()
                opened = -1
        elif token == b'"':
            opened = position
        elif token == b"-":
            raise _malformed("has a header with a negative number", f"byte {_PREFIX + position}")
        else:
            depth += (token in b"{[") - (token in b"}]")


def _span(name: str, tensor: _Tensor) -> tuple[int, int]:
    """First byte of a tensor, and the one after its last, counted from the end of the header."""
    at = f"tensor {shown(name)}"
    if tensor.dtype not in _BITS:
        raise _malformed(f"has the unknown type {shown(tensor.dtype)}", at)
    start, end = tensor.data_offsets
    bits = 1
    for length in (*tensor.shape, _BITS[tensor.dtype]):
        bits *= length
        if not 0 <= length <= _LARGEST or bits > _LARGEST:
            raise _malformed("has a shape that no file can hold", at)
    if bits % 8:
        raise _malformed(f"has a tensor of {bits:,} bits, which are no whole bytes", at)
    if start < 0 or end - start != bits // 8:
        raise _malformed(f"gives {end - start:,} bytes to a tensor that needs {bits // 8:,}", at)
    return start, end


def _malformed(what: str, at: str) -> RefusedError:
    return RefusedError(Kind.MALFORMED, what, at)
