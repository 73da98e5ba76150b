"""Other bytes with the same checksums: what whoever can write a bucket can do, since a CRC is linear."""

from __future__ import annotations

import zlib

from awscrt import checksums


def collision(length: int = 32) -> bytes:
    """Bytes that change neither CRC-64/NVME nor CRC-32 of what they are XORed into, at any place.

    The difference that one bit makes is the same in any data, and differences add by XOR. Of more bits than both checksums
    have together, some must add up to no difference: Gaussian elimination over GF(2) finds which.
    """
    reduced: dict[int, tuple[int, int]] = {}  # by highest bit: a difference, and the bits that make it
    for bit in range(8 * length):
        mask = 1 << bit
        difference = _checksums(mask.to_bytes(length, "little")) ^ _checksums(bytes(length))
        while difference and difference.bit_length() in reduced:
            other, others = reduced[difference.bit_length()]
            difference, mask = difference ^ other, mask ^ others
        if not difference:
            return mask.to_bytes(length, "little")
        reduced[difference.bit_length()] = (difference, mask)
    raise ValueError("too short: 13 bytes have more bits than both checksums")


def patched(data: bytes, offset: int, patch: bytes) -> bytes:
    """`data` with `patch` XORed into it."""
    mixed = bytes(one ^ other for one, other in zip(data[offset:], patch, strict=False))
    return data[:offset] + mixed + data[offset + len(mixed) :]


def _checksums(data: bytes) -> int:
    found: int = checksums.crc64nvme(data)
    return found << 32 | zlib.crc32(data)
