"""Reading safetensors files without a tensor library."""

from __future__ import annotations

import json
import math
import struct
from typing import Any, NamedTuple

LETTERS = {"F16": "e", "F32": "f"}


class Tensor(NamedTuple):
    """A tensor of a file."""

    shape: tuple[int, ...]
    values: tuple[float, ...]

    def rows(self) -> list[tuple[float, ...]]:
        """Its values by output channel."""
        length = math.prod(self.shape[1:])
        return [self.values[start : start + length] for start in range(0, len(self.values), length)]


def parse(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and data of a file."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert header.pop("__metadata__") == {"format": "pt"}
    return header, data[8 + length :]


def read(data: bytes, name: str) -> Tensor:
    """One tensor of a file."""
    header, body = parse(data)
    start, end = header[name]["data_offsets"]
    letter = LETTERS[header[name]["dtype"]]
    return Tensor(
        tuple(header[name]["shape"]), tuple(value for (value,) in struct.iter_unpack(f"<{letter}", body[start:end]))
    )
