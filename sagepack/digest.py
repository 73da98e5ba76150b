"""Digests as values, and the one way to take the digest of a JSON document."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HEX = re.compile(r"[0-9a-f]+")
_LENGTHS = {"sha256": 64, "sha1": 40}


class Digest(Value, frozen=True, order=True):
    """A hash value that knows its algorithm; its text form is `algorithm:hex`.

    Raises:
        ValueError: the algorithm is unknown or the value is not lower-case hex of its length.
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        if len(self.value) != _LENGTHS.get(self.algorithm) or not _HEX.fullmatch(self.value):
            raise ValueError(f"not a digest: {self.algorithm}:{self.value}")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"

    @property
    def short(self) -> str:
        """The first 16 hex digits, as used in object keys."""
        return self.value[:16]

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest that `str()` gave `text`."""
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @classmethod
    def sha256(cls, data: bytes) -> Digest:
        """SHA-256 of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())


def canonical_json(document: Any) -> bytes:
    """`document` as the only JSON text it has here: sorted keys, no spaces, UTF-8, no NaN."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def fingerprint(document: Any) -> Digest:
    """SHA-256 of the canonical JSON of `document`."""
    return Digest.sha256(canonical_json(document))


def hash_file(path: Path, chunk: int = 1 << 20, *, advance: Callable[[int], None] | None = None) -> Digest:
    """SHA-256 of a file's content, read in pieces of `chunk` bytes; `advance` is called with the size of each."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(chunk))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            if advance:
                advance(count)
    return Digest("sha256", digest.hexdigest())
