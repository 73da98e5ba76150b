"""Files of safetensors whose headers are right, almost right, or wrong: what the reference and this program must agree about."""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_BITS = {
    "F4": 4,
    "F6_E2M3": 6,
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "I64": 64,
    "C64": 64,
}
_NUMBERS = (0, 1, 2, 3, 4, 8, 16, 255, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -1)
_ODD: tuple[Any, ...] = (None, True, 1.5, 4.0, "", "4", "F32", [], {}, [[]], *_NUMBERS)
_METADATA: tuple[Any, ...] = ({}, {"format": "pt"}, {"a": "b", "c": "d"}, None, {"n": 1}, [], "pt", {"a": None})
_MISSING = object()
_PIECES = (
    b"-0",
    b"1e2",
    b"1.0",
    b"NaN",
    b"00",
    b" ",
    b"\n",
    b"\t",
    b",",
    b"}",
    b"{",
    b"]",
    b'"',
    b"\\u0061",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"true",
)


def files(count: int, seed: int) -> Iterator[bytes]:
    """So many files, the same ones for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield _file(rng)


def _file(rng: random.Random) -> bytes:
    header, size = _tiled(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        _edit(rng, header)
    raw = json.dumps(header, separators=rng.choice(((",", ":"), (", ", ": ")))).encode() + b" " * rng.choice(
        (0, 0, 0, 1, 7)
    )
    if rng.random() < 0.3:
        raw = _damaged(rng, raw)
    size += rng.choice((0,) * 12 + (1, -1, 8, -size))
    length = len(raw) + rng.choice((0,) * 15 + (1, -1, 1 << 40))
    data = struct.pack("<Q", max(0, length)) + raw + bytes(max(0, size))
    return data if rng.random() < 0.98 else data[: rng.randrange(len(data) + 1)]


def _tiled(rng: random.Random) -> tuple[dict[str, Any], int]:
    """The header of tensors without a gap, in any order, and how many bytes they take."""
    entries, position = [], 0
    for number in range(rng.choice((0, 1, 1, 2, 3, 5))):
        dtype = rng.choice(tuple(_BITS))
        shape = [rng.choice((0, 1, 2, 3, 4, 8)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        bits = _BITS[dtype]
        for length in shape:
            bits *= length
        end = position + bits // 8
        entries.append((f"layer.{number}", {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}))
        position = end
    rng.shuffle(entries)
    header: dict[str, Any] = dict(entries)
    if rng.random() < 0.5:
        header["__metadata__"] = rng.choice(_METADATA)
    return header, position


def _edit(rng: random.Random, header: dict[str, Any]) -> None:
    """Change one thing in the header."""
    names = [name for name, entry in header.items() if isinstance(entry, dict) and "dtype" in entry]
    if not names:
        header[rng.choice(("a", "", "__metadata__"))] = rng.choice(_ODD)
        return
    name = rng.choice(names)
    entry = header[name]
    odd = [rng.choice(_NUMBERS), rng.choice(_NUMBERS)]
    key, value = rng.choice(
        (
            ("dtype", rng.choice((*_BITS, "F65", "f32", "F8_E8M0", None, 3))),
            ("shape", rng.choice((list(_ODD), odd[:1], odd, [0, 1 << 63, 2]))),
            ("data_offsets", odd),
            ("data_offsets", rng.choice(([], [0], [0, 1, 2], {"0": 1}, "0", None))),
            ("data_offsets", _moved(rng, entry.get("data_offsets"))),
            (rng.choice(("extra", "Dtype")), rng.choice(_ODD[:-1])),
            (rng.choice(("dtype", "shape", "data_offsets")), _MISSING),
            ("", None),
        )
    )
    if value is _MISSING:
        entry.pop(key, None)
    elif key:
        entry[key] = value
    else:
        header[rng.choice(("other", name))] = rng.choice((*_ODD, {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}))


def _moved(rng: random.Random, offsets: Any) -> Any:
    """The offsets of a tensor, one of them moved a little."""
    if not isinstance(offsets, list) or len(offsets) != 2:
        return offsets
    by = rng.choice((1, -1, 4))
    return [offsets[0] + by, offsets[1]] if rng.random() < 0.5 else [offsets[0], offsets[1] + by]


def _damaged(rng: random.Random, raw: bytes) -> bytes:
    """The text with a piece put in, left out or exchanged."""
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + rng.choice((b"", *_PIECES)) + raw[at + rng.choice((0, 1, 1, 2)) :]
