"""Documents that are almost what they should be: mutations of genuine ones, by their structure and by their bytes."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

ODD: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    -0.0,
    1e300,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    10**400,
    float("nan"),
    float("inf"),
    "",
    " ",
    "a",
    "0",
    "-1",
    "null",
    "../../../../tmp/evil",
    "/etc/passwd",
    "C:\\evil",
    "a/b/../c",
    "a\x00b",
    "a\nb",
    "a\x1b[31mb",
    "a\u202eb",
    "a\u200bb",
    "\ud800",
    "é" * 300,
    "x" * 5000,
    "x/" * 1500,
    "f" * 40,
    "f" * 63,
    "F" * 64,
    "f" * 64,
    "f" * 64 + "\n",
    "sha256:" + "f" * 64,
    "sha1:" + "f" * 40,
    "s3://bucket/key",
    "1e9",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"b": []}},
]


_NESTED = "@nested@"  # replaced in the text: a deep value cannot be walked


def mutants(document: Any, count: int, chance: random.Random) -> Iterator[bytes]:
    """`count` JSON texts near `document`: one to three values replaced, removed, added, moved or spoiled as text."""
    for _ in range(count):
        if chance.random() < 0.2:
            yield spoiled(json.dumps(document).encode(), chance)
            continue
        mutant = copy.deepcopy(document)
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            mutant = _changed(mutant, chance)
        # Half a character goes into the text as an escape, as another program may write it.
        text = json.dumps(mutant, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
        depth = chance.choice((20, 400, 990, 5000))
        text = text.replace(f'"{_NESTED}"'.encode(), b"[" * depth + b"]" * depth)
        yield spoiled(text, chance) if chance.random() < 0.1 else text


def spoiled(text: bytes, chance: random.Random) -> bytes:
    """A text with a byte or bit changed, cut, repeated, or with something put into it."""
    data = bytearray(text)
    at = chance.randrange(len(data) + 1)
    match chance.randrange(7):
        case 0 if data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        case 1:
            del data[at:]
        case 2:
            del data[at : at + chance.randrange(1, 50)]
        case 3:
            data[at:at] = data[at : at + chance.randrange(1, 200)]
        case 4:
            data[at:at] = chance.choice(
                (b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"[" * 3000, b'{"a":' * 3000, b"\n" * 9)
            )
        case 5:
            data[:] = chance.choice(
                (b"", b"null", b"[]", b"{}", b"5", b'"x"', b"<html>proxy</html>", b"\xef\xbb\xbf{}")
            )
        case _:
            data += chance.choice((b"x", b"\n", b"{}", b"\x00" * 64))
    return bytes(data)


def _changed(document: Any, chance: random.Random) -> Any:
    """The document with one change at a place in it."""
    places = list(_places(document))
    if not places or chance.random() < 0.02:
        return copy.deepcopy(chance.choice(ODD))
    holder, key = chance.choice(places)
    match chance.randrange(8):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(("extra", "", "__class__", key + " "))] = holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[chance.randrange(len(holder))]))
        case 3 if isinstance(holder, list):
            del holder[key]
        case 4 if isinstance(holder[key], int) and not isinstance(holder[key], bool):
            holder[key] += chance.choice((-1, 1, 64, -64, 2**32, 2**63))
        case 5 if isinstance(holder[key], str) and holder[key]:
            at = chance.randrange(len(holder[key]))
            holder[key] = (
                holder[key][:at] + chance.choice(("", "/", "..", "\x00", "é", "0", "\u202e")) + holder[key][at + 1 :]
            )
        case 6:
            other, name = chance.choice(places)
            holder[key] = copy.deepcopy(other[name])
        case _:
            holder[key] = _NESTED if chance.random() < 0.05 else copy.deepcopy(chance.choice(ODD))
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from _places(item)
