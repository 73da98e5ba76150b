"""Weights without a tensor library: bytes that depend on names and shapes only, and the safetensors format.

The bytes come from SHAKE-256 and a table, so they are the same on every platform and version of Python.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sagepack.sandbox.miniatures.shapes import Shape

    Tensor = tuple[Shape, bytes | bytearray]
    """Shape and values, float16 and little endian."""


def _high_byte(byte: int) -> int:
    """The upper byte of a float16 from a random byte: it keeps sign and two bits of the fraction, the rest selects the exponent.

    The exponents have the frequencies of a normal distribution with standard deviation 0.02, to the nearest 1/32 (the fraction within each
    is uniform): small enough that activations of every layer stay finite in float16.
    """
    # 2**-5 for 4 of 32 draws, 2**-6 for 10, ...; the bias of float16's exponent is 15.
    exponents = [-5] * 4 + [-6] * 10 + [-7] * 9 + [-8] * 5 + [-9] * 2 + [-10] * 2
    return (byte & 0x83) | ((exponents[(byte >> 2) & 31] + 15) << 2)


_HIGH_BYTES = bytes(_high_byte(byte) for byte in range(256))


def half(name: str, shape: Shape) -> bytes:
    """The float16 values of a tensor, little endian: biases are 0, weights of norms 1, mixing factors 0.5.

    All other values are pseudo-random and depend on the name only.
    """
    count = math.prod(shape)
    if name.endswith(".bias"):
        return bytes(2 * count)
    if name.endswith(".mix_factor"):
        return struct.pack("<e", 0.5) * count
    if len(shape) == 1 and name.endswith(".weight"):
        return struct.pack("<e", 1.0) * count
    raw = bytearray(hashlib.shake_256(name.encode()).digest(2 * count))
    raw[1::2] = raw[1::2].translate(_HIGH_BYTES)
    return bytes(raw)


def single(values: bytes | bytearray) -> bytes:
    """Convert float16 values to float32, both little endian; rounding the result to float16 gives `values` again."""
    if values == bytes(len(values)):  # as half of the weights made by hand: they need no conversion
        return bytes(2 * len(values))
    count = len(values) // 2
    return struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", values))


def tensors(named: Iterable[tuple[str, Shape]]) -> dict[str, Tensor]:
    """Tensors with the weights of `half`, by name."""
    return {name: (shape, half(name, shape)) for name, shape in named}


def safetensors(content: Mapping[str, Tensor], kind: str) -> bytes:
    """A safetensors file: the length of a JSON header (8 bytes, little endian), the header, the data.

    Tensors are sorted by name and follow each other without gaps. As in the reference implementation, the header is padded
    with spaces to a multiple of 8 bytes, so that the data is aligned.

    Args:
        content: tensors by name.
        kind: dtype in the file, `F16` or `F32`; the values are the same in both.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts, offset = [], 0
    for name, (shape, values) in sorted(content.items()):
        data = single(values) if kind == "F32" else values
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])
