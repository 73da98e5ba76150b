"""What a certificate says of its key and its time, read without a library: enough for who signs with it. Pure.

Nothing is verified here: whether a certificate counts is judged by `package.attest.certificates`. Fields and times: RFC 5280, section 4.1.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.spec import pem
from sagepack.spec.pem import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTEGER, _BIT_STRING, _UTC_TIME, _GENERAL_TIME, _SEQUENCE, _VERSION = 0x02, 0x03, 0x17, 0x18, 0x30, 0xA0
_CONSTRUCTED = 0x20  # of a tag: it holds others
_LONG = 0x80  # the first byte of a length says in how many bytes it follows
_CENTURY = 50  # two digits of a year below it are of this century


class Certificate(Value, frozen=True):
    """A certificate.

    Attributes:
        key: SubjectPublicKeyInfo.
        point: the public key alone, which a file of the private key holds as well.
        begins: from when it is valid (UTC).
        ends: until when.
    """

    key: bytes
    point: bytes
    begins: datetime
    ends: datetime


def read(der: bytes) -> Certificate:
    """A certificate with a key of P-256 or P-384.

    Raises:
        KeyFileError: it is none.
    """
    found = whole(der)
    pem.require_curve(pem.Block(pem.PUBLIC, found.key))
    return found


def whole(der: bytes) -> Certificate:
    """A certificate with a key of any kind, as an authority may have.

    Raises:
        KeyFileError: it is damaged.
    """
    try:
        _require_nested(der)
        [content] = _of_kinds(der, (_SEQUENCE,))
        signed, _algorithm, _signature = _of_kinds(content[2], (_SEQUENCE, _SEQUENCE, _BIT_STRING))
        version, *_ = _parts(signed[2])
        rest = signed[2].removeprefix(version[1]) if version[0] == _VERSION else signed[2]
        _serial, _algorithm, _issuer, validity, _subject, key = _of_kinds(rest, (_INTEGER, *5 * (_SEQUENCE,)))
        begins, ends = (_time(tag, body) for tag, _, body in _parts(validity[2]))
        _, bits = _of_kinds(key[2], (_SEQUENCE, _BIT_STRING))
        pem.require_point(key[1])
        return Certificate(key[1], bits[2][1:], begins, ends)
    except (ValueError, IndexError, RecursionError) as error:
        fix = "`openssl x509 -in FILE -noout -text` shows what a certificate holds"
        raise KeyFileError("holds a damaged certificate", fix) from error


def _require_nested(data: bytes) -> None:
    """Check that everything in DER ends where what it is in does.

    Raises:
        ValueError, IndexError: it does not.
    """
    for tag, _, body in _parts(data):
        if tag & _CONSTRUCTED:
            _require_nested(body)


def _of_kinds(data: bytes, tags: tuple[int, ...]) -> list[tuple[int, bytes, bytes]]:
    """The first parts of DER, which have these tags.

    Raises:
        ValueError, IndexError: they have not.
    """
    found = list(_parts(data))[: len(tags)]
    if tuple(tag for tag, _, _ in found) != tags:
        raise ValueError("it holds something else")
    return found


def _parts(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """What stands one after the other in DER: tag, all bytes, and content of each."""
    while data:
        size, head = data[1], 2
        if size & _LONG:
            head += size - _LONG
            size = int.from_bytes(data[2:head], "big")
        if len(data) < head + size:
            raise ValueError("it ends too early")
        yield data[0], data[: head + size], data[head : head + size]
        data = data[head + size :]


def _time(tag: int, body: bytes) -> datetime:
    if tag not in (_UTC_TIME, _GENERAL_TIME):
        raise ValueError("it is no time")
    text = body.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
