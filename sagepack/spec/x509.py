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

_VERSION, _UTC_TIME = 0xA0, 0x17
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
    try:
        [(_, _, whole)] = _parts(der)
        _, _, signed = next(_parts(whole))
        fields = [part for part in _parts(signed) if part[0] != _VERSION]
        _serial, _algorithm, _issuer, validity, _subject, key = fields[:6]
        begins, ends = (_time(tag, body) for tag, _, body in _parts(validity[2]))
        _, bits = _parts(key[2])
        found = Certificate(key[1], bits[2][1:], begins, ends)
    except (ValueError, IndexError, StopIteration) as error:
        fix = "`openssl x509 -in FILE -noout -text` shows what a certificate holds"
        raise KeyFileError("holds a damaged certificate", fix) from error
    pem.require_curve(pem.Block(pem.PUBLIC, found.key))
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
    text = body.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if int(text[:2]) < _CENTURY else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)
